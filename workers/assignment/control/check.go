package control

import (
	"errors"

	"github.com/leanvibe/hive/workers/assignment/peer"
	"github.com/leanvibe/hive/workers/assignment/wire"
	"github.com/leanvibe/hive/workflows/runbook"
)

// check refuses what cannot be meant, before anything is asked.
func check[In interface {
	runbook.Fenced
	runbook.Validator
}](in In) error {
	if f := in.Fencing(); f.Resource == "" || f.Token == "" {
		return runbook.Fail(runbook.Refused, "the step carries no fence (resource %q, token %q): its procedure must take the lock first and pass on what it holds", f.Resource, f.Token)
	}
	if err := in.Validate(); err != nil {
		return runbook.Fail(runbook.Refused, "%v", err)
	}
	return nil
}

// classify gives a failure of a replica or a partition its kind.
func classify(err error, what string) error {
	var refused *peer.OrderError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return runbook.FailCause(runbook.Refused, err, "%s", what)
	case wire.KindOf(err) == wire.Busy:
		return runbook.FailCause(runbook.Busy, err, "%s", what)
	}
	return runbook.FailCause(runbook.Unreachable, err, "%s", what)
}
