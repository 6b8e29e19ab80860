package partition

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/assignment/journal"
	"github.com/leanvibe/hive/workers/redistest"
)

// patience bounds what must come, on a machine that may stand still for a while; a lease and a partition's end as well.
const patience = 30 * time.Second

// stream is an agent's end: it keeps what it is told.
type stream struct {
	mu       sync.Mutex
	got      []Assignment
	lost     []Execution
	wake     chan struct{}
	replaced atomic.Bool
}

func newStream() *stream { return &stream{wake: make(chan struct{}, 1)} }

func (s *stream) Assign(list []Assignment) {
	s.mu.Lock()
	s.got = append(s.got, list...)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *stream) Replaced()   { s.replaced.Store(true) }
func (s *stream) Wanted(bool) {}
func (s *stream) Granted(int) {}

func (s *stream) Ended(Execution) {}

func (s *stream) Seated(lost []Execution) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = lost
}

func (s *stream) take() []Assignment {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.got
	s.got = nil
	return out
}

var numbers atomic.Int64

// options are those of a partition that no other test uses.
func options(t testing.TB) Options {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{redistest.Addr(t)}})
	t.Cleanup(func() { _ = client.Close() })
	limits := DefaultLimits()
	limits.Tasks, limits.Agents = 10_000, 100
	limits.Lease = time.Hour // no agent falls silent because the machine stands still
	return Options{
		Journal: journal.Options{Client: client, Partition: int(numbers.Add(1)), Name: "first", Lease: patience},
		Limits:  limits,
	}
}

// serve opens and runs a partition; ended answers what Run did.
func serve(t testing.TB, opts Options) (p *Partition, stop func(), ended <-chan error) {
	t.Helper()
	p, err := Open(t.Context(), opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- p.Run(ctx) }()
	t.Cleanup(cancel)
	return p, cancel, over
}

func drafts(n int, edit func(i int, d *Draft)) []*Draft {
	out := make([]*Draft, n)
	for i := range out {
		out[i] = &Draft{ID: uuid.Must(uuid.NewV7()), Queue: "q", Handler: "h", MaxAttempts: 3, Payload: []byte("body")}
		if edit != nil {
			edit(i, out[i])
		}
	}
	return out
}

// work reports every assignment of s as done, until ctx ends.
func work(ctx context.Context, p *Partition, name string, s *stream) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		var reports []Report
		for _, a := range s.take() {
			reports = append(reports, Report{Agent: name, Execution: a.Execution, Result: a.Payload})
		}
		if _, err := p.Report(ctx, reports); err != nil {
			return
		}
	}
}

func TestPartition_Works(t *testing.T) {
	p, stop, ended := serve(t, options(t))
	s := newStream()
	_, err := p.Seat(t.Context(), []Seating{{AgentSpec: AgentSpec{ID: "a", Capacity: 8}, Slots: 8, Sink: s}})
	require.NoError(t, err)
	go work(t.Context(), p, "a", s)
	list := drafts(500, nil)
	out, err := p.Submit(t.Context(), list)
	require.NoError(t, err)
	for i, o := range out {
		require.NoError(t, o.Err)
		task, err := p.Await(t.Context(), list[i].ID)
		require.NoError(t, err)
		require.Equal(t, Completed, task.Phase)
		require.Equal(t, 1, task.Attempt)
		require.Equal(t, "body", string(task.Result))
	}
	stop()
	require.NoError(t, <-ended)
	_, err = p.Get(t.Context(), list[0].ID)
	require.ErrorIs(t, err, ErrLost, "after the end everybody is told to ask the next owner")
}

func TestPartition_NextOwnerKnowsEverything(t *testing.T) {
	for name, bytes := range map[string]int{"from the log": 64 << 20, "from a snapshot": 5_000} {
		t.Run(name, func(t *testing.T) {
			opts := options(t)
			opts.SnapshotBytes = bytes
			p, stop, ended := serve(t, opts)
			s := newStream()
			_, err := p.Seat(t.Context(), []Seating{{AgentSpec: AgentSpec{ID: "a", Capacity: 10}, Slots: 10, Sink: s}})
			require.NoError(t, err)
			list := drafts(300, func(i int, d *Draft) { d.Key = fmt.Sprint("key", i) })
			for i := 0; i < len(list); i += 50 {
				_, err = p.Submit(t.Context(), list[i:i+50])
				require.NoError(t, err)
			}
			<-s.wake
			held := s.take()
			require.Len(t, held, 10)
			_, err = p.Report(t.Context(), []Report{{Agent: "a", Execution: held[0].Execution, Result: []byte("done")}})
			require.NoError(t, err)
			if bytes < 1<<20 {
				require.Eventually(t, func() bool {
					first, err := opts.Journal.Client.XRangeN(t.Context(), fmt.Sprintf("{p%d}:log", opts.Journal.Partition), "-", "+", 1).Result()
					return err == nil && len(first) == 1 && first[0].ID != "1-0"
				}, patience, time.Millisecond, "the snapshot trims the log")
			}
			stop()
			require.NoError(t, <-ended)

			opts.Journal.Name = "second"
			next, _, _ := serve(t, opts)
			done, err := next.Get(t.Context(), held[0].Task)
			require.NoError(t, err)
			require.Equal(t, "done", string(done.Result))
			repeat := *list[0]
			repeat.ID = uuid.Must(uuid.NewV7())
			out, err := next.Submit(t.Context(), []*Draft{&repeat})
			require.NoError(t, err)
			require.True(t, out[0].Duplicate, "the key is known")
			why, err := next.Explain(t.Context(), held[1].Task)
			require.NoError(t, err)
			require.Contains(t, why, "is not attached")

			// The agent comes back with what it holds; one that it never had is lost.
			again := newStream()
			unknown := Execution{Task: uuid.Must(uuid.NewV7()), Attempt: 1}
			_, err = next.Seat(t.Context(), []Seating{{
				AgentSpec: AgentSpec{ID: "a", Capacity: 10}, Slots: 10, Held: []Execution{held[1].Execution, unknown}, Sink: again,
			}})
			require.NoError(t, err)
			require.Equal(t, []Execution{unknown}, again.lost)
			verdicts, err := next.Report(t.Context(), []Report{
				{Agent: "a", Execution: held[1].Execution}, {Agent: "a", Execution: held[2].Execution}, {Agent: "a", Execution: held[0].Execution, Result: []byte("done")},
			})
			require.NoError(t, err)
			require.True(t, verdicts[0].Accepted)
			require.False(t, verdicts[1].Accepted && !verdicts[1].Duplicate, "it was given back by the attach")
			require.True(t, verdicts[2].Duplicate)
		})
	}
}

func TestPartition_FencedOwnerAcknowledgesNothing(t *testing.T) {
	opts := options(t)
	p, _, ended := serve(t, opts)
	_, err := p.Submit(t.Context(), drafts(1, nil))
	require.NoError(t, err)
	require.NoError(t, p.log.Release(t.Context())) // as if its lease had run out
	opts.Journal.Name = "second"
	next, _, _ := serve(t, opts)
	late := drafts(1, nil)
	_, err = p.Submit(t.Context(), late)
	require.ErrorIs(t, err, ErrLost)
	require.ErrorIs(t, <-ended, journal.ErrFenced)
	_, err = next.Get(t.Context(), late[0].ID)
	require.ErrorIs(t, err, ErrNotFound)
}

func TestPartition_RedisAway(t *testing.T) {
	opts := options(t)
	mine := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{redistest.Addr(t)}})
	opts.Journal.Client = mine
	opts.Journal.Lease = 500 * time.Millisecond // it waits for Redis as long at its end
	p, stop, ended := serve(t, opts)
	_, err := p.Submit(t.Context(), drafts(1, nil))
	require.NoError(t, err)
	require.NoError(t, mine.Close())
	p.log.Close() // its connections too: the partition is cut off
	told := make(chan error, 1)
	go func() {
		_, err := p.Submit(context.Background(), drafts(1, nil))
		told <- err
	}()
	stop()
	require.Error(t, <-ended)
	require.ErrorIs(t, <-told, ErrLost, "nothing is acknowledged that Redis has not confirmed")
}

func TestPartition_FullQueueRefuses(t *testing.T) {
	opts := options(t)
	opts.Calls = 1
	p, err := Open(t.Context(), opts) // and nobody serves it
	require.NoError(t, err)
	t.Cleanup(p.log.Close)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Stats(gone)
	require.ErrorIs(t, err, context.Canceled)
	_, err = p.Stats(t.Context())
	var busy *BusyError
	require.ErrorAs(t, err, &busy)
	require.Positive(t, busy.RetryAfter)
}

// Ten megabytes in one call are more than one append takes.
func TestPartition_BatchOverAnAppend(t *testing.T) {
	opts := options(t)
	p, stop, ended := serve(t, opts)
	list := drafts(40, func(_ int, d *Draft) { d.Payload = make([]byte, 256<<10) })
	_, err := p.Submit(t.Context(), list)
	require.NoError(t, err)
	stop()
	require.NoError(t, <-ended)
	next, _, _ := serve(t, opts)
	for _, d := range list {
		_, err := next.Get(t.Context(), d.ID)
		require.NoError(t, err)
	}
}

func TestPartition_HeldByAnother(t *testing.T) {
	opts := options(t)
	serve(t, opts)
	opts.Journal.Name = "second"
	_, err := Open(t.Context(), opts)
	var held *journal.HeldError
	require.ErrorAs(t, err, &held)
	require.Equal(t, "first", held.Name)
}

func TestPartition_DamagedRecord(t *testing.T) {
	opts := options(t)
	log, err := journal.Takeover(t.Context(), opts.Journal)
	require.NoError(t, err)
	_, err = log.Append(t.Context(), [][]byte{append([]byte{byte(kindForgotten)}, make([]byte, 16)...)})
	require.NoError(t, err)
	require.NoError(t, log.Release(t.Context()))
	log.Close()
	_, err = Open(t.Context(), opts)
	var bad *RecordError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, uint64(2), bad.Seq)
	require.ErrorContains(t, err, "which no record before it has submitted")
}
