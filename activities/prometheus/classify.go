package prometheus

import (
	"context"
	"errors"
	"strings"

	v1 "github.com/prometheus/client_golang/api/prometheus/v1"

	"github.com/leanvibe/hive/workflows/runbook"
)

// classify turns an error of Prometheus, or of the way there, into a kind.
func classify(err error, url string) error {
	var answer *v1.Error
	switch {
	case errors.Is(err, context.Canceled) || runbook.KindOf(err) != "":
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return runbook.Fail(runbook.Unreachable, "Prometheus at %s does not answer within %s", url, askMax)
	case errors.As(err, &answer) && (answer.Type == v1.ErrClient || answer.Type == v1.ErrBadResponse):
		return runbook.FailCause(runbook.Refused, err, "Prometheus at %s refuses, or is none", url)
	case errors.As(err, &answer):
		return runbook.FailCause(runbook.Unreachable, err, "Prometheus at %s cannot answer", url)
	default:
		return runbook.FailCause(runbook.Unreachable, innermost(err), "Prometheus at %s does not answer", url)
	}
}

// aboutQuery says whether an error concerns the one query and not Prometheus.
func aboutQuery(err error) (why string, about bool) {
	var answer *v1.Error
	if !errors.As(err, &answer) {
		return "", false
	}
	switch {
	case answer.Type == v1.ErrBadData, answer.Type == v1.ErrExec:
		return answer.Msg, true
	case answer.Type == v1.ErrBadResponse && strings.Contains(answer.Msg, "value type"):
		return "gives a text where one sample is needed", true // the client reads no other types
	}
	return "", false
}

func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
