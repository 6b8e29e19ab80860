package partition

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/redistest"
)

const large = 64 << 10

// largeBody is a body that tells its number.
func largeBody(n int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%08d", n), large/8) }

// keys answers how many bodies Redis keeps for a partition.
func keys(t *testing.T, opts *Options) int {
	t.Helper()
	list, err := opts.Journal.Client.Keys(t.Context(), fmt.Sprintf("{p%d}:body:*", opts.Journal.Partition)).Result()
	require.NoError(t, err)
	return len(list)
}

// seated attaches an agent with slots.
func seated(t *testing.T, p *Partition, name string, slots int) *stream {
	t.Helper()
	s := newStream()
	refused, err := p.Seat(t.Context(), []Seating{{AgentSpec: AgentSpec{ID: name, Capacity: slots}, Slots: slots, Sink: s}})
	require.NoError(t, err)
	require.NoError(t, refused[0])
	return s
}

func TestPartition_LargeBodiesFromSubmitToForgotten(t *testing.T) {
	for name, snapshot := range map[string]int{"from the log": 64 << 20, "from snapshots": 4000} {
		t.Run(name, func(t *testing.T) {
			opts := options(t)
			opts.SnapshotBytes = snapshot
			opts.Limits.Bytes = 1 << 20
			opts.Limits.Finished = 1 // what the archive has goes at the next tick
			opts.Limits.Keep = time.Millisecond
			p, stop, ended := serve(t, opts)
			const tasks = 100
			list := drafts(tasks, func(i int, d *Draft) { d.Payload = largeBody(i) })
			for i := 0; i < tasks; i += 10 {
				out, err := p.Submit(t.Context(), list[i:i+10])
				require.NoError(t, err)
				for _, o := range out {
					require.NoError(t, o.Err, "six megabytes of payloads take nothing of the one that tasks may")
				}
			}
			require.Equal(t, tasks, keys(t, &opts))
			// The next owner knows them too.
			stop()
			require.NoError(t, <-ended)
			opts.Journal.Name = "second"
			p, _, _ = serve(t, opts)
			for i, d := range list {
				task, err := p.Get(t.Context(), d.ID)
				require.NoError(t, err)
				require.Equal(t, largeBody(i), task.Payload)
			}
			seat := seated(t, p, "a", 7)
			go work(t.Context(), p, "a", seat)
			for i, d := range list {
				task, err := p.Await(t.Context(), d.ID)
				require.NoError(t, err)
				require.Equal(t, Completed, task.Phase)
				require.Equal(t, largeBody(i), task.Payload)
				require.Equal(t, largeBody(i), task.Result, "the agent had the payload")
			}
			require.Equal(t, 2*tasks, keys(t, &opts))

			archived := 0
			for archived < tasks {
				got, err := p.Unarchived(t.Context(), 0, tasks, 20*large)
				require.NoError(t, err)
				require.Len(t, got, 10, "a batch is bounded by its bodies")
				for _, task := range got {
					require.Len(t, task.Payload, large)
					require.Equal(t, task.Payload, task.Result)
				}
				confirm(t, p, len(got))
				archived += len(got)
			}
			require.Eventually(t, func() bool { return keys(t, &opts) == 0 }, patience, 10*time.Millisecond, "what is forgotten leaves nothing in Redis")
			_, err := p.Get(t.Context(), list[0].ID)
			require.ErrorIs(t, err, ErrNotFound)
		})
	}
}

// The same large result again is known as such by its digest, also at the next owner.
func TestPartition_LargeResultTwice(t *testing.T) {
	opts := options(t)
	p, stop, ended := serve(t, opts)
	s := seated(t, p, "a", 1)
	list := drafts(1, nil)
	_, err := p.Submit(t.Context(), list)
	require.NoError(t, err)
	<-s.wake
	report := Report{Agent: "a", Execution: s.take()[0].Execution, Result: largeBody(1)}
	other := report
	other.Result = largeBody(2)
	for range 2 {
		verdicts, err := p.Report(t.Context(), []Report{report, report, other})
		require.NoError(t, err)
		require.True(t, verdicts[1].Duplicate)
		require.False(t, verdicts[2].Accepted)
		require.Equal(t, 1, keys(t, &opts))
		stop()
		require.NoError(t, <-ended)
		p, stop, ended = serve(t, opts)
	}
}

// A task whose payload Redis has lost is executed by nobody: it is dead, with the reason.
func TestPartition_PayloadLostInRedis(t *testing.T) {
	for name, harm := range map[string]struct {
		do  func(c redis.UniversalClient, key string) error
		why string
	}{
		"deleted": {func(c redis.UniversalClient, key string) error { return c.Del(t.Context(), key).Err() }, "is missing"},
		"changed": {func(c redis.UniversalClient, key string) error { return c.SetRange(t.Context(), key, 9, "X").Err() }, "holds 65536 other bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := options(t)
			p, _, _ := serve(t, opts)
			list := drafts(3, func(i int, d *Draft) { d.Payload = largeBody(i) })
			_, err := p.Submit(t.Context(), list)
			require.NoError(t, err)
			key := fmt.Sprintf("{p%d}:body:%s:p", opts.Journal.Partition, list[1].ID)
			require.NoError(t, harm.do(opts.Journal.Client, key))
			var broken *BodyError
			_, err = p.Get(t.Context(), list[1].ID)
			require.ErrorAs(t, err, &broken)
			require.Equal(t, list[1].ID, broken.Task)
			require.Equal(t, key, broken.Key)
			require.ErrorContains(t, err, harm.why)

			s := seated(t, p, "a", 3)
			go work(t.Context(), p, "a", s)
			for _, i := range []int{0, 2} {
				task, err := p.Await(t.Context(), list[i].ID)
				require.NoError(t, err)
				require.Equal(t, largeBody(i), task.Result)
			}
			_, err = p.Await(t.Context(), list[1].ID)
			require.ErrorAs(t, err, &broken)
			dead, err := p.List(t.Context(), Page{Phase: Dead, Most: 10})
			require.NoError(t, err)
			require.Len(t, dead, 1)
			require.Equal(t, list[1].ID, dead[0].ID)
			require.Contains(t, dead[0].Error, key+", "+harm.why)
			agents, err := p.Agents(t.Context())
			require.NoError(t, err)
			require.Zero(t, agents[0].Running)

			// The archive has what there is, and the word of what is not.
			got, err := p.Unarchived(t.Context(), 0, 10, 1<<20)
			require.NoError(t, err)
			require.Len(t, got, 3)
			for _, task := range got {
				if task.ID == list[1].ID {
					require.Empty(t, task.Payload)
					require.Equal(t, 2, strings.Count(task.Error, harm.why), "why it ended, and what the archive lacks")
				} else {
					require.Len(t, task.Payload, large)
					require.Empty(t, task.Error)
				}
			}
		})
	}
}

// Whoever reads a task that is forgotten meanwhile is sent to the archive, and one that
// belongs to another owner by then to that one.
func TestPartition_BodiesGoneMeanwhile(t *testing.T) {
	opts := options(t)
	opts.Limits.Keep = time.Millisecond
	p, _, ended := serve(t, opts)
	list := drafts(2, func(i int, d *Draft) { d.Payload = largeBody(i) })
	_, err := p.Submit(t.Context(), list)
	require.NoError(t, err)
	forget := func(p *Partition, d *Draft) Task {
		t.Helper()
		before, err := p.peek(t.Context(), d.ID)
		require.NoError(t, err)
		require.Empty(t, before.Payload, "it is not in memory")
		left := keys(t, &opts) - 1
		require.NoError(t, p.Cancel(t.Context(), d.ID))
		got, err := p.Unarchived(t.Context(), 0, 1, 1)
		require.NoError(t, err)
		confirm(t, p, len(got))
		require.Eventually(t, func() bool { return keys(t, &opts) == left }, patience, time.Millisecond)
		return before
	}
	_, err = p.complete(t.Context(), forget(p, list[0]))
	require.ErrorIs(t, err, ErrNotFound)

	require.NoError(t, p.log.Release(t.Context())) // as if its lease had run out
	opts.Journal.Name = "second"
	next, _, _ := serve(t, opts)
	before := forget(next, list[1])
	_, err = p.complete(t.Context(), before)
	require.ErrorIs(t, err, ErrLost)
	select {
	case err := <-ended:
		require.ErrorIs(t, err, ErrLost)
	default: // it has not noticed yet
	}
}

func TestPartition_BodiesWhileRedisIsAway(t *testing.T) {
	opts := options(t)
	mine := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{redistest.Addr(t)}})
	opts.Journal.Client = mine
	p, _, _ := serve(t, opts)
	list := drafts(1, func(i int, d *Draft) { d.Payload = largeBody(i) })
	_, err := p.Submit(t.Context(), list)
	require.NoError(t, err)
	require.NoError(t, mine.Close())
	_, err = p.Get(t.Context(), list[0].ID)
	var busy *BusyError
	require.ErrorAs(t, err, &busy)
	require.ErrorContains(t, err, "cannot be read from Redis")
}

// confirm says that the first n of what p has offered last are archived.
func confirm(t *testing.T, p *Partition, n int) {
	t.Helper()
	_, err := p.Unarchived(t.Context(), n, 0, 0)
	require.NoError(t, err)
}
