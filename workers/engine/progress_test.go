package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// outbox gathers what is published.
type outbox struct {
	to, ids []string
	reports []report
}

func (o *outbox) publish(to, id string, body []byte) {
	var r report
	if err := json.Unmarshal(body, &r); err != nil {
		panic(err)
	}
	o.to, o.ids, o.reports = append(o.to, to), append(o.ids, id), append(o.reports, r)
}

// reporting runs a handler that reports, and answers what came out.
func reporting(t *testing.T, run func(*Task)) (*outbox, *group) {
	t.Helper()
	g := newGroup(HandlerFunc(func(_ context.Context, task *Task) ([]byte, error) { run(task); return nil, nil }))
	var out outbox
	g.progress, g.publish = ProgressOptions{To: "topic:{queue}.{handler}.{agent}.{task}", Every: time.Second}, out.publish
	_, err := g.execute(t.Context(), "a", assignment("mine"))
	require.NoError(t, err)
	return &out, g
}

// pass lets the test's own time go by.
func pass(d time.Duration) { <-time.After(d) }

func TestProgress_IsThinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, g := reporting(t, func(task *Task) {
			for i := range 30 { // none at the same instant as an interval's end
				task.Progress(float64(i)/30, fmt.Sprint("step ", i))
				pass(110 * time.Millisecond)
			}
			task.Progress(1, "last")
		})
		require.Len(t, out.reports, 5, "at once, after 1, 2 and 3 s, and the last")
		var notes []string
		for _, r := range out.reports {
			notes = append(notes, r.Note)
		}
		require.Equal(t, "step 0", notes[0])
		require.Equal(t, "last", notes[4], "the newest is never lost")
		require.Equal(t, "topic:q.mine.a.t", out.to[0])
		require.Equal(t, []string{"t.2.1", "t.2.2", "t.2.3", "t.2.4", "t.2.5"}, out.ids)
		require.InDelta(t, 31-5, value(t, g.metrics.progress.WithLabelValues("thinned")), 0)
	})
}

func TestProgress_SlowReportsGoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		out, _ := reporting(t, func(task *Task) {
			task.Progress(.1, "a")
			pass(2 * time.Second)
			task.Progress(.2, "b")
			pass(5 * time.Second)
		})
		require.Len(t, out.reports, 2)
		require.True(t, out.reports[1].At.Equal(began.Add(2*time.Second)))
	})
}

func TestProgress_NotAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept *Task
		out, _ := reporting(t, func(task *Task) { kept = task; task.Progress(1, "done") })
		kept.Progress(.5, "late")
		pass(time.Minute)
		require.Len(t, out.reports, 1)
	})
}

func TestProgress_Values(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, _ := reporting(t, func(task *Task) {
			for _, v := range []float64{math.NaN(), -1, 2} {
				task.Progress(v, strings.Repeat("é", noteMax))
				pass(time.Second)
			}
		})
		require.Len(t, out.reports, 3)
		require.Zero(t, out.reports[0].Fraction)
		require.Zero(t, out.reports[1].Fraction)
		require.InDelta(t, 1, out.reports[2].Fraction, 0)
		require.Len(t, out.reports[0].Note, noteMax)
	})
}

func TestProgress_EngineIsBounded(t *testing.T) {
	var b budget
	now := time.Unix(1000, 0)
	taken := 0
	for range 3 * reportsPerSecond {
		if b.take(now) {
			taken++
		}
	}
	require.Equal(t, reportsPerSecond, taken)
	require.True(t, b.take(now.Add(time.Second)))
}

func TestSleep_Reports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sleep := SleepOptions{Max: time.Minute}.handler()
		out, _ := reporting(t, func(task *Task) {
			task.Payload = []byte("4500ms")
			_, err := sleep(t.Context(), task)
			require.NoError(t, err)
		})
		require.Len(t, out.reports, 4)
		require.InDelta(t, 4/4.5, out.reports[3].Fraction, 1e-9)
	})
}

func TestHubSender_HubAway(t *testing.T) {
	g := newGroup(HandlerFunc(echo))
	s, err := newHubSender("http://127.0.0.1:1", "i", "", g.metrics, g.log)
	require.NoError(t, err)
	const more = 10
	for i := range hubWindow + more {
		s.publish("a", fmt.Sprint(i), nil) // never blocks
	}
	require.InDelta(t, more, value(t, g.metrics.progress.WithLabelValues("dropped")), 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.run(ctx)
	s.flush()
	require.InDelta(t, hubWindow+more, value(t, g.metrics.progress.WithLabelValues("dropped")), 0)
	require.NoError(t, s.check(ctx))
}
