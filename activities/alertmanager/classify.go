package alertmanager

import (
	"context"
	"errors"
	"net/http"

	"github.com/leanvibe/hive/workflows/runbook"
)

// classify turns an error of the way to Alertmanager into a kind.
func classify(err error, address string) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner // net/http repeats method and URL on each level
	}
	return runbook.Fail(runbook.Unreachable, "Alertmanager at %s does not answer: %v", address, err)
}

// kindOf is the kind of an answer by its status.
func kindOf(status int) runbook.Kind {
	switch {
	case status == http.StatusNotFound:
		return runbook.Missing
	case status >= 500 || status == http.StatusTooManyRequests:
		return runbook.Unreachable
	default:
		return runbook.Refused
	}
}
