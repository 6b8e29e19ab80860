package probe

import (
	"context"
	"errors"
	"net"
	"regexp"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// reason is what an operator reads of a failed question, without the wrapping in
// which net/http repeats method and URL.
func reason(ctx context.Context, err error, limit time.Duration) string {
	var timeout net.Error
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return "no answer within " + limit.String()
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return mask(err.Error())
}

// classify turns an error of the way to a worker into a kind.
func classify(ctx context.Context, err error, name string) error {
	if errors.Is(err, context.Canceled) || runbook.KindOf(err) != "" {
		return err
	}
	return runbook.Fail(runbook.Unreachable, "%s does not answer: %s", name, reason(ctx, err, askDefault))
}

var (
	secretField = regexp.MustCompile(`(?i)((?:password|passwd|secret|token|api[_-]?key|authorization|credential)[a-z_-]*"?\s*[:=]\s*"?(?:bearer\s+|basic\s+)?)[^"\s,&;}]+`)
	userInfo    = regexp.MustCompile(`://[^/\s@"]+@`)
)

// mask takes passwords and tokens out of a text that will be kept.
func mask(text string) string {
	return userInfo.ReplaceAllString(secretField.ReplaceAllString(text, "${1}•••"), "://•••@")
}
