package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workflows/runbook"
)

// space is how much free disk a rebuild needs, as a multiple of the index.
const space = 2

// RebuildIndex answers runbook.RebuildIndex.
func (h Hand) RebuildIndex(ctx context.Context, in runbook.MaintainInput) (runbook.Maintained, error) {
	if time.Now().After(in.Until) {
		return windowEnded(), nil
	}
	s, followed, late, err := h.enter(ctx, in)
	if err != nil {
		return runbook.Maintained{}, err
	}
	if late {
		return windowEnded(), nil
	}
	defer s.leave()
	r := rebuild{session: s, followed: followed || retried(ctx)}
	if r.functions, err = functionsOf(ctx, s.look); err != nil {
		return runbook.Maintained{}, classify(err, in.DatabaseInput)
	}
	return r.run(ctx)
}

type rebuild struct {
	*session
	functions string
	// followed: an attempt before this one may have done the work.
	followed bool
}

func (r rebuild) run(ctx context.Context) (runbook.Maintained, error) {
	i, err := r.indexOf(ctx)
	if err != nil {
		return runbook.Maintained{}, err
	}
	if i == nil {
		return runbook.Maintained{Outcome: skipped, Why: "the index does not exist any more"}, nil
	}
	r.saw(i.oid, i.Bytes)
	if err := r.clean(ctx); err != nil {
		return runbook.Maintained{}, err
	}
	percent, err := r.measure(ctx, *i)
	if err != nil {
		return runbook.Maintained{}, err
	}
	if out := r.settled(*i, percent); out != nil {
		return *out, nil
	}
	out := runbook.Maintained{Outcome: skipped, BytesBefore: i.Bytes, BytesAfter: i.Bytes}
	table, _, err := r.tableOf(ctx)
	if err != nil {
		return out, err
	}
	if out.Why = corrupting(r.look); out.Why != "" {
		return out, nil
	}
	if out.Blocker, out.Why, err = r.preflight(ctx, table, *i); err != nil || out.Why != "" {
		return out, err
	}
	return r.build(ctx, table)
}

// settled answers where nothing is left to do: a rebuilt index has another OID
// under the same name, and is dense.
func (r rebuild) settled(i index, percent float64) *runbook.Maintained {
	out := runbook.Maintained{BytesBefore: r.before.Bytes, BytesAfter: i.Bytes, DensityTo: percent}
	switch {
	case i.Valid && i.oid != r.before.OID:
		out.Outcome, out.Changed = adopted, true
	case i.Valid && percent >= r.in.Database.MinLeafDensity && r.followed:
		out.Outcome, out.Changed = adopted, true
	case i.Valid && percent >= r.in.Database.MinLeafDensity:
		out.Outcome, out.Why = skipped, fmt.Sprintf("not bloated any more: %.0f %% leaf density", percent)
	case !i.Rebuildable:
		out.Outcome, out.Why = skipped, "it belongs to an exclusion constraint, which PostgreSQL cannot rebuild without blocking queries"
	default:
		return nil
	}
	return &out
}

// preflight says why the rebuild must not begin now.
func (r rebuild) preflight(ctx context.Context, table uint32, i index) (*runbook.Query, string, error) {
	blocker, err := r.builder(ctx, table)
	if err != nil || blocker != nil {
		return blocker, "another build is at work on its table", classify(err, r.in.DatabaseInput)
	}
	blocker, err = r.blocker(ctx, table)
	if err != nil || blocker != nil {
		return blocker, whyBlocked(blocker), classify(err, r.in.DatabaseInput)
	}
	if free := r.hand.free(ctx, r.in.DatabaseInput); free >= 0 && free < space*i.Bytes {
		return nil, fmt.Sprintf("%d bytes are free on the disk and a rebuild needs %d", free, space*i.Bytes), nil
	}
	return nil, "", nil
}

// corrupting names the versions whose CONCURRENTLY loses rows from indexes in
// silence (PostgreSQL 14.4's release notes).
func corrupting(conn *pgx.Conn) string {
	version := conn.PgConn().ParameterStatus("server_version")
	switch word, _, _ := strings.Cut(version, " "); word {
	case "14.0", "14.1", "14.2", "14.3":
		return "PostgreSQL " + word + " corrupts indexes that it rebuilds concurrently: update to 14.4 or later"
	}
	return ""
}

func whyBlocked(q *runbook.Query) string {
	if q == nil {
		return "blocked"
	}
	return fmt.Sprintf("blocked by pid %d (%s of %s, %s) for %s: %s", q.PID, q.Application, q.User, q.State, q.Age.D().Round(time.Second), q.Text)
}

func (r rebuild) build(ctx context.Context, table uint32) (runbook.Maintained, error) {
	out := runbook.Maintained{Outcome: done, BytesBefore: r.before.Bytes, BytesAfter: r.before.Bytes}
	name := pgx.Identifier{r.in.Schema, r.in.Index}.Sanitize()
	end, err := r.session.run(ctx, work{
		sql:     "REINDEX INDEX CONCURRENTLY " + name,
		blocked: func(ctx context.Context) (*runbook.Query, error) { return r.waitsFor(ctx, table) },
	})
	if err != nil || !end.complete() {
		// Cancelled midway, its half-built copy costs writes: it goes before we do.
		cleaned := r.clean(context.WithoutCancel(ctx))
		out.Outcome, out.Why = stopped, whyStopped
		if end.blocker != nil {
			out.Outcome, out.Blocker, out.Why = skipped, end.blocker, whyBlocked(end.blocker)
		}
		return out, firstOf(err, cleaned)
	}
	return r.verified(ctx, out)
}

// waitsFor is the long transaction that the running rebuild waits for, if any.
func (r rebuild) waitsFor(ctx context.Context, table uint32) (*runbook.Query, error) {
	var waits bool
	err := r.look.QueryRow(ctx, `SELECT coalesce(bool_or(phase LIKE 'waiting%'), false) FROM pg_stat_progress_create_index WHERE pid = $1`,
		r.act.PgConn().PID()).Scan(&waits)
	if err != nil || !waits {
		return nil, err
	}
	return r.blocker(ctx, table)
}

// verified looks at what came out; a statement that succeeded is no proof.
func (r rebuild) verified(ctx context.Context, out runbook.Maintained) (runbook.Maintained, error) {
	i, err := r.indexOf(ctx)
	if err != nil {
		return out, err
	}
	if i == nil || !i.Valid {
		return out, runbook.Fail(runbook.Corrupt, "index %s.%s is not valid after its rebuild: look at it by hand", r.in.Schema, r.in.Index)
	}
	out.Changed, out.BytesAfter = true, i.Bytes
	out.DensityTo, err = r.measure(ctx, *i)
	return out, err
}

func (r rebuild) measure(ctx context.Context, i index) (float64, error) {
	if r.functions == "" {
		return -1, nil
	}
	defer beating(ctx, r.before)()
	percent, err := density(ctx, r.look, r.functions, i)
	return percent, classify(err, r.in.DatabaseInput)
}
