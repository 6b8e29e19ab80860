package partition

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// run has the partition's goroutine do something and waits until all that it may have
// seen or changed is durable.
func (p *Partition) run(ctx context.Context, do func(now int64, s *State) error) error {
	c := &call{at: time.Now(), do: do, done: make(chan error, 1)}
	select {
	case <-p.over:
		return ErrLost
	default:
	}
	select {
	case p.inbox <- c:
	default:
		return &BusyError{fmt.Sprintf("%d calls wait for this partition, the most that may", cap(p.inbox)), 100 * time.Millisecond}
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-p.over:
	}
	// Its answer may have come with the end; a call that came after it has none.
	select {
	case err := <-c.done:
		return err
	default:
		return ErrLost
	}
}

// Submit stores tasks, all in one change; each has its own outcome, in order.
func (p *Partition) Submit(ctx context.Context, drafts []*Draft) ([]Submitted, error) {
	out := make([]Submitted, len(drafts))
	err := p.run(ctx, func(now int64, s *State) error {
		for i, d := range drafts {
			out[i] = s.Submit(now, d)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Get answers a task, or ErrNotFound.
func (p *Partition) Get(ctx context.Context, id TaskID) (Task, error) {
	var t Task
	var missing error
	err := p.run(ctx, func(_ int64, s *State) error {
		t, missing = s.Get(id)
		return nil
	})
	if err != nil {
		return Task{}, err
	}
	return t, missing
}

// Await answers a task when it has finished, or as it stands when ctx ends.
func (p *Partition) Await(ctx context.Context, id TaskID) (Task, error) {
	w := make(chan struct{})
	p.mu.Lock()
	p.watchers[id] = append(p.watchers[id], w)
	p.mu.Unlock()
	defer p.unwatch(id, w)
	// Looked at after watching began: an end in between is not missed.
	t, err := p.Get(context.WithoutCancel(ctx), id)
	if err != nil || t.Phase.Finished() {
		return t, err
	}
	select {
	case <-w:
	case <-ctx.Done():
	}
	return p.Get(context.WithoutCancel(ctx), id)
}

func (p *Partition) unwatch(id TaskID, w chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := slices.DeleteFunc(p.watchers[id], func(o chan struct{}) bool { return o == w })
	if len(left) == 0 {
		delete(p.watchers, id)
		return
	}
	p.watchers[id] = left
}

// notify wakes those who wait for tasks to finish.
func (p *Partition) notify(ids []TaskID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.watchers) == 0 {
		return
	}
	for _, id := range ids {
		for _, w := range p.watchers[id] {
			close(w)
		}
		delete(p.watchers, id)
	}
}

// Cancel takes back a waiting task: nil, a *NotWaitingError or ErrNotFound.
func (p *Partition) Cancel(ctx context.Context, id TaskID) error {
	return p.judged(ctx, func(now int64, s *State) error { return s.Cancel(now, id) })
}

// judged runs what answers an error that is the caller's, not the partition's.
func (p *Partition) judged(ctx context.Context, do func(now int64, s *State) error) error {
	var answer error
	err := p.run(ctx, func(now int64, s *State) error {
		answer = do(now, s)
		return nil
	})
	if err != nil {
		return err
	}
	return answer
}

// Explain says in English why a task waits, or where it stands; ErrNotFound.
func (p *Partition) Explain(ctx context.Context, id TaskID) (string, error) {
	var said string
	err := p.judged(ctx, func(_ int64, s *State) (err error) {
		said, err = s.Explain(id)
		return err
	})
	return said, err
}

// Attach attaches an agent's stream; see State.Attach. Assignments come to sink from
// now on.
func (p *Partition) Attach(ctx context.Context, spec AgentSpec, held []Execution, sink Sink) (lost []Execution, err error) {
	err = p.judged(ctx, func(now int64, s *State) (err error) {
		lost, err = s.Attach(now, spec, held, sink)
		return err
	})
	return lost, err
}

// Detach ends an agent's stream; see State.Detach.
func (p *Partition) Detach(ctx context.Context, agent string, sink Sink, giveBack bool) error {
	return p.run(ctx, func(now int64, s *State) error { return s.Detach(now, agent, sink, giveBack) })
}

// Heartbeat renews leases; see State.Heartbeat.
func (p *Partition) Heartbeat(ctx context.Context, agent string, held []Execution) (lost []Execution, err error) {
	err = p.judged(ctx, func(now int64, s *State) (err error) {
		lost, err = s.Heartbeat(now, agent, held)
		return err
	})
	return lost, err
}

// Report ends executions of one agent; each has its own verdict, in order.
func (p *Partition) Report(ctx context.Context, agent string, reports []Report) ([]Verdict, error) {
	out := make([]Verdict, len(reports))
	err := p.run(ctx, func(now int64, s *State) (err error) {
		s.prefetch(reports)
		for i, r := range reports {
			if out[i], err = s.Report(now, agent, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Release gives executions back unfinished and answers how many were held.
func (p *Partition) Release(ctx context.Context, agent string, list []Execution) (n int, err error) {
	err = p.run(ctx, func(now int64, s *State) (err error) {
		n, err = s.Release(now, agent, list)
		return err
	})
	return n, err
}

// Agents answers who is attached or holds something, in no order.
func (p *Partition) Agents(ctx context.Context) (out []AgentInfo, err error) {
	err = p.run(ctx, func(_ int64, s *State) error {
		out = s.Agents()
		return nil
	})
	return out, err
}

// Stats answers every queue's counters, in no order.
func (p *Partition) Stats(ctx context.Context) (out []Stats, err error) {
	err = p.run(ctx, func(_ int64, s *State) error {
		out = s.Stats()
		return nil
	})
	return out, err
}

// Unarchived answers up to most finished tasks that Archived has not confirmed.
func (p *Partition) Unarchived(ctx context.Context, most int) (out []Task, err error) {
	err = p.run(ctx, func(_ int64, s *State) error {
		out = s.Unarchived(most)
		return nil
	})
	return out, err
}

// Archived confirms the first n of Unarchived.
func (p *Partition) Archived(ctx context.Context, n int) error {
	return p.run(ctx, func(_ int64, s *State) error {
		s.Archived(n)
		return nil
	})
}
