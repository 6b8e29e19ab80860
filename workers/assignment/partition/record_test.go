package partition

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// No bytes make the decoder read beyond them, and what it reads it reads the same again.
func FuzzDecode(f *testing.F) {
	var w writer
	t := Task{Draft: Draft{
		ID: uuid.MustParse("01976ba8-7d3c-7000-8000-000000000001"), Key: "k", Queue: "q", Handler: "h",
		Capabilities: []string{"gpu", "ssd"}, Priority: 9, Deadline: 7, MaxAttempts: 3, Payload: []byte("body"),
	}, Phase: Running, Attempt: 2, Failures: 1, Agent: "a", Submitted: 5, Started: 6, Result: []byte{}, Error: "why"}
	apart := t
	apart.Payload, apart.stored = nil, &stored{payload: ref{5000, [16]byte{1}}}
	both := t
	both.Payload, both.Result, both.stored = nil, nil, &stored{ref{5000, [16]byte{1}}, ref{70_000, [16]byte{2}}}
	for _, write := range []func(){
		func() { w.submitted(&apart) }, func() { w.whole(&apart) }, func() { w.whole(&both) },
		func() {
			w.ended(&event{id: t.ID, at: 9, cause: causeCompleted, phase: Completed, ref: ref{5000, [16]byte{3}}})
		},
		func() { w.submitted(&t) }, func() { w.started(&t) }, func() { w.whole(&t) }, func() { w.forgotten(t.ID) },
		func() {
			w.ended(&event{id: t.ID, at: 9, cause: causeFailed, phase: Dead, text: "why", body: []byte("b")})
		},
		func() { w.counters(&Stats{Queue: "q", Submitted: 1, LateRefused: 300}) },
		func() { w.redriven(t.ID, 9) }, func() { w.archived(nil) }, func() { w.archived([]TaskID{t.ID, {1}}) },
	} {
		w.buf = nil
		write()
		f.Add(w.buf)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decode(b)
		if err != nil {
			return
		}
		var w writer
		switch e.kind {
		case kindSubmitted:
			w.submitted(e.whole)
		case kindStarted:
			w.started(&Task{Draft: Draft{ID: e.id}, Started: e.at, Attempt: int(e.attempt), Agent: e.agent})
		case kindEnded:
			w.ended(&e)
		case kindForgotten:
			w.forgotten(e.id)
		case kindWhole:
			w.whole(e.whole)
		case kindCounters:
			e.id = TaskID{} // they speak of no task
			w.counters(&e.stats)
		case kindRedriven:
			w.redriven(e.id, e.at)
		case kindArchived:
			e.id = TaskID{} // nor do they of one
			var ids []TaskID
			for id := range slices.Chunk(e.ids, len(TaskID{})) {
				ids = append(ids, TaskID(id))
			}
			w.archived(ids)
		default:
			t.Fatalf("this test does not write records of kind %d", e.kind)
		}
		again, err := decode(w.buf)
		require.NoError(t, err)
		require.Equal(t, e, again)
	})
}

// older is a record as versions wrote it that kept all bodies in their records: numbers, texts
// behind their length, and single bytes.
func older(fields ...any) []byte {
	var b []byte
	for _, f := range fields {
		switch f := f.(type) {
		case byte:
			b = append(b, f)
		case int:
			b = binary.AppendUvarint(b, uint64(f))
		case string:
			b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
		case [16]byte:
			b = append(b, f[:]...)
		}
	}
	return b
}

// A journal of an older version is read: its large bodies stay in memory, and leave no keys.
func TestState_OlderRecords(t *testing.T) {
	payload, result := strings.Repeat("p", 3*bodyMost), strings.Repeat("r", 2*bodyMost)
	one, two, digest := [16]byte{1}, [16]byte{2}, [16]byte{9}
	log := [][]byte{
		older(byte(1), one, 5, "key", digest, "q", "h", 1, "gpu", 4, 0, 3, payload),
		older(byte(2), one, 6, 1, "agent"),
		older(byte(3), one, 7, byte(1), byte(3), "", result),
		older(byte(5), two, 5, "", digest, "q", "h", 0, 0, 0, 3, payload, byte(1), 0, 0, "", 0, 0, "", ""),
	}
	s, err := NewState(small())
	require.NoError(t, err)
	for _, record := range log {
		require.NoError(t, s.Apply(record))
	}
	require.NoError(t, s.Ready(8))
	same := func(s *State) {
		t.Helper()
		first, err := s.Get(one)
		require.NoError(t, err)
		require.Equal(t, Completed, first.Phase)
		require.Equal(t, payload, string(first.Payload))
		require.Equal(t, result, string(first.Result))
		require.Nil(t, first.stored)
		second, err := s.Get(two)
		require.NoError(t, err)
		require.Equal(t, Waiting, second.Phase)
		require.Equal(t, payload, string(second.Payload))
	}
	same(s)
	next, err := NewState(small())
	require.NoError(t, err)
	require.NoError(t, next.restore(bytes.NewReader(snapshot(s))))
	require.NoError(t, next.Ready(9))
	same(next)

	h := &hand{runs: map[Execution]bool{}}
	_, err = next.Seat(10, Seating{AgentSpec: AgentSpec{ID: "agent", Capacity: 1}, Slots: 1, Sink: h})
	require.NoError(t, err)
	verdict, err := next.Report(11, Report{Agent: "agent", Execution: Execution{one, 1}, Result: []byte(result)})
	require.NoError(t, err)
	require.True(t, verdict.Duplicate)
	next.Archived(offered(next, 10, 1<<20))
	_, err = next.Tick(1<<50, 10)
	require.NoError(t, err)
	c := next.take(&Changes{})
	for _, a := range c.given {
		require.Equal(t, payload, string(a.Payload), "attempt %d has the payload", a.Attempt)
	}
	require.NotEmpty(t, c.given)
	require.Empty(t, c.bodies, "nothing of it was ever in Redis")
	require.NotContains(t, next.tasks, TaskID(one))
}
