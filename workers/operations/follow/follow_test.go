package follow

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/leanvibe/hive/workflows/runbook"
)

func TestTheReportOfAFailedRun(t *testing.T) {
	carried := runbook.Report{Procedure: "Sample", Outcome: runbook.Reverted, Reason: "never healthy"}
	for _, c := range []struct {
		name string
		err  error
		want runbook.Outcome
	}{
		{"carried in the failure", temporal.NewApplicationError("reverted", "Unsafe", carried), runbook.Reverted},
		{"carried in the cancellation", temporal.NewCanceledError(runbook.Report{Procedure: "Sample", Outcome: runbook.Aborted}), runbook.Aborted},
		{"cancelled before it had one", temporal.NewCanceledError(), runbook.Aborted},
		{"refused before it had one", runbook.Fail(runbook.Refused, "no such service"), runbook.RefusedRun},
		{"broken before it had one", errors.New("panic"), runbook.Failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			wire := temporal.GetDefaultFailureConverter() // as it comes from a server
			r := reportOfFailure("sample", wire.FailureToError(wire.ErrorToFailure(c.err)))
			require.Equal(t, c.want, r.Outcome)
		})
	}
	require.Equal(t, runbook.Failed, readReport(json.RawMessage(`{}`)).Outcome, "a result without a report is no success")
	require.Equal(t, runbook.Succeeded, readReport(json.RawMessage(`{"report":{"outcome":"succeeded"}}`)).Outcome)
}
