package assignment

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// fill sets the memory bound so that what is used is this part of it, in percent.
func fill(t *testing.T, m *Machine, percent int64) {
	t.Helper()
	info, err := m.redis.Info(t.Context(), "memory").Result()
	require.NoError(t, err)
	used, err := strconv.ParseInt(regexp.MustCompile(`used_memory:(\d+)`).FindStringSubmatch(info)[1], 10, 64)
	require.NoError(t, err)
	require.NoError(t, m.redis.ConfigSet(t.Context(), "maxmemory", fmt.Sprint(used*100/percent)).Err())
}

// archived runs n tasks to their end and marks them archived.
func archived(t *testing.T, m *Machine, n int) []string {
	t.Helper()
	a := attach(t, m, "a", n)
	ids := make([]string, n)
	args := []any{archiveKeep.Milliseconds()}
	for i := range ids {
		ids[i] = mustSubmit(t, m, draft(fmt.Sprint("k", i), func(d *Draft) { d.Payload = bytes.Repeat([]byte{1}, 64<<10) }))
		args = append(args, ids[i])
	}
	for _, as := range a.claim(t, n) {
		v, err := m.Complete(t.Context(), Report{Agent: "a", Execution: as.Execution})
		require.NoError(t, err)
		require.True(t, v.Accepted)
	}
	_, err := m.run(t.Context(), archivedScript, args...)
	require.NoError(t, err)
	return ids
}

// An hour of archived tasks must not fill Redis: the oldest give their bodies back,
// then their keys, and while it is full only new tasks are refused.
func TestFullRedis(t *testing.T) {
	m := newTestMachine(t, 100*time.Millisecond)
	t.Cleanup(func() { require.NoError(t, m.redis.ConfigSet(context.Background(), "maxmemory", "0").Err()) })
	ids := archived(t, m, 20)

	bodies, whole, err := m.Evict(t.Context(), 10)
	require.NoError(t, err)
	require.Zero(t, bodies+whole, "without a bound nothing goes")
	fill(t, m, 50)
	bodies, whole, err = m.Evict(t.Context(), 10)
	require.NoError(t, err)
	require.Zero(t, bodies+whole, "there is room")

	fill(t, m, 70)
	bodies, whole, err = m.Evict(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, [2]int{10, 0}, [2]int{bodies, whole})
	_, err = m.Get(t.Context(), ids[0])
	require.ErrorIs(t, err, ErrNotFound, "the archive is asked")
	_, err = m.Get(t.Context(), ids[19])
	require.NoError(t, err, "the newest stay")
	again, err := m.Submit(t.Context(), draftOK(t, draft("k0", func(d *Draft) { d.Payload = bytes.Repeat([]byte{1}, 64<<10) })))
	require.NoError(t, err)
	require.Equal(t, Submitted{TaskID: ids[0], Duplicate: true}, again[0], "its key is still known, and its digest")
	again, err = m.Submit(t.Context(), draftOK(t, draft("k0")))
	require.NoError(t, err)
	var conflict *ConflictError
	require.ErrorAs(t, again[0].Err, &conflict)

	// Its state is the archive's to tell: while that is away nothing is made up.
	s := &service{machine: m, archive: awayArchive{}, metrics: newMetrics(prometheus.NewRegistry(), func(string) {}), log: slog.Default()}
	_, _, err = s.submit(t.Context(), draft("k0", func(d *Draft) { d.Payload = bytes.Repeat([]byte{1}, 64<<10) }))
	var unknown *BusyError
	require.ErrorAs(t, err, &unknown)
	require.ErrorContains(t, err, "the key names a task that cannot be read now")

	fill(t, m, 90)
	bodies, whole, err = m.Evict(t.Context(), 15)
	require.NoError(t, err)
	require.Equal(t, [2]int{0, 15}, [2]int{bodies, whole}, "ten without a body first, then five with one")
	left, err := m.redis.Exists(t.Context(), m.prefix+"key:k0", m.prefix+"task:"+ids[14], m.prefix+"task:"+ids[15]).Result()
	require.NoError(t, err)
	require.Equal(t, int64(1), left)
}

// awayArchive is a PostgreSQL that does not answer.
type awayArchive struct{}

func (awayArchive) Find(context.Context, string) (*Task, error) {
	return nil, unavailable("archive", context.DeadlineExceeded)
}

// Full or not: what was accepted is executed, finished, given back and archived.
func TestFullRedis_WhatWasAcceptedGoesOn(t *testing.T) {
	m := newTestMachine(t, 50*time.Millisecond)
	t.Cleanup(func() { require.NoError(t, m.redis.ConfigSet(context.Background(), "maxmemory", "0").Err()) })
	for i := range 3 {
		mustSubmit(t, m, draft(fmt.Sprint("k", i)))
	}
	fill(t, m, 101)
	_, err := m.Submit(t.Context(), draftOK(t, draft("new")))
	var busy *BusyError
	require.ErrorAs(t, err, &busy)
	require.ErrorContains(t, err, "OOM")

	a := attach(t, m, "a", 3)
	list := a.claim(t, 3)
	require.Len(t, list, 3)
	_, err = m.Heartbeat(t.Context(), "a", []Execution{list[1].Execution})
	require.NoError(t, err)
	v, err := m.Complete(t.Context(), Report{Agent: "a", Execution: list[0].Execution})
	require.NoError(t, err)
	require.True(t, v.Accepted)
	_, err = m.Release(t.Context(), "a", "", []Execution{list[1].Execution})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		lost, _, err := m.Expire(t.Context(), 10)
		require.NoError(t, err)
		return lost == 1
	}, 10*time.Second, 5*time.Millisecond)
	archive := &Archive{machine: m, instance: "here"}
	mine, err := archive.turn(t.Context())
	require.NoError(t, err)
	require.True(t, mine)
	other := &Archive{machine: m, instance: "there"}
	mine, err = other.turn(t.Context())
	require.NoError(t, err)
	require.False(t, mine)
	_, err = m.run(t.Context(), archivedScript, 1, list[0].TaskID)
	require.NoError(t, err)
	require.NoError(t, m.Detach(t.Context(), "a", a.session))
}
