package engine

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// newGroup is one group with one handler, "mine".
func newGroup(h Handler) *group {
	own := map[string]Handler{"mine": h}
	return &group{
		handlers: own, budget: &budget{}, log: slog.New(slog.DiscardHandler),
		metrics: newMetrics(prometheus.NewRegistry(), &Engine{}, own),
	}
}

func assignment(handler string) *hivev1.Assignment {
	return &hivev1.Assignment{Execution: &hivev1.Execution{TaskId: "t", Attempt: 2}, Queue: "q", Handler: handler, Payload: []byte("p")}
}

func TestExecute_Outcomes(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		run     func(*Task) ([]byte, error)
		cause   error
		outcome string
		want    string
		final   bool
	}{
		"ok":                   {run: func(t *Task) ([]byte, error) { return t.Payload, nil }, outcome: "ok"},
		"unmarked":             {run: func(*Task) ([]byte, error) { return nil, boom }, outcome: "retryable", want: "boom"},
		"permanent":            {run: func(*Task) ([]byte, error) { return nil, Permanent(boom) }, outcome: "permanent", want: "boom", final: true},
		"retryable again":      {run: func(*Task) ([]byte, error) { return nil, Retryable(Permanent(boom)) }, outcome: "retryable", want: "boom"},
		"panic":                {run: func(*Task) ([]byte, error) { panic("spilled") }, outcome: "panic", want: "the handler panicked: spilled"},
		"panic of an error":    {run: func(*Task) ([]byte, error) { panic(boom) }, outcome: "panic", want: "the handler panicked: boom"},
		"nil pointer":          {run: func(*Task) ([]byte, error) { var t *Task; return t.Payload, nil }, outcome: "panic", want: "nil pointer"},
		"result too large":     {run: func(*Task) ([]byte, error) { return make([]byte, resultMax+1), nil }, outcome: "permanent", want: "262145 bytes", final: true},
		"lost":                 {run: func(*Task) ([]byte, error) { return nil, nil }, cause: client.ErrLost, outcome: "lost"},
		"grace over":           {run: func(*Task) ([]byte, error) { return nil, boom }, cause: client.ErrGraceOver, outcome: "released", want: "boom"},
		"grace over, yet done": {run: func(*Task) ([]byte, error) { return nil, nil }, cause: client.ErrGraceOver, outcome: "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(HandlerFunc(func(_ context.Context, task *Task) ([]byte, error) { return c.run(task) }))
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if c.cause != nil {
				cancel(c.cause)
			}
			_, err := g.execute(ctx, "a", assignment("mine"))
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
			require.Equal(t, c.final, isFinal(err))
			require.InDelta(t, 1, value(t, g.metrics.finished.WithLabelValues("mine", c.outcome)), 0)
			require.Zero(t, value(t, g.metrics.running.WithLabelValues("mine")))
		})
	}
}

// value reads one counter or gauge.
func value(t *testing.T, c prometheus.Collector) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	require.NoError(t, err)
	require.Len(t, families, 1)
	m := families[0].GetMetric()[0]
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

// isFinal compares types: the client's mark is its own.
func isFinal(err error) bool {
	final := client.Final(errors.New(""))
	for ; err != nil; err = errors.Unwrap(err) {
		if reflect.TypeOf(err) == reflect.TypeOf(final) {
			return true
		}
	}
	return false
}

func TestExecute_TaskIsWhole(t *testing.T) {
	deadline := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	var got Task
	g := newGroup(HandlerFunc(func(ctx context.Context, task *Task) ([]byte, error) {
		got = *task
		at, ok := ctx.Deadline()
		require.True(t, ok)
		require.True(t, at.Equal(deadline))
		task.Progress(1, "to nobody")
		return nil, nil
	}))
	as := assignment("mine")
	as.Priority, as.Deadline = 7, timestamppb.New(deadline)
	_, err := g.execute(t.Context(), "a", as)
	require.NoError(t, err)
	require.Equal(t, Task{ID: "t", Attempt: 2, Queue: "q", Handler: "mine", Priority: 7, Agent: "a", Deadline: deadline, Payload: []byte("p")}, got)
}

func TestExecute_UnknownHandler(t *testing.T) {
	g := newGroup(HandlerFunc(echo))
	_, err := g.execute(t.Context(), "a", assignment("other"))
	require.ErrorContains(t, err, `agent a has no handler "other"`)
	require.True(t, isFinal(err))
	require.InDelta(t, 1, value(t, g.metrics.finished.WithLabelValues(unknownHandler, "permanent")), 0)
}

func TestExecute_Deadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(HandlerFunc(func(ctx context.Context, _ *Task) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		as := assignment("mine")
		as.Deadline = timestamppb.New(time.Now().Add(3 * time.Second))
		began := time.Now()
		_, err := g.execute(t.Context(), "a", as)
		require.Equal(t, 3*time.Second, time.Since(began))
		require.ErrorContains(t, err, "the task's deadline has passed")
		require.True(t, isFinal(err), "no other attempt would be started")
		require.InDelta(t, 1, value(t, g.metrics.finished.WithLabelValues("mine", "deadline")), 0)
	})
}
