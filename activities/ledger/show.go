package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Query chooses rows; an empty field chooses all.
type Query struct {
	// Run is a workflow ID, a run ID, or both with a slash between. The children of a
	// run, whose IDs begin with their parent's, belong to it.
	Run       string
	Procedure string
	// Target may hold '*' for anything.
	Target string
	// Step is a whole name, or a system's, such as "containers".
	Step    string
	Outcome Outcome
	Since   time.Time
	Until   time.Time
	// Limit is how many rows, the newest; 0 is all.
	Limit int
}

// where is the query's condition and its arguments.
func (q Query) where() (string, []any) {
	var parts []string
	var args []any
	add := func(condition string, value any) {
		args = append(args, value)
		parts = append(parts, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	if q.Run != "" {
		add(`(workflow = ? OR run = ? OR workflow || '/' || run = ? OR starts_with(workflow, ? || '/'))`, q.Run)
	}
	if q.Procedure != "" {
		add(`procedure = ?`, q.Procedure)
	}
	if q.Target != "" {
		add(`target LIKE ?`, pattern(q.Target))
	}
	if q.Step != "" {
		add(`(step = ? OR starts_with(step, ? || '.'))`, q.Step)
	}
	if q.Outcome != "" {
		add(`outcome = ?`, string(q.Outcome))
	}
	if !q.Since.IsZero() {
		add(`at >= ?`, q.Since)
	}
	if !q.Until.IsZero() {
		add(`at < ?`, q.Until)
	}
	if len(parts) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(parts, " AND "), args
}

// pattern is LIKE's form of a text with '*'.
func pattern(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`).Replace(text)
}

// Show reads the rows that the query chooses, oldest first.
func Show(ctx context.Context, c Config, q Query) ([]Row, error) {
	cfg, err := c.connection()
	if err != nil {
		return nil, err
	}
	if q.Outcome != "" && !slices.Contains(Outcomes(), q.Outcome) {
		return nil, runbook.Fail(runbook.Refused, "outcome %q: want one of %v", q.Outcome, Outcomes())
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, classify(err, cfg.Host, cfg.Port)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	where, args := q.where()
	sql := `SELECT ` + columns + ` FROM ledger.rows` + where + ` ORDER BY seq DESC`
	if q.Limit > 0 {
		sql += fmt.Sprintf(" LIMIT %d", q.Limit)
	}
	found, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, classify(err, cfg.Host, cfg.Port)
	}
	rows, err := pgx.CollectRows(found, scan)
	if err != nil {
		return nil, classify(err, cfg.Host, cfg.Port)
	}
	slices.Reverse(rows)
	return rows, nil
}

func scan(from pgx.CollectableRow) (Row, error) {
	var r Row
	var hash, prev, key, input []byte
	err := from.Scan(&hash, &r.Seq, &prev, &r.ID, &r.At, &r.Workflow, &r.Run, &r.Procedure, &r.Step, &r.Effect, &r.Target,
		&r.Nth, &key, &r.Attempt, &r.Outcome, &r.Kind, &r.Changed, &input, &r.DurationMS, &r.RequestedBy, &r.Trigger, &r.Worker)
	copy(r.Hash[:], hash)
	copy(r.Prev[:], prev)
	copy(r.Key[:], key)
	copy(r.Input[:], input)
	r.At = r.At.UTC()
	return r, err
}
