package journal

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"sync"
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

// Log is one owner's hold on one partition. Its methods may be called from
// several goroutines and run one after the other.
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
	pending bool
	fenced  bool
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

// Append makes one batch durable and answers its sequence. On ErrUnknown the
// batch stays pending: Resolve settles it.
func (l *Log) Append(ctx context.Context, records [][]byte) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch size := codec.Size(records); {
	case l.fenced:
		return 0, ErrFenced
	case l.pending:
		return 0, ErrPending
	case len(records) == 0 || len(records) > codec.MaxRecords:
		return 0, fmt.Errorf("records: %d in a batch: want 1 to %d, for example 500", len(records), codec.MaxRecords)
	case size > codec.MaxBytes:
		return 0, fmt.Errorf("records: %d bytes in a batch: want at most %d, for example 64000", size, codec.MaxBytes)
	}
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
	if err := l.call(ctx, appendScript, []string{l.owner, l.log, l.snap}, l.epoch, l.seq+1, fmt.Sprintf("%08x", l.sum), l.buf); err != nil {
		return 0, err
	}
	l.pending = false
	l.seq++
	return l.seq, nil
}

// call runs a script that answers ok, fenced, lost or gap.
func (l *Log) call(ctx context.Context, s *redis.Script, keys []string, args ...any) error {
	reply, err := l.link.run(ctx, s, keys, args...)
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
	l.fenced, l.pending = true, false
	return fmt.Errorf("%w: epoch is %v, ours was %d", ErrFenced, reply[1], l.epoch)
}

// Renew extends the lease by its term from now, by Redis time.
func (l *Log) Renew(ctx context.Context) error { return l.lease(ctx, l.opts.Lease) }

// Release frees the partition for the next owner at once.
func (l *Log) Release(ctx context.Context) error { return l.lease(ctx, 0) }

func (l *Log) lease(ctx context.Context, term time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.call(ctx, leaseScript, []string{l.owner, l.log, l.snap}, l.epoch, term.Milliseconds())
}

// Close gives the connection back. It does not release the partition.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.link.close()
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
