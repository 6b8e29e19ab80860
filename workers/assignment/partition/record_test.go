package partition

import (
	"slices"
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
	for _, write := range []func(){
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
