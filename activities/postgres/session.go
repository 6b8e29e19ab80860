package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// lookEvery is how often a running statement is looked at.
	lookEvery = 250 * time.Millisecond
	// cancelMax bounds the end of a statement after its cancellation.
	cancelMax = 30 * time.Second
	// nameMax is what PostgreSQL keeps of an application_name (NAMEDATALEN - 1).
	nameMax = 63
	// idleMax is how long a predecessor may sit between two statements before it
	// counts as left behind.
	idleMax = 5 * time.Second
)

// session is one act on one object: a connection that does the work under the
// run's name, and one that looks on.
type session struct {
	hand Hand
	in   runbook.MaintainInput
	name string
	look *pgx.Conn
	act  *pgx.Conn

	// before is what the object was before the work, as heartbeats carry it.
	before trace

	mu      sync.Mutex
	notices []string
}

// sessionName is the application_name of an act, by which a retry finds it.
func sessionName(session string) string {
	if len(session) <= nameMax {
		return session
	}
	sum := sha256.Sum256([]byte(session))
	return session[:nameMax-17] + "-" + hex.EncodeToString(sum[:8])
}

// enter waits until no predecessor of this act works any more, then takes the
// act's place. adopted says that there was one; stopped that the window ended.
func (h Hand) enter(ctx context.Context, in runbook.MaintainInput) (s *session, adopted, stopped bool, err error) {
	if in.Session == "" {
		return nil, false, false, runbook.Fail(runbook.Refused, "the act has no session name, by which a retry would find it")
	}
	s = &session{hand: h, in: in, name: sessionName(in.Session), before: earlier(ctx)}
	if s.look, err = h.connect(ctx, in.DatabaseInput, onlooker, nil); err != nil {
		return nil, false, false, err
	}
	for {
		found, late, err := s.outlast(ctx)
		adopted = adopted || found
		if err != nil || late {
			s.leave()
			return nil, adopted, late, err
		}
		taken, err := s.take(ctx)
		if err != nil {
			s.leave()
			return nil, adopted, false, err
		}
		if taken {
			return s, adopted, false, nil
		}
	}
}

// take opens the working connection and its advisory lock; false when another
// session of this act was quicker.
func (s *session) take(ctx context.Context) (bool, error) {
	act, err := s.hand.connect(ctx, s.in.DatabaseInput, s.name, s.notice)
	if err != nil {
		return false, err
	}
	var taken bool
	err = act.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended($1, 0))`, s.name).Scan(&taken)
	if err != nil || !taken {
		closeConn(act)
		return false, classify(err, s.in.DatabaseInput)
	}
	s.act = act
	// The window's end is kept by our own cancel; this is for when we are gone.
	// CONCURRENTLY waits for other tables' snapshots: a lock_timeout would end it
	// there and leave an invalid index (operations.md §3).
	left := max(time.Until(s.in.Until), time.Second) + cancelMax
	_, err = act.Exec(ctx, fmt.Sprintf("SET lock_timeout = 0; SET statement_timeout = %d", left.Milliseconds()), pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		s.drop()
		return false, classify(err, s.in.DatabaseInput)
	}
	return true, nil
}

func (s *session) notice(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notices = append(s.notices, text)
}

// said answers the first notice that holds the words, or "".
func (s *session) said(words string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.notices {
		if strings.Contains(n, words) {
			return n
		}
	}
	return ""
}

// saw notes what the object is now, unless an earlier attempt saw it before.
func (s *session) saw(oid uint32, bytes int64) {
	if s.before.OID == 0 {
		s.before = trace{OID: oid, Bytes: bytes}
	}
}

func (s *session) leave() {
	s.drop()
	closeConn(s.look)
}

func (s *session) drop() {
	if s.act != nil {
		closeConn(s.act)
		s.act = nil
	}
}

// outlast waits for the end of sessions of this act's name. One that is still at
// work when the window ends, or when the act is cancelled, is cancelled; one that
// idles is ended, since nobody will give it another statement.
func (s *session) outlast(ctx context.Context) (found, late bool, err error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		pid, idle, err := s.predecessor(ctx)
		if err != nil || pid == 0 {
			return found, found && time.Now().After(s.in.Until), err
		}
		found = true
		beat(ctx, s.before)
		switch {
		case idle > idleMax:
			err = s.tell(ctx, "pg_terminate_backend", pid)
		case time.Now().After(s.in.Until):
			err = s.tell(ctx, "pg_cancel_backend", pid)
		}
		if err != nil {
			return found, false, err
		}
		select {
		case <-ctx.Done():
			err := s.tell(context.WithoutCancel(ctx), "pg_cancel_backend", pid)
			return found, false, firstOf(err, ctx.Err())
		case <-tick.C:
		}
	}
}

// predecessor is the oldest other session of this act's name, and how long it has
// been idle.
func (s *session) predecessor(ctx context.Context) (pid int, idle time.Duration, err error) {
	var seconds float64
	err = s.look.QueryRow(ctx, `
		SELECT pid, coalesce(CASE WHEN state <> 'active' THEN extract(epoch FROM clock_timestamp() - state_change) END, 0)::float8
		FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()
		ORDER BY backend_start LIMIT 1`, s.name).Scan(&pid, &seconds)
	if err == pgx.ErrNoRows { //nolint:errorlint // pgx returns it bare
		return 0, 0, nil
	}
	return pid, time.Duration(seconds * float64(time.Second)), classify(err, s.in.DatabaseInput)
}

// tell signals a backend of this act by name, so that a pid that somebody else
// has got since is not hit.
func (s *session) tell(ctx context.Context, signal string, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, lookMax)
	defer cancel()
	_, err := s.look.Exec(ctx, `SELECT `+signal+`(pid) FROM pg_stat_activity WHERE pid = $1 AND application_name = $2`, pid, s.name)
	return classify(err, s.in.DatabaseInput)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
