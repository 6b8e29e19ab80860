package postgres

import (
	"context"
	"fmt"
	"math"
	"sort"

	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workflows/runbook"
)

// MeasureBloat answers runbook.MeasureBloat. It reads every index page once, and
// of tables the pages that are not all visible.
func (h Hand) MeasureBloat(ctx context.Context, in runbook.DatabaseInput) (runbook.Bloat, error) {
	out := runbook.Bloat{FreeBytes: h.free(ctx, in)}
	conn, err := h.connect(ctx, in, onlooker, nil)
	if err != nil {
		return out, err
	}
	defer closeConn(conn)
	defer beating(ctx, nil)()
	functions, err := functionsOf(ctx, conn)
	if err != nil {
		return out, classify(err, in)
	}
	if functions == "" {
		out.Problems = append(out.Problems, "the extension pgstattuple is not installed in "+in.Database.Name+
			": no index density was measured and rows are estimates; run CREATE EXTENSION pgstattuple")
	}
	m := measurement{conn: conn, functions: functions, out: &out}
	if err := m.tables(ctx); err != nil {
		return out, classify(err, in)
	}
	if err := m.indexes(ctx); err != nil {
		return out, classify(err, in)
	}
	return out, nil
}

func (h Hand) free(ctx context.Context, in runbook.DatabaseInput) int64 {
	if h.FreeDisk == nil {
		return -1
	}
	bytes, err := h.FreeDisk(ctx, in.Project, in.Database.Service)
	if err != nil {
		return -1
	}
	return bytes
}

// functionsOf is the quoted schema of pgstattuple's functions, "" where it is not
// installed.
func functionsOf(ctx context.Context, conn *pgx.Conn) (string, error) {
	var schema *string
	err := conn.QueryRow(ctx, `
		SELECT max(quote_ident(n.nspname)) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
		WHERE e.extname = 'pgstattuple'`).Scan(&schema)
	if err != nil || schema == nil {
		return "", err
	}
	return *schema, nil
}

type measurement struct {
	conn      *pgx.Conn
	functions string
	out       *runbook.Bloat
}

func (m *measurement) problem(what, name string, err error) {
	m.out.Problems = append(m.out.Problems, fmt.Sprintf("%s %s: %v", what, name, reason(err)))
}

type table struct {
	runbook.TableState
	oid uint32
}

func (m *measurement) tables(ctx context.Context) error {
	rows, err := m.conn.Query(ctx, `
		SELECT s.schemaname, s.relname, pg_total_relation_size(s.relid), s.n_live_tup, s.n_dead_tup, s.n_mod_since_analyze,
		       CASE WHEN c.relfrozenxid = '0' THEN 0 ELSE age(c.relfrozenxid) END,
		       s.last_vacuum IS NULL AND s.last_autovacuum IS NULL,
		       s.last_analyze IS NULL AND s.last_autoanalyze IS NULL, s.relid
		FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
		WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
		ORDER BY 3 DESC, 1, 2`)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t table, err error) {
		err = row.Scan(&t.Schema, &t.Name, &t.Bytes, &t.LiveRows, &t.DeadRows, &t.ChangedRows,
			&t.FreezeAge, &t.NeverVacuum, &t.NeverAnalyze, &t.oid)
		return t, err
	})
	if err != nil {
		return err
	}
	for _, t := range found {
		if m.functions != "" {
			if err := m.count(ctx, &t); err != nil {
				return err
			}
		}
		m.out.Tables = append(m.out.Tables, t.TableState)
	}
	return nil
}

// count replaces the statistics' guess by pgstattuple_approx's count.
func (m *measurement) count(ctx context.Context, t *table) error {
	var live, dead int64
	err := m.conn.QueryRow(ctx, `SELECT approx_tuple_count::bigint, dead_tuple_count FROM `+m.functions+`.pgstattuple_approx($1::oid::regclass)`, t.oid).Scan(&live, &dead)
	if err == nil {
		t.LiveRows, t.DeadRows = live, dead
		return nil
	}
	if ctx.Err() != nil || m.conn.IsClosed() {
		return err
	}
	m.problem("rows of", t.Schema+"."+t.Name, err)
	return nil
}

func (m *measurement) indexes(ctx context.Context) error {
	found, err := indexes(ctx, m.conn, userIndexes)
	if err != nil {
		return err
	}
	for _, i := range found {
		if m.functions != "" {
			density, err := density(ctx, m.conn, m.functions, i)
			switch {
			case err == nil:
				i.LeafDensity = density
			case ctx.Err() != nil || m.conn.IsClosed():
				return err
			default:
				m.problem("density of", i.Schema+"."+i.Name, err)
			}
		}
		m.out.Indexes = append(m.out.Indexes, i.IndexState)
	}
	sort.SliceStable(m.out.Indexes, func(a, b int) bool { return m.out.Indexes[a].Bytes > m.out.Indexes[b].Bytes })
	return nil
}

// density is how full the leaves of a B-tree are, in percent; -1 for what has no
// leaves or none yet.
func density(ctx context.Context, conn *pgx.Conn, functions string, i index) (float64, error) {
	if i.Method != "btree" || !i.Valid {
		return -1, nil
	}
	var percent float64
	err := conn.QueryRow(ctx, `SELECT avg_leaf_density FROM `+functions+`.pgstatindex($1::oid::regclass)`, i.oid).Scan(&percent)
	if err != nil {
		return -1, err
	}
	if math.IsNaN(percent) {
		return -1, nil
	}
	return percent, nil
}
