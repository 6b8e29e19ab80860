package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workflows/runbook"
)

// blocker is the oldest transaction that a rebuild of the table's index would
// wait for, or whose old row versions it would build in again: of any session that
// holds a snapshot or a lock on the table, a prepared one, or an abandoned slot's.
// One younger than the policy's age is worth waiting for.
func (s *session) blocker(ctx context.Context, table uint32) (*runbook.Query, error) {
	return s.oldest(ctx, table, s.in.Database.LongTransaction.Or(time.Minute))
}

func (s *session) oldest(ctx context.Context, table uint32, age time.Duration) (*runbook.Query, error) {
	found, err := queries(ctx, s.look, `
		SELECT * FROM (
			SELECT a.pid, coalesce(a.usename, ''), a.application_name, coalesce(a.state, ''),
			       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age, a.query
			FROM pg_stat_activity a
			WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.application_name <> $3
			  AND a.backend_type NOT LIKE 'autovacuum%' AND a.xact_start < clock_timestamp() - make_interval(secs => $2)
			  AND (a.backend_xmin IS NOT NULL
			       OR EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.relation = $1 AND l.granted))
			UNION ALL
			SELECT 0, owner::text, 'prepared transaction', 'prepared', extract(epoch FROM clock_timestamp() - prepared)::float8,
			       'PREPARE TRANSACTION ' || quote_ident(gid)
			FROM pg_prepared_xacts
			WHERE database = current_database() AND prepared < clock_timestamp() - make_interval(secs => $2)
			UNION ALL
			SELECT 0, '', 'replication slot', 'inactive', 0::float8, 'replication slot ' || quote_ident(slot_name) || ' keeps old row versions'
			FROM pg_replication_slots WHERE NOT active AND xmin IS NOT NULL
		) blockers ORDER BY age DESC LIMIT 1`, table, age.Seconds(), s.name)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// builder is a session that builds an index of the table, or nobody: there can be
// one build per table, and one of somebody else is never disturbed.
func (s *session) builder(ctx context.Context, table uint32) (*runbook.Query, error) {
	found, err := queries(ctx, s.look, `
		SELECT a.pid, coalesce(a.usename, ''), a.application_name, coalesce(a.state, ''),
		       extract(epoch FROM clock_timestamp() - a.xact_start)::float8, a.query
		FROM pg_stat_progress_create_index p JOIN pg_stat_activity a USING (pid)
		WHERE p.datname = current_database() AND p.relid = $1 AND a.application_name <> $2 LIMIT 1`, table, s.name)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// holder is who keeps the table from a vacuum: the oldest other session with a
// lock on it that conflicts with a vacuum's.
func (s *session) holder(ctx context.Context, table uint32) (*runbook.Query, error) {
	found, err := queries(ctx, s.look, `
		SELECT a.pid, coalesce(a.usename, ''), a.application_name, coalesce(a.state, ''),
		       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float8, a.query
		FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.relation = $1 AND l.granted AND a.application_name <> $2
		  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		  AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
		ORDER BY a.xact_start LIMIT 1`, table, s.name)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// tableOf is the OID of the act's table; 0 where there is none.
func (s *session) tableOf(ctx context.Context) (oid uint32, bytes int64, err error) {
	err = s.look.QueryRow(ctx, `
		SELECT c.oid, pg_total_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'm')`, s.in.Schema, s.in.Table).Scan(&oid, &bytes)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, 0, nil
	}
	return oid, bytes, classify(err, s.in.DatabaseInput)
}

// indexOf is the act's index as it is now, nil where there is none.
func (s *session) indexOf(ctx context.Context) (*index, error) {
	found, err := indexes(ctx, s.look, userIndexes+` WHERE n.nspname = $1 AND i.relname = $2 AND t.relname = $3`, s.in.Schema, s.in.Index, s.in.Table)
	if err != nil || len(found) == 0 {
		return nil, classify(err, s.in.DatabaseInput)
	}
	return &found[0], nil
}
