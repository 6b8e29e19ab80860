// Package notify is the hand that tells people: by the services of a file of
// shoutrrr URLs, and always by a line in a file of this machine. The URLs are
// secrets: no part of one leaves this package.
package notify

import (
	"context"
	"errors"
	"sort"
	"sync"

	"go.temporal.io/sdk/activity"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// defaultFile is the sink where the policy names none.
	defaultFile = "out/notifications.log"
	// tries is how many attempts a service gets; then the notice is as delivered as
	// it will be.
	tries = 3
)

// Hand sends the notices of one project.
type Hand struct {
	// ProjectDir is the absolute project root.
	ProjectDir string
}

// Send answers runbook.SendNotice. A sink that took the notice of this key before
// is not told again; one that did not is tried again by the next attempt.
func (h Hand) Send(ctx context.Context, in runbook.NoticeInput) (runbook.NoticeOutput, error) {
	out := runbook.NoticeOutput{Delivered: []string{}}
	if in.Key == "" || in.Title == "" {
		return out, runbook.Fail(runbook.Refused, "a notice needs a key, by which it is sent once, and a title")
	}
	record, err := h.record(in.Key)
	if err != nil {
		return out, classify(err, recordDir)
	}
	var again []string
	if err := h.write(in); err == nil {
		out.Delivered = append(out.Delivered, "file")
	} else {
		again = append(again, "file")
	}
	services, bad, err := h.services(in.Notify)
	if err != nil {
		return out, err
	}
	out.Failed = append(out.Failed, bad...)
	for _, r := range tell(ctx, services, record, in) {
		switch {
		case r.err == nil:
			out.Delivered = append(out.Delivered, r.scheme)
		case errors.Is(r.err, errUnusable):
			out.Failed = append(out.Failed, r.scheme)
		default:
			again = append(again, r.scheme)
		}
	}
	if len(again) > 0 && activity.IsActivity(ctx) && activity.GetInfo(ctx).Attempt < tries {
		return out, runbook.Fail(runbook.Unreachable, "the notice %q has not reached %v yet", in.Title, again)
	}
	out.Failed = append(out.Failed, again...)
	sort.Strings(out.Failed)
	if len(out.Delivered) == 0 {
		return out, runbook.Fail(runbook.Refused, "the notice %q reached nobody: %v did not take it", in.Title, out.Failed)
	}
	return out, nil
}

// told is how one service took the notice.
type told struct {
	scheme string
	err    error
}

// tell tells every service that has not heard yet, side by side, and keeps on
// record who has.
func tell(ctx context.Context, services []service, record *record, in runbook.NoticeInput) []told {
	out := make([]told, len(services))
	var wg sync.WaitGroup
	for i, s := range services {
		out[i].scheme = s.scheme
		if record.has(s) {
			continue
		}
		wg.Go(func() {
			if out[i].err = s.send(ctx, in); out[i].err == nil {
				out[i].err = record.add(s)
			}
		})
	}
	wg.Wait()
	return out
}
