package archive

import (
	"context"
	"encoding/binary"
	"io"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// PostgreSQL's binary format: each field is its length and its bytes, big-endian. The
// types are those of the app schema's first migration. Where a later schema has others
// the stream is mistyped, and each task goes by a statement, with types that PostgreSQL
// names.
const (
	copyTasks = `COPY finished_tasks (` + columns + `) FROM STDIN (FORMAT binary)`
	// copyHeader is the signature, no flags, and no extension.
	copyHeader = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	// copyTrailer stands where the number of a row's fields would.
	copyTrailer = "\xff\xff"
	// copyFields is how many columns a row has.
	copyFields = 18

	uuidOID, textOID = 2950, 25
	// epoch is 2000-01-01 in Unix µs: where PostgreSQL's times begin.
	epoch = 946_684_800_000_000
)

// copyTo adds tasks, none of which the table has, by one COPY. Beside the tasks, which
// their partition holds anyway, it takes pgx's piece of 64 KiB, another one and the
// largest task: however large the batch is, each of insertsMost takes about 1 MiB.
func copyTo(ctx context.Context, tx pgx.Tx, list []*partition.Task) error {
	if len(list) == 0 {
		return nil
	}
	_, err := tx.Conn().PgConn().CopyFrom(ctx, newCopyStream(list), copyTasks)
	return err
}

// copyStream reads as tasks in PostgreSQL's binary format. It encodes a task when it
// is asked for it.
type copyStream struct {
	list  []*partition.Task // those not yet encoded
	buf   []byte            // encoded, and not yet read from at on
	at    int
	ended bool
}

func newCopyStream(list []*partition.Task) *copyStream {
	return &copyStream{list: list, buf: []byte(copyHeader)}
}

// Read implements io.Reader. It fills b but at the end: each piece is a message.
func (c *copyStream) Read(b []byte) (int, error) {
	c.buf, c.at = slices.Delete(c.buf, 0, c.at), 0
	for len(c.buf) < len(b) && len(c.list) > 0 {
		c.buf, c.list = appendRow(c.buf, c.list[0]), c.list[1:]
	}
	if len(c.list) == 0 && !c.ended {
		c.buf, c.ended = append(c.buf, copyTrailer...), true
	}
	if len(c.buf) == 0 {
		return 0, io.EOF
	}
	c.at = copy(b, c.buf)
	return c.at, nil
}

// appendRow adds a task that storable allows, its fields in the order of columns.
func appendRow(b []byte, t *partition.Task) []byte {
	b = binary.BigEndian.AppendUint16(b, copyFields)
	b = appendField(b, t.ID[:])
	b = appendField(b, pgText(t.Key))
	b = appendField(b, pgText(t.Queue))
	b = appendField(b, pgText(t.Handler))
	b = appendTexts(b, t.Capabilities)
	b = appendSmall(b, t.Priority)
	b = appendTime(b, t.Deadline)
	b = appendSmall(b, t.MaxAttempts)
	b = appendField(b, t.Payload)
	b = appendField(b, t.Phase.String())
	b = appendInt(b, t.Attempt)
	b = appendInt(b, t.Failures)
	b = appendField(b, pgText(t.Agent))
	b = appendMicros(b, t.Submitted)
	b = appendTime(b, t.Started)
	b = appendMicros(b, t.Finished)
	b = appendField(b, t.Result)
	return appendField(b, pgText(t.Error))
}

func appendField[T string | []byte](b []byte, field T) []byte {
	return append(appendSize(b, len(field)), field...)
}

func appendSize(b []byte, n int) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }

func appendInt(b []byte, n int) []byte { return appendSize(appendSize(b, 4), n) }

func appendSmall(b []byte, n int) []byte {
	return binary.BigEndian.AppendUint16(appendSize(b, 2), uint16(n))
}

// appendTime is NULL for no time.
func appendTime(b []byte, micros int64) []byte {
	if micros == 0 {
		return appendSize(b, -1)
	}
	return appendMicros(b, micros)
}

func appendMicros(b []byte, micros int64) []byte {
	return binary.BigEndian.AppendUint64(appendSize(b, 8), uint64(micros-epoch))
}

// appendTexts adds a field of type text[].
func appendTexts(b []byte, texts []string) []byte {
	start := len(b)
	b = appendArray(appendSize(b, 0), textOID, len(texts))
	for _, t := range texts {
		b = appendField(b, pgText(t))
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// appendArray adds the head of an array of n elements, none of them NULL.
func appendArray(b []byte, oid, n int) []byte {
	if n == 0 {
		return appendSize(appendSize(appendSize(b, 0), 0), oid) // no dimension
	}
	for _, head := range []int{1, 0, oid, n, 1} { // dimensions, NULLs, type, size, first index
		b = appendSize(b, head)
	}
	return b
}
