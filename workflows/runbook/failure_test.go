package runbook

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
)

func TestFailureKinds(t *testing.T) {
	for kind, final := range map[Kind]bool{
		Refused: true, Missing: true, Unsafe: true, Corrupt: true,
		Busy: false, Unreachable: false, NotYet: false,
	} {
		err := FailCause(kind, errors.New("the cause"), "service %q", "hub")
		require.Equal(t, kind, KindOf(fmt.Errorf("wrapped: %w", err)))
		require.Equal(t, `service "hub": the cause`, Reason(err))

		var app *temporal.ApplicationError
		require.ErrorAs(t, err, &app)
		require.Equal(t, final, app.NonRetryable(), kind)
		require.Equal(t, final, contains(finalKinds(), string(kind)), kind)
	}
	require.Empty(t, KindOf(errors.New("plain")))
}

func TestNotYetIsBenign(t *testing.T) {
	var app *temporal.ApplicationError
	require.ErrorAs(t, Fail(NotYet, "soon"), &app)
	require.Equal(t, temporal.ApplicationErrorCategoryBenign, app.Category(), "an awaited condition alerts nobody")
}

func contains(set []string, s string) bool {
	for _, v := range set {
		if v == s {
			return true
		}
	}
	return false
}
