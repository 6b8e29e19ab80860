package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Observe answers runbook.ObserveDatabase.
func (h Hand) Observe(ctx context.Context, in runbook.DatabaseInput) (runbook.DatabaseState, error) {
	var out runbook.DatabaseState
	ctx, cancel := context.WithTimeout(ctx, lookMax)
	defer cancel()
	conn, err := h.connect(ctx, in, onlooker, nil)
	if err != nil {
		return out, err
	}
	defer closeConn(conn)
	err = conn.QueryRow(ctx, `
		SELECT current_setting('server_version'), pg_database_size(current_database()),
		       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
		       current_setting('max_connections')::int`).
		Scan(&out.Version, &out.SizeBytes, &out.Connections, &out.MaxConnections)
	if err != nil {
		return out, classify(err, in)
	}
	if out.LongQueries, err = longQueries(ctx, conn, in.Database.LongQuery.Or(time.Minute)); err != nil {
		return out, classify(err, in)
	}
	out.Leftovers, err = leftovers(ctx, conn)
	return out, classify(err, in)
}

func longQueries(ctx context.Context, conn *pgx.Conn, age time.Duration) ([]runbook.Query, error) {
	return queries(ctx, conn, `
		SELECT pid, coalesce(usename, ''), application_name, coalesce(state, ''), extract(epoch FROM now() - query_start)::float8, query
		FROM pg_stat_activity
		WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
		  AND query_start < now() - make_interval(secs => $1)
		ORDER BY query_start LIMIT 20`, age.Seconds())
}

// queries reads rows of pid, user, application, state, age in seconds, text.
func queries(ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([]runbook.Query, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (runbook.Query, error) {
		var q runbook.Query
		var age float64
		err := row.Scan(&q.PID, &q.User, &q.Application, &q.State, &age, &q.Text)
		q.Age, q.Text = runbook.Duration(age*float64(time.Second)), normalise(q.Text)
		return q, err
	})
}

// userIndexes selects the indexes of users' tables, without temporary ones and
// those of partitioned tables, which hold nothing themselves.
const userIndexes = `
	SELECT n.nspname, t.relname, i.relname, pg_relation_size(i.oid), x.indisvalid AND x.indisready,
	       NOT x.indisexclusion, am.amname, i.oid
	FROM pg_index x
	JOIN pg_class i ON i.oid = x.indexrelid AND i.relkind = 'i' AND i.relpersistence <> 't'
	JOIN pg_class t ON t.oid = x.indrelid
	JOIN pg_namespace n ON n.oid = i.relnamespace AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
	JOIN pg_am am ON am.oid = i.relam`

// unbuilt says that nobody builds on the index's table: the progress view names
// the table, since a rebuild of several indexes shows only the one in work, and
// the lock on the index is held from a rebuild's beginning to its end.
const unbuilt = `
	NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = x.indrelid)
	AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.relation = i.oid AND l.granted
	                AND l.mode = 'ShareUpdateExclusiveLock' AND l.pid <> pg_backend_pid()
	                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))`

type index struct {
	runbook.IndexState
	oid uint32
}

func leftovers(ctx context.Context, conn *pgx.Conn) ([]runbook.IndexState, error) {
	found, err := indexes(ctx, conn, userIndexes+` WHERE NOT (x.indisvalid AND x.indisready) AND `+unbuilt+` ORDER BY 1, 3`)
	out := make([]runbook.IndexState, 0, len(found))
	for _, i := range found {
		out = append(out, i.IndexState)
	}
	return out, err
}

func indexes(ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([]index, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (index, error) {
		i := index{IndexState: runbook.IndexState{LeafDensity: -1}}
		err := row.Scan(&i.Schema, &i.Table, &i.Name, &i.Bytes, &i.Valid, &i.Rebuildable, &i.Method, &i.oid)
		return i, err
	})
}
