package temporal

import (
	"context"
	"errors"

	"go.temporal.io/api/serviceerror"

	"github.com/leanvibe/hive/workflows/runbook"
)

// missing says whether the run does not exist, or, for a terminate, is closed.
func missing(err error) bool {
	var notFound *serviceerror.NotFound
	return errors.As(err, &notFound)
}

// late says whether a poll ended with its time; the client gives up a moment before
// its context does.
func late(err error) bool {
	var deadline *serviceerror.DeadlineExceeded
	return errors.As(err, &deadline) || errors.Is(err, context.DeadlineExceeded)
}

// classify turns an error of Temporal into a kind; the id names the workflow that
// was asked about. A cancellation stays what it is: Temporal knows its own.
func classify(ctx context.Context, err error, id string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var (
		namespace *serviceerror.NamespaceNotFound
		denied    *serviceerror.PermissionDenied
		invalid   *serviceerror.InvalidArgument
		exhausted *serviceerror.ResourceExhausted
	)
	switch {
	case err == nil, runbook.KindOf(err) != "":
		return err
	case errors.As(err, &namespace):
		return runbook.FailCause(runbook.Missing, err, "%s: the namespace does not exist; the Temporal of `hive up` makes it at its start", id)
	case errors.As(err, &denied):
		return runbook.FailCause(runbook.Refused, err, "%s: Temporal does not allow it", id)
	case errors.As(err, &invalid):
		return runbook.FailCause(runbook.Refused, err, "%s", id)
	case errors.As(err, &exhausted):
		return runbook.FailCause(runbook.Busy, err, "%s: Temporal is asked too much", id)
	default:
		return runbook.FailCause(runbook.Unreachable, err, "%s: Temporal does not answer", id)
	}
}
