package archive

import (
	"context"
	"encoding/binary"

	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// findKnown answers those of $1 that are in the table. LATERAL with LIMIT looks each up
// in the index: of `= ANY` PostgreSQL may make one pass over the whole table.
const findKnown = `SELECT old.id::uuid, old.finished_at::timestamptz FROM unnest($1::uuid[]) AS new (id)
CROSS JOIN LATERAL (SELECT id, finished_at FROM finished_tasks WHERE id = new.id LIMIT 1) AS old`

// binaryFormat is what pgconn calls it.
const binaryFormat = 1

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
	ids := appendArray(make([]byte, 0, 20*(len(list)+1)), uuidOID, len(list))
	for _, t := range list {
		ids = appendField(ids, t.ID[:])
	}
	var known map[partition.TaskID]int64
	r := tx.Conn().PgConn().ExecParams(ctx, findKnown, [][]byte{ids}, nil, []int16{binaryFormat}, []int16{binaryFormat})
	for r.NextRow() {
		if known == nil {
			known = make(map[partition.TaskID]int64, len(list))
		}
		known[partition.TaskID(r.Values()[0])] = int64(binary.BigEndian.Uint64(r.Values()[1])) + epoch
	}
	_, err := r.Close()
	return known, err
}
