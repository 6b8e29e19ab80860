package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Verdict is what a verification found.
type Verdict struct {
	Rows int64 `json:"rows"`
	// Head is the database's own word of its last row.
	Head Head `json:"head"`
	// Spooled rows wait on disk for the database.
	Spooled  int       `json:"spooled"`
	Findings []Finding `json:"findings"`
	// More findings than these were counted, and not kept.
	More int `json:"more,omitempty"`
}

// Sound says whether nothing is wrong.
func (v Verdict) Sound() bool { return len(v.Findings) == 0 && v.More == 0 }

// Verify reads the whole ledger, in one snapshot, and names each row that is not as
// it was written, and what is gone. Heads are rows that others know of, such as the
// results of runs.
func Verify(ctx context.Context, c Config, heads ...Head) (Verdict, error) {
	key, err := c.key()
	if err != nil {
		return Verdict{}, err
	}
	cfg, err := c.connection()
	if err != nil {
		return Verdict{}, err
	}
	v := &verification{key: key, verdict: Verdict{Findings: []Finding{}}}
	for _, h := range heads {
		v.anchors = append(v.anchors, anchor{"the head that was given", h})
	}
	// The files before the snapshot: what they know must be in it.
	if err := v.files(c); err != nil {
		return Verdict{}, err
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return Verdict{}, classify(err, cfg.Host, cfg.Port)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return Verdict{}, classify(err, cfg.Host, cfg.Port)
	}
	if err := v.database(ctx, tx); err != nil {
		return Verdict{}, classify(err, cfg.Host, cfg.Port)
	}
	if err := v.stream(ctx, conn); err != nil {
		return Verdict{}, classify(err, cfg.Host, cfg.Port)
	}
	if !v.file { // the first rows may have been written since
		if _, v.file, _, err = v.headFile(c); err != nil {
			return Verdict{}, err
		}
	}
	return v.finish(), nil
}

type verification struct {
	key     *seal
	anchors []anchor
	// aside are findings about what points at the rows.
	aside   []Finding
	file    bool
	end     int64
	chain   *chain
	verdict Verdict
}

func (v *verification) find(fault Fault, seq int64, what string) {
	v.aside = append(v.aside, Finding{fault, seq, seq, what})
}

// files reads the head's file and the spool. A writer at work may move both between
// the two looks, so it looks until the head stands still.
func (v *verification) files(c Config) error {
	head, _, _, err := v.headFile(c)
	for err == nil {
		var fault string
		if v.verdict.Spooled, fault, err = readSpool(c.state(), v.key, head.Spooled); err != nil {
			return runbook.FailCause(runbook.Refused, err, "%s/%s", StateDir, spoolFile)
		}
		again, found, forged, unread := v.headFile(c)
		if err = unread; again != head {
			head = again
			continue
		}
		switch {
		case forged:
			v.find(Forged, 0, "the head's file "+StateDir+"/"+headFile+" was not written with the ledger's key")
		case found:
			v.anchors = append(v.anchors, anchor{"the head's file", head})
		}
		if fault != "" {
			v.find(Forged, 0, fault)
		}
		v.file = found
		return err
	}
	return err
}

func (v *verification) headFile(c Config) (head Head, found, forged bool, err error) {
	head, found, err = readHead(c.state(), v.key)
	if errors.Is(err, errForged) {
		return head, found, true, nil
	}
	if err != nil {
		return head, found, false, runbook.FailCause(runbook.Refused, err, "%s/%s", StateDir, headFile)
	}
	return head, found, false, nil
}

// database reads the head row.
func (v *verification) database(ctx context.Context, tx pgx.Tx) error {
	var hash, mac []byte
	err := tx.QueryRow(ctx, `SELECT seq, hash, mac FROM ledger.head`).Scan(&v.verdict.Head.Seq, &hash, &mac)
	if errors.Is(err, pgx.ErrNoRows) {
		v.find(Forged, 0, "the database's head row is gone")
		v.chain = newChain(v.key, 0, v.anchors)
		return nil
	}
	if err != nil {
		return err
	}
	copy(v.verdict.Head.Hash[:], hash)
	want := v.key.head(v.verdict.Head.Seq, v.verdict.Head.Hash)
	switch {
	case v.verdict.Head == (Head{}) && len(mac) == 0: // nothing was written yet
	case string(mac) != string(want[:]) || len(hash) != len(Hash{}):
		v.find(Forged, v.verdict.Head.Seq, "the database's head row was not written with the ledger's key")
	default:
		v.end = v.verdict.Head.Seq
		v.anchors = append(v.anchors, anchor{"the database's head row", v.verdict.Head})
	}
	v.chain = newChain(v.key, v.end, v.anchors)
	return nil
}

func (v *verification) finish() Verdict {
	v.verdict.Rows = v.chain.rows
	if !v.file && v.chain.rows > 0 {
		v.find(Forged, 0, "the head's file "+StateDir+"/"+headFile+" is gone: a tail that was cut together with the head row would not show")
	}
	v.verdict.Findings = append(v.aside, v.chain.finish()...)
	if v.verdict.Findings == nil {
		v.verdict.Findings = []Finding{}
	}
	v.verdict.More = v.chain.more
	return v.verdict
}

// stream reads all rows by COPY; hashes are worked out beside it, by all
// processors, and the chain goes through the results in order.
func (v *verification) stream(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lots := make(chan *lot, 2*runtime.GOMAXPROCS(0)) // in order
	work := make(chan *lot, 2*runtime.GOMAXPROCS(0)) // the same, for whoever is free
	for range runtime.GOMAXPROCS(0) {
		go func() {
			for l := range work {
				l.hash(v.key)
			}
		}()
	}
	chained := make(chan struct{})
	go func() {
		defer close(chained)
		for l := range lots {
			<-l.ready
			for _, row := range l.links {
				v.chain.add(row)
			}
		}
	}()
	cut := &cutter{ctx: ctx, lots: lots, work: work}
	_, failed := conn.PgConn().CopyTo(ctx, cut, `COPY (SELECT `+columns+` FROM ledger.rows ORDER BY seq) TO STDOUT (FORMAT binary)`)
	if failed == nil {
		failed = cut.end()
	}
	close(work)
	close(lots)
	<-chained
	if errors.Is(failed, errShape) {
		return runbook.FailCause(runbook.Corrupt, failed, "ledger.rows is not the ledger's table any more")
	}
	return failed
}

// lotMax is how many bytes of rows are handed on at a time.
const lotMax = 1 << 18

// lot is a number of rows, and what became of them.
type lot struct {
	raw   []byte
	links []link
	ready chan struct{}
}

// hash works out whether each row is as it was written.
func (l *lot) hash(key *seal) {
	defer close(l.ready)
	for rest := l.raw; len(rest) > 0; {
		size, _ := tupleSize(rest)
		l.links = append(l.links, asLink(key, rest[2:size]))
		rest = rest[size:]
	}
}

// asLink looks at one tuple, its field count left out.
func asLink(key *seal, tuple []byte) link {
	var out link
	in := reader{rest: tuple}
	var broken bool
	var target []byte
	for i := range columnCount {
		switch value := in.field(); i {
		case atHash:
			copy(out.hash[:], value)
			in.bad = in.bad || len(value) != len(out.hash)
		case atSeq:
			if in.bad = in.bad || len(value) != 8; len(value) == 8 {
				out.seq = int64(binary.BigEndian.Uint64(value))
			}
		case atPrev:
			copy(out.prev[:], value)
			in.bad = in.bad || len(value) != len(out.prev)
		case atTarget:
			target = value
		case atOutcome:
			broken = string(value) == string(Broken)
		}
	}
	if !in.bad && key.of(sealRow, tuple[sealedAt:]) == out.hash {
		out.good = true
		if broken {
			out.broken = string(target)
		}
		return out
	}
	if len(tuple) > sealedAt {
		out.sealed = slices.Clone(tuple[sealedAt:])
	}
	return out
}

// copyHead begins a stream of COPY's binary format: signature, flags, and the
// length of an extension.
const copyHead = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// cutter cuts the stream into lots of whole rows.
type cutter struct {
	ctx     context.Context
	lots    chan<- *lot
	work    chan<- *lot
	pending []byte
	begun   bool
	ended   bool
}

// Write implements io.Writer.
func (c *cutter) Write(p []byte) (int, error) {
	c.pending = append(c.pending, p...)
	if !c.begun {
		if len(c.pending) < len(copyHead) {
			return len(p), nil
		}
		if string(c.pending[:len(copyHead)]) != copyHead {
			return 0, errShape
		}
		c.pending, c.begun = c.pending[len(copyHead):], true
	}
	if len(c.pending) < lotMax {
		return len(p), nil
	}
	return len(p), c.hand()
}

// hand gives the whole rows away and keeps what is behind them.
func (c *cutter) hand() error {
	whole := 0
	for {
		size, err := tupleSize(c.pending[whole:])
		if errors.Is(err, io.EOF) {
			c.ended = true
			break
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
		whole += size
	}
	if whole == 0 {
		return nil
	}
	l := &lot{raw: c.pending[:whole:whole], ready: make(chan struct{})}
	rest := c.pending[whole:]
	c.pending = append(make([]byte, 0, lotMax+len(rest)+4096), rest...)
	for _, to := range []chan<- *lot{c.work, c.lots} {
		select {
		case to <- l:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
	}
	return nil
}

func (c *cutter) end() error {
	if err := c.hand(); err != nil {
		return err
	}
	if !c.ended {
		return runbook.Fail(runbook.Unreachable, "the ledger's rows ended in the middle")
	}
	return nil
}

// tupleSize is the length of the tuple that the bytes begin with; EOF at the
// stream's trailer, ErrUnexpectedEOF where the tuple is not whole.
func tupleSize(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, io.ErrUnexpectedEOF
	}
	switch fields := int16(binary.BigEndian.Uint16(b)); fields {
	case -1:
		return 0, io.EOF
	case columnCount:
	default:
		return 0, fmt.Errorf("a row of %d columns: %w", fields, errShape)
	}
	at := 2
	for range columnCount {
		if len(b) < at+4 {
			return 0, io.ErrUnexpectedEOF
		}
		if n := int32(binary.BigEndian.Uint32(b[at:])); n > 0 {
			at += int(n)
		}
		at += 4
	}
	if len(b) < at {
		return 0, io.ErrUnexpectedEOF
	}
	return at, nil
}
