package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workflows/runbook"
)

// writeMax bounds one transaction; a database that takes longer is away.
const writeMax = 2 * time.Second

const (
	lockHead  = `SELECT seq, hash, mac FROM ledger.head FOR UPDATE`
	settled   = `SELECT effect_key FROM ledger.rows WHERE effect_key = ANY($1) AND outcome IN ('done', 'adopted')`
	present   = `SELECT id FROM ledger.rows WHERE seq > $1 AND id = ANY($2)`
	tail      = `SELECT seq, hash FROM ledger.rows ORDER BY seq DESC LIMIT 1`
	moveHead  = `UPDATE ledger.head SET seq = $1, hash = $2, mac = $3`
	insertRow = `INSERT INTO ledger.rows (` + columns + `)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`
)

// store is one connection to the database, as the role that adds rows.
type store struct {
	conn *pgx.Conn
	key  *seal
}

func dial(ctx context.Context, cfg *pgx.ConnConfig, key *seal) (*store, error) {
	ctx, cancel := context.WithTimeout(ctx, writeMax)
	defer cancel()
	// A plan that was made while the table was small would be kept when it has grown:
	// no reading of the whole table, and no compiling, which its price would call for.
	cfg = cfg.Copy()
	cfg.RuntimeParams["enable_seqscan"], cfg.RuntimeParams["jit"] = "off", "off"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, classify(err, cfg.Host, cfg.Port)
	}
	return &store{conn, key}, nil
}

func (s *store) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.conn.Close(ctx) // nothing is lost with a connection that does not close in order
}

// batch is what goes into the database in one transaction.
type batch struct {
	rows []Row
	// known is the head that the rows are expected to follow.
	known Head
	// again: some of the rows may be there already, behind the row floor.
	again bool
	floor int64
	// broken is something that was found wrong outside of the database.
	broken string
}

// insert adds the rows and answers the new head. After an error nobody knows
// whether it did; the connection is of no more use, and the rows come again.
func (s *store) insert(ctx context.Context, b batch) (Head, error) {
	ctx, cancel := context.WithTimeout(ctx, writeMax)
	defer cancel()
	at, err := s.look(ctx, b)
	if err != nil {
		return Head{}, s.classify(err)
	}
	var out pgx.Batch
	for _, broken := range at.broken {
		row, err := brokenRow(broken)
		if err != nil {
			return Head{}, err
		}
		s.chain(&out, &at, row)
	}
	for _, row := range b.rows {
		if at.present[row.ID] {
			continue
		}
		if row.Outcome.settles() {
			if at.settled[row.Key] {
				row.Outcome = Confirmed
			}
			at.settled[row.Key] = true
		}
		s.chain(&out, &at, row)
	}
	mac := s.key.head(at.Seq, at.Hash)
	out.Queue(moveHead, at.Seq, at.Hash[:], mac[:])
	out.Queue("commit")
	return at.Head, s.classify(s.conn.SendBatch(ctx, &out).Close())
}

// chain queues the row behind the one before.
func (s *store) chain(out *pgx.Batch, at *place, row Row) {
	row.Seq, row.Prev = at.Seq+1, at.Hash
	row.Hash = s.key.row(&row)
	at.Seq, at.Hash = row.Seq, row.Hash
	out.Queue(insertRow, row.Hash[:], row.Seq, row.Prev[:], row.ID, row.At, row.Workflow, row.Run, row.Procedure, row.Step,
		row.Effect, row.Target, row.Nth, row.Key[:], row.Attempt, string(row.Outcome), row.Kind, row.Changed, row.Input[:],
		row.DurationMS, row.RequestedBy, row.Trigger, row.Worker)
}

// place is where the next row goes, and what is known of those that shall go there.
type place struct {
	Head
	settled map[Hash]bool
	present map[uuid.UUID]bool
	broken  []string
}

// look begins the transaction, locks the head, and reads what the rows depend on.
func (s *store) look(ctx context.Context, b batch) (place, error) {
	at := place{settled: map[Hash]bool{}, present: map[uuid.UUID]bool{}}
	var keys [][]byte
	var ids []uuid.UUID
	for i := range b.rows {
		ids = append(ids, b.rows[i].ID)
		if b.rows[i].Outcome.settles() {
			keys = append(keys, b.rows[i].Key[:])
		}
	}
	var mac []byte
	var hash []byte
	var out pgx.Batch
	out.Queue("begin")
	out.Queue(lockHead).QueryRow(func(row pgx.Row) error { return row.Scan(&at.Seq, &hash, &mac) })
	if len(keys) > 0 {
		out.Queue(settled, keys).Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
			for _, key := range found {
				at.settled[Hash(key)] = true
			}
			return err
		})
	}
	if b.again {
		out.Queue(present, b.floor, ids).Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
			for _, id := range found {
				at.present[id] = true
			}
			return err
		})
	}
	if err := s.conn.SendBatch(ctx, &out).Close(); err != nil {
		return at, err
	}
	copy(at.Hash[:], hash)
	if b.broken != "" {
		at.broken = append(at.broken, b.broken)
	}
	return at, s.distrust(ctx, b, &at, mac)
}

// distrust holds the database's head against what was written before. Where the two
// differ somebody has been at the database: that goes on record, behind the rows
// that are left, so that no later row hides it.
func (s *store) distrust(ctx context.Context, b batch, at *place, mac []byte) error {
	untouched := at.Seq == 0 && len(mac) == 0 && at.Hash == Hash{}
	want := s.key.head(at.Seq, at.Hash)
	switch {
	case !untouched && string(mac) != string(want[:]):
		at.broken = append(at.broken, fmt.Sprintf("the head (row %d) was not written with the ledger's key", at.Seq))
	case at.Seq < b.known.Seq:
		at.broken = append(at.broken, fmt.Sprintf("the head is row %d, but row %d with hash %s was written", at.Seq, b.known.Seq, b.known.Hash))
	case at.Seq == b.known.Seq && at.Hash != b.known.Hash:
		at.broken = append(at.broken, fmt.Sprintf("the head's hash of row %d is not %s, which was written", at.Seq, b.known.Hash))
	default:
		return nil
	}
	var hash []byte
	err := s.conn.QueryRow(ctx, tail).Scan(&at.Seq, &hash)
	switch {
	case err == pgx.ErrNoRows: //nolint:errorlint // pgx returns it bare
		at.Seq, at.Hash = 0, Hash{}
		return nil
	case err != nil:
		return err
	case len(hash) != len(at.Hash):
		return runbook.Fail(runbook.Corrupt, "the ledger's row %d has a hash of %d bytes", at.Seq, len(hash))
	}
	at.Hash = Hash(hash)
	return nil
}

// brokenRow is the ledger's own row about itself.
func brokenRow(what string) (Row, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return Row{}, runbook.FailCause(runbook.Unreachable, err, "the ledger: no random numbers")
	}
	row := Row{ID: id, At: time.Now(), Outcome: Broken, Kind: string(runbook.Corrupt)}
	row.Act = Act{Step: "ledger.Append", Target: what}
	row.tidy()
	row.Key = row.Act.key()
	return row, nil
}

func (s *store) classify(err error) error {
	return classify(err, s.conn.Config().Host, s.conn.Config().Port)
}
