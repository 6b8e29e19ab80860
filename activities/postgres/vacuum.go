package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/activity"

	"github.com/leanvibe/hive/workflows/runbook"
)

// The outcomes of runbook.Maintained.
const (
	done    = "done"
	adopted = "adopted"
	skipped = "skipped"
	stopped = "stopped"
)

// VacuumTable answers runbook.VacuumTable. It skips a locked table rather than
// queue before it, never cuts the file (which would lock out everybody), and
// pauses as autovacuum does, so that users keep the disk.
func (h Hand) VacuumTable(ctx context.Context, in runbook.MaintainInput) (runbook.Maintained, error) {
	if time.Now().After(in.Until) {
		return windowEnded(), nil
	}
	s, followed, late, err := h.enter(ctx, in)
	if err != nil || late {
		return windowEnded(), err
	}
	defer s.leave()
	table, bytes, err := s.tableOf(ctx)
	if err != nil {
		return runbook.Maintained{}, err
	}
	if table == 0 {
		return runbook.Maintained{Outcome: skipped, Why: "the table does not exist any more"}, nil
	}
	s.saw(table, bytes)
	vacuumed, err := s.vacuumed(ctx, table)
	if err != nil || vacuumed && (followed || retried(ctx)) {
		return runbook.Maintained{Outcome: adopted, Changed: true, BytesBefore: s.before.Bytes, BytesAfter: bytes}, err
	}
	return s.vacuum(ctx, table)
}

func (s *session) vacuum(ctx context.Context, table uint32) (runbook.Maintained, error) {
	out := runbook.Maintained{Outcome: done, BytesBefore: s.before.Bytes, BytesAfter: s.before.Bytes}
	if _, err := s.act.Exec(ctx, "SET vacuum_cost_delay = '2ms'; SET vacuum_cost_limit = 1000", pgx.QueryExecModeSimpleProtocol); err != nil {
		return out, classify(err, s.in.DatabaseInput)
	}
	name := pgx.Identifier{s.in.Schema, s.in.Table}.Sanitize()
	end, err := s.run(ctx, work{sql: "VACUUM (ANALYZE, SKIP_LOCKED, TRUNCATE false, INDEX_CLEANUP AUTO) " + name})
	switch {
	case err != nil:
		return out, err
	case end.late:
		out.Outcome, out.Why = stopped, whyStopped
		return out, nil
	}
	if said := s.said("lock not available"); said != "" {
		out.Outcome, out.Why = skipped, said
		out.Blocker, err = s.holder(ctx, table)
		return out, classify(err, s.in.DatabaseInput)
	}
	out.Changed = true
	_, out.BytesAfter, err = s.tableOf(ctx)
	return out, err
}

// vacuumed says whether a vacuum of ours, or of anybody's hand, has ended since
// this act was asked for.
func (s *session) vacuumed(ctx context.Context, table uint32) (bool, error) {
	if !activity.IsActivity(ctx) {
		return false, nil
	}
	var ended bool
	err := s.look.QueryRow(ctx, `SELECT coalesce(least(last_vacuum, last_analyze) >= $2, false) FROM pg_stat_all_tables WHERE relid = $1`,
		table, activity.GetInfo(ctx).ScheduledTime).Scan(&ended)
	return ended, classify(err, s.in.DatabaseInput)
}

const whyStopped = "the window ended: the rest is for the next run"

func windowEnded() runbook.Maintained { return runbook.Maintained{Outcome: stopped, Why: whyStopped} }
