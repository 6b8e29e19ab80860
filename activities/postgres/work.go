package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"go.temporal.io/sdk/activity"

	"github.com/leanvibe/hive/workflows/runbook"
)

// trace is what a heartbeat carries: what the object was before the work, so that
// a retry can tell whether its predecessor finished it.
type trace struct {
	OID   uint32 `json:"oid"`
	Bytes int64  `json:"bytes"`
}

// earlier is what an earlier attempt of this act saw before its work.
func earlier(ctx context.Context) trace {
	var first trace
	if activity.IsActivity(ctx) && activity.HasHeartbeatDetails(ctx) && activity.GetHeartbeatDetails(ctx, &first) == nil {
		return first
	}
	return trace{}
}

// retried says that an earlier attempt of this act may have worked.
func retried(ctx context.Context) bool {
	return activity.IsActivity(ctx) && activity.GetInfo(ctx).Attempt > 1
}

// work is a statement to run under watch.
type work struct {
	sql string
	// blocked, where given, is asked at each look; an answer ends the work.
	blocked func(context.Context) (*runbook.Query, error)
}

// ended is how a work ended when it did not fail.
type ended struct {
	// late: the window ended and the statement was cancelled.
	late bool
	// blocker was waited for, and the statement was cancelled.
	blocker *runbook.Query
}

// complete says that the statement ran to its end.
func (e ended) complete() bool { return !e.late && e.blocker == nil }

// run runs the statement to its end, to the window's end or to a blocker. The
// statement's own context is never cancelled: closing the socket would leave the
// backend at work, so the backend is told, and its end awaited.
func (s *session) run(ctx context.Context, w work) (ended, error) {
	done := make(chan error, 1)
	go func() {
		_, err := s.act.PgConn().Exec(context.WithoutCancel(ctx), w.sql).ReadAll()
		done <- err
	}()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	beat(ctx, s.before)
	for {
		select {
		case err := <-done:
			return ended{}, classify(err, s.in.DatabaseInput)
		case <-ctx.Done():
			finished, err := s.halt(ctx, done)
			if finished {
				return ended{}, err
			}
			return ended{}, firstOf(err, ctx.Err())
		case <-tick.C:
		}
		beat(ctx, s.before)
		why, err := s.why(ctx, w)
		if err != nil || !why.complete() {
			finished, haltErr := s.halt(ctx, done)
			if finished && haltErr == nil {
				return ended{}, nil
			}
			return why, firstOf(haltErr, err)
		}
	}
}

// why says whether the running statement must end before its end.
func (s *session) why(ctx context.Context, w work) (ended, error) {
	if time.Now().After(s.in.Until) {
		return ended{late: true}, nil
	}
	if w.blocked == nil {
		return ended{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookMax)
	defer cancel()
	blocker, err := w.blocked(ctx)
	return ended{blocker: blocker}, classify(err, s.in.DatabaseInput)
}

// halt cancels our own backend and waits for the statement's end. finished says
// that the statement had come to its end by itself.
func (s *session) halt(ctx context.Context, done <-chan error) (finished bool, err error) {
	told := s.tell(context.WithoutCancel(ctx), "pg_cancel_backend", int(s.act.PgConn().PID()))
	limit := time.NewTimer(cancelMax)
	defer limit.Stop()
	select {
	case err := <-done:
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "57014" {
			return false, nil // query_canceled: what we asked for
		}
		return err == nil, classify(err, s.in.DatabaseInput)
	case <-limit.C:
		// The backend goes on; a retry finds it by its name.
		return false, firstOf(told, runbook.Fail(runbook.Unreachable, "the backend of %q did not end within %s of its cancellation", s.name, cancelMax))
	}
}
