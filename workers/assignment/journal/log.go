package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/workers/assignment/codec"
)

// Options name a partition and its would-be owner.
type Options struct {
	Client    redis.UniversalClient // *redis.Client or *redis.ClusterClient
	Partition int
	Name      string        // the owner, as others are told
	Lease     time.Duration // from 100 ms
	Replicas  int           // that must confirm each change (WAIT); 0 on a single node
}

func (o Options) validate() error {
	switch o.Client.(type) {
	case *redis.Client, *redis.ClusterClient:
	default:
		return fmt.Errorf("client is %T: want a *redis.Client or *redis.ClusterClient, for example rediscluster.New(addrs, password)", o.Client)
	}
	switch {
	case o.Partition < 0:
		return fmt.Errorf("partition is %d: want 0 or more, for example 7", o.Partition)
	case o.Name == "":
		return fmt.Errorf("name is empty: want the owner's name, for example orchestrator-1")
	case o.Lease < 100*time.Millisecond:
		return fmt.Errorf("lease is %s: want at least 100ms, for example 3s", o.Lease)
	case o.Replicas < 0:
		return fmt.Errorf("replicas is %d: want 0 or more, for example 1", o.Replicas)
	}
	return nil
}

// maxExact is the last number that a script's arithmetic holds exactly: Lua numbers
// are doubles. An owner refuses to go beyond it.
const maxExact = 1<<53 - 1

// Log is one owner's hold on one partition. Its methods may be called from
// several goroutines and run one after the other; Renew alone waits for none.
type Log struct {
	opts                   Options
	owner, log, snap, next string

	mu      sync.Mutex
	link    link
	epoch   uint64
	first   uint64 // the takeover record
	seq     uint64 // the last acknowledged
	buf     []byte
	sum     uint32
	bodies  Bodies // of the append that is on its way, or pending
	pending bool
	fenced  atomic.Bool

	// The lease has a connection of its own, so that a slow append, snapshot or
	// recovery does not lose it. That is safe: a renewal checks the epoch in its
	// script and writes the lease's field only, so in whatever order Redis runs it
	// and an append, each is refused once somebody has taken over, and neither
	// changes what the other checks (epoch and sequence). A renewal that overtakes
	// an append only puts off the next takeover.
	leaseMu   sync.Mutex
	leaseLink link
}

// Takeover takes a partition that is free or whose lease has run out by Redis
// time; a *HeldError says that it is neither. Where the owner key was lost, it goes
// on from the log's last sequence and epoch; a *CorruptError says that the log no
// longer tells them.
func Takeover(ctx context.Context, opts Options) (*Log, error) {
	if err := opts.validate(); err != nil {
		return nil, err
	}
	tag := fmt.Sprintf("{p%d}:", opts.Partition)
	l := &Log{opts: opts, owner: tag + "owner", log: tag + "log", snap: tag + "snap", next: tag + "snap:new"}
	l.link = link{client: opts.Client, key: l.owner, replicas: opts.Replicas}
	l.leaseLink = l.link
	reply, err := l.link.run(ctx, takeoverScript, []string{l.owner, l.log, l.snap}, opts.Name, opts.Lease.Milliseconds(), rand.Text())
	if err != nil {
		l.link.close()
		return nil, err
	}
	switch reply[0] {
	case "held":
		l.link.close()
		left, _ := reply[2].(int64)
		return nil, &HeldError{fmt.Sprint(reply[1]), time.Duration(left) * time.Millisecond}
	case "exhausted":
		l.link.close()
		return nil, fmt.Errorf("%s: %w", l.owner, ErrExhausted)
	case "damaged":
		l.link.close()
		return nil, &CorruptError{fmt.Sprint(reply[1]), 0, "its last entries are gone, and " + l.owner + " too: restore the partition's keys from a backup, or delete them all to begin anew"}
	}
	if l.epoch, err = strconv.ParseUint(fmt.Sprint(reply[1]), 10, 64); err != nil {
		return nil, err
	}
	if l.first, err = strconv.ParseUint(fmt.Sprint(reply[2]), 10, 64); err != nil {
		return nil, err
	}
	l.seq = l.first
	return l, nil
}

// Epoch answers the owner's epoch; it grows with every takeover.
func (l *Log) Epoch() uint64 { return l.epoch }

// Sequence answers the last sequence that this owner was given.
func (l *Log) Sequence() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq
}

// Append makes one batch durable and answers its sequence. On ErrUnknown the
// batch stays pending: Resolve settles it.
func (l *Log) Append(ctx context.Context, records [][]byte) (uint64, error) {
	return l.AppendWith(ctx, records, Bodies{})
}

// AppendWith is Append, and stores and drops bodies in the same instant. They must not change
// until it is settled.
func (l *Log) AppendWith(ctx context.Context, records [][]byte, bodies Bodies) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch size := codec.Size(records); {
	case l.fenced.Load():
		return 0, ErrFenced
	case l.pending:
		return 0, ErrPending
	case l.seq >= maxExact:
		return 0, ErrExhausted
	case len(records) == 0 || len(records) > codec.MaxRecords:
		return 0, fmt.Errorf("records: %d in a batch: want 1 to %d, for example 500", len(records), codec.MaxRecords)
	case size > codec.MaxBytes:
		return 0, fmt.Errorf("records: %d bytes in a batch: want at most %d, for example 64000", size, codec.MaxBytes)
	}
	if err := bodies.fit(); err != nil {
		return 0, err
	}
	l.bodies = bodies
	l.buf, l.sum = codec.Append(l.buf[:0], l.epoch, l.seq+1, records)
	return l.send(ctx)
}

// Resolve sends a pending append again under its own sequence.
func (l *Log) Resolve(ctx context.Context) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.pending {
		return 0, ErrNothingPending
	}
	return l.send(ctx)
}

func (l *Log) send(ctx context.Context) (uint64, error) {
	l.pending = true
	keys, args := []string{l.owner, l.log, l.snap}, []any{l.epoch, l.seq + 1, fmt.Sprintf("%08x", l.sum), l.buf}
	for i := range l.bodies.Put {
		keys, args = append(keys, l.BodyKey(l.bodies.Put[i].Name)), append(args, l.bodies.Put[i].Bytes)
	}
	for _, name := range l.bodies.Drop {
		keys = append(keys, l.BodyKey(name))
	}
	err := l.call(ctx, &l.link, appendScript, keys, args...)
	if l.pending = err != nil && !errors.Is(err, ErrFenced); !l.pending {
		l.bodies = Bodies{}
	}
	if err != nil {
		return 0, err
	}
	l.seq++
	return l.seq, nil
}

// call runs a script that answers ok, fenced, lost or gap.
func (l *Log) call(ctx context.Context, to *link, s *redis.Script, keys []string, args ...any) error {
	reply, err := to.run(ctx, s, keys, args...)
	if err != nil {
		return err
	}
	switch reply[0] {
	case "ok":
		return nil
	case "lost":
		return &CorruptError{l.owner, l.seq, fmt.Sprintf("the key has no epoch (deleted or evicted), and the log, which ends at sequence %v, has no later owner: take over again", reply[1])}
	case "gap":
		return &CorruptError{l.log, l.seq, fmt.Sprintf("was acknowledged, but Redis knows no sequence after %v", reply[1])}
	}
	l.fenced.Store(true)
	return fmt.Errorf("%w: epoch is %v, ours was %d", ErrFenced, reply[1], l.epoch)
}

// Renew extends the lease by its term from now, by Redis time. It does not wait
// for an append, a snapshot or a recovery that is under way.
func (l *Log) Renew(ctx context.Context) error { return l.lease(ctx, l.opts.Lease) }

// Release frees the partition for the next owner at once, behind an append that
// is under way.
func (l *Log) Release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lease(ctx, 0)
}

func (l *Log) lease(ctx context.Context, term time.Duration) error {
	l.leaseMu.Lock()
	defer l.leaseMu.Unlock()
	return l.call(ctx, &l.leaseLink, leaseScript, []string{l.owner, l.log, l.snap}, l.epoch, term.Milliseconds())
}

// Close gives the connections back. It does not release the partition.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.link.close()
	l.leaseMu.Lock()
	defer l.leaseMu.Unlock()
	l.leaseLink.close()
}

// Durability says in a few words what an acknowledged append survives.
func (l *Log) Durability(ctx context.Context) (string, error) {
	if l.opts.Replicas > 0 {
		return fmt.Sprintf("confirmed by %d replicas", l.opts.Replicas), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.link.connect(ctx); err != nil {
		return "", err
	}
	said, err := l.link.conn.ConfigGet(ctx, "append*").Result()
	if err != nil {
		return "", err
	}
	if said["appendonly"] != "yes" {
		return "memory only: appendonly is no", nil
	}
	return "append-only file, fsync " + said["appendfsync"], nil
}
