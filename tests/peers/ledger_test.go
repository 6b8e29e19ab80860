package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// faulty is a fixture: a queue in memory that does to one task what it is told to.
type faulty struct {
	queue chan Task
	// lose is never acknowledged, double is twice, and misbook's acknowledgement
	// names the task after it. Zero: none.
	lose, double, misbook uint64
	// holds is what the server says that it still holds; once said, the run's
	// time is over.
	holds int64
	over  context.CancelFunc
}

func (p *faulty) Start(context.Context, Env) error {
	p.queue = make(chan Task, windowTasks)
	return nil
}

func (p *faulty) Submit(_ context.Context, _ int, batch []Task) error {
	for _, t := range batch {
		p.queue <- t
	}
	return nil
}

func (p *faulty) Consume(ctx context.Context, sink Sink) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case t := <-p.queue:
			switch id := sink.Begin(t.Payload); {
			case id == 0:
				sink.Done(id)
			case id == p.lose:
			case id == p.double:
				sink.Done(id, id)
			case id == p.misbook:
				sink.Done(id + 1)
			default:
				sink.Done(id)
			}
		}
	}
}

func (p *faulty) Left(context.Context) (int64, error) {
	if p.holds > 0 {
		p.over()
	}
	return p.holds, nil
}

func (p *faulty) Stop() error { return nil }

// saturateFixture runs the fixture as contenders are run.
func saturateFixture(t *testing.T, p *faulty) error {
	t.Helper()
	spec := Spec{Name: "fixture", Batch: 100, Lanes: 1, New: func() Peer { return p }}
	s, err := open(t.Context(), spec, Env{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	ctx, over := context.WithCancel(t.Context())
	defer over()
	p.over = over
	_, err = s.saturate(ctx, time.Minute, 2000)
	return err
}

func TestBooksOfAnHonestPeerClose(t *testing.T) {
	require.NoError(t, saturateFixture(t, &faulty{}))
}

func TestChecker(t *testing.T) {
	for name, c := range map[string]struct {
		peer faulty
		want string
	}{
		"booked on another task":        {faulty{misbook: 700}, "task 700 was never acknowledged (of 2000 tasks: lost 1, doubled 1"},
		"doubled":                       {faulty{double: 700}, "task 700 was acknowledged 2 times (of 2000 tasks: lost 0, doubled 1"},
		"lost and doubled, count right": {faulty{lose: 700, double: 900}, "task 700 was never acknowledged (of 2000 tasks: lost 1, doubled 1"},
		"server still holds":            {faulty{holds: 3}, "the server still holds 3 tasks"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, saturateFixture(t, &c.peer), c.want)
		})
	}
}

func TestLostTaskEndsTheWait(t *testing.T) {
	l := NewLedger()
	require.True(t, l.reserve(t.Context(), 2))
	batch := l.take(2, now())
	l.submitted(batch)
	l.Done(l.Begin(batch[0].Payload))
	limit, cancel := context.WithCancel(t.Context())
	cancel()
	require.EqualError(t, l.settle(limit), "1 tasks were not acknowledged in time")
	require.ErrorContains(t, l.Check(), "task 1 was never acknowledged")
}

func TestForeignPayloadFailsTheRun(t *testing.T) {
	l := NewLedger()
	l.take(1, 0)
	l.Begin(newTask(1, 0).Payload) // a number that was never given out
	require.ErrorIs(t, l.Check(), errPayload)

	l = NewLedger()
	l.Begin([]byte("not one of ours, and long enough to hold both of its numbers"))
	require.ErrorIs(t, l.Check(), errPayload)
}

func TestWindowHoldsSubmittersBack(t *testing.T) {
	l := NewLedger()
	require.True(t, l.reserve(t.Context(), windowTasks))
	limit, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, l.reserve(limit, 1))
	batch := l.take(1, 0)
	l.Done(l.Begin(batch[0].Payload))
	require.True(t, l.reserve(t.Context(), 1))
}

func TestTaskSurvivesTheWire(t *testing.T) {
	task := newTask(1<<40+7, 90*time.Minute)
	require.Len(t, task.Payload, payloadSize)
	id, due, err := parse(task.Payload)
	require.NoError(t, err)
	require.Equal(t, task.ID, id)
	require.Equal(t, 90*time.Minute, due)
}
