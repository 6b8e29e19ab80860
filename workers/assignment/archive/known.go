package archive

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// findKnown answers those of $1 that are in the table. LATERAL with LIMIT looks each up
// in the index: of `= ANY` PostgreSQL may make one pass over the whole table.
const findKnown = `SELECT old.id, old.finished_at FROM unnest($1::uuid[]) AS new (id)
CROSS JOIN LATERAL (SELECT id, finished_at FROM finished_tasks WHERE id = new.id LIMIT 1) AS old`

// compare parts tasks into those that the table does not have, and those of which it
// has an older end; of the others it has this end or a newer one. What others commit
// after that is not in the answer.
func compare(ctx context.Context, tx pgx.Tx, list []*partition.Task) (fresh, newer []*partition.Task, err error) {
	known, err := knownOf(ctx, tx, list)
	if err != nil || len(known) == 0 {
		return list, nil, err
	}
	for _, t := range list {
		finished, there := known[t.ID]
		switch {
		case !there:
			fresh = append(fresh, t)
		case t.Finished > finished:
			newer = append(newer, t)
		}
	}
	return fresh, newer, nil
}

// knownOf answers when the tasks that the table has finished, in Unix µs.
func knownOf(ctx context.Context, tx pgx.Tx, list []*partition.Task) (map[partition.TaskID]int64, error) {
	ids := make([]pgtype.UUID, len(list))
	for i, t := range list {
		ids[i] = uuidOf(t.ID)
	}
	rows, err := tx.Query(ctx, findKnown, ids)
	if err != nil {
		return nil, err
	}
	known := map[partition.TaskID]int64{}
	var id pgtype.UUID
	var finished time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &finished}, func() error {
		known[id.Bytes] = finished.UnixMicro()
		return nil
	})
	return known, err
}
