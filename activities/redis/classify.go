package redis

import (
	"context"
	"errors"
	"strings"

	"github.com/leanvibe/hive/workflows/runbook"
)

// kinds by the first word of Redis's error replies.
var kinds = map[string]runbook.Kind{
	"NOAUTH": runbook.Refused, "WRONGPASS": runbook.Refused, "NOPERM": runbook.Refused,
	"CLUSTERDOWN": runbook.Busy, "TRYAGAIN": runbook.Busy, "MASTERDOWN": runbook.Busy, "LOADING": runbook.NotYet, "BUSY": runbook.Busy,
	"ERR": runbook.Refused, "MISCONF": runbook.Unsafe, "OOM": runbook.Unsafe,
}

// classify turns an error of Redis, or of the way there, into a kind.
func classify(err error, cache runbook.CachePolicy) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	word, _, _ := strings.Cut(err.Error(), " ")
	switch kind, known := kinds[word]; {
	case word == "NOAUTH" || word == "WRONGPASS":
		return runbook.Fail(runbook.Refused, "refuses the password of %s", or(cache.PasswordFile, "nobody: cache.password_file is not set"))
	case known:
		return runbook.Fail(kind, "%s", err)
	case errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "i/o timeout"):
		return runbook.Fail(runbook.Unreachable, "does not answer within %s", observeMax)
	default:
		return runbook.Fail(runbook.Unreachable, "does not answer: %v", err)
	}
}

func or(s, fallback string) string {
	if s != "" {
		return s
	}
	return fallback
}
