package partition

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// run does something in the partition's turn and waits until all that it may have seen or
// changed is durable.
func (p *Partition) run(ctx context.Context, do func(now int64, s *State) error) error {
	return p.wait(ctx, p.begin(do))
}

// begin hands something over that is done in the partition's turn, mostly at once.
func (p *Partition) begin(do func(now int64, s *State) error) *call {
	c := &call{at: time.Now(), do: do, done: make(chan error, 1)}
	select {
	case <-p.over:
		c.done <- ErrLost
		return c
	default:
	}
	select {
	case p.inbox <- c:
		p.help()
	default:
		c.done <- &BusyError{fmt.Sprintf("%d calls wait for this partition, the most that may", cap(p.inbox)), 100 * time.Millisecond}
	}
	return c
}

// wait waits until all that a call may have seen or changed is durable.
func (p *Partition) wait(ctx context.Context, c *call) error {
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
	return p.BeginSubmit(drafts)(ctx)
}

// BeginSubmit hands tasks over, which mostly decides about them at once, and answers what
// waits until that is durable.
func (p *Partition) BeginSubmit(drafts []*Draft) (wait func(context.Context) ([]Submitted, error)) {
	for _, d := range drafts {
		d.weigh()
	}
	var got []Submitted
	c := p.begin(func(now int64, s *State) error {
		got = s.Submit(now, drafts...)
		return nil
	})
	return func(ctx context.Context) ([]Submitted, error) {
		if err := p.wait(ctx, c); err != nil {
			return nil, err // got is nobody's: an abandoned call may still write it
		}
		return got, nil
	}
}

// Get answers a task, or ErrNotFound, or a *BodyError.
func (p *Partition) Get(ctx context.Context, id TaskID) (Task, error) {
	t, err := p.peek(ctx, id)
	if err != nil || t.stored == nil {
		return t, err
	}
	return p.complete(ctx, t)
}

// complete answers a task with what Redis keeps of it.
func (p *Partition) complete(ctx context.Context, t Task) (Task, error) {
	tasks := []Task{t}
	broken, err := p.fill(ctx, tasks)
	if err != nil {
		return Task{}, err
	}
	if broken[0] == nil {
		return tasks[0], nil
	}
	// One that was forgotten meanwhile is the archive's to answer.
	if _, err := p.peek(ctx, t.ID); err != nil {
		return Task{}, err
	}
	return Task{}, broken[0]
}

// peek answers a task without what Redis keeps of it, or ErrNotFound.
func (p *Partition) peek(ctx context.Context, id TaskID) (Task, error) {
	return judge(ctx, p, func(_ int64, s *State) (Task, error) { return s.Get(id) })
}

// Await answers a task when it has finished, or as it stands when ctx ends.
func (p *Partition) Await(ctx context.Context, id TaskID) (Task, error) {
	w := make(chan struct{})
	p.mu.Lock()
	p.watchers[id] = append(p.watchers[id], w)
	p.mu.Unlock()
	defer p.unwatch(id, w)
	// Looked at after watching began: an end in between is not missed.
	t, err := p.peek(context.WithoutCancel(ctx), id)
	if err != nil {
		return t, err
	}
	if !t.Phase.Finished() {
		select {
		case <-w:
		case <-ctx.Done():
		}
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
	_, err := judge(ctx, p, func(now int64, s *State) (struct{}, error) { return struct{}{}, s.Cancel(now, id) })
	return err
}

// judge answers something in the partition's turn whose error is the caller's, not
// the partition's.
func judge[Out any](ctx context.Context, p *Partition, do func(now int64, s *State) (Out, error)) (out Out, err error) {
	var got Out
	var answer error
	err = p.run(ctx, func(now int64, s *State) error {
		got, answer = do(now, s)
		return nil
	})
	if err != nil {
		return out, err // got and answer are nobody's: an abandoned call may still write them
	}
	return got, answer
}

// Explain says in English why a task waits, or where it stands; ErrNotFound.
func (p *Partition) Explain(ctx context.Context, id TaskID) (string, error) {
	return judge(ctx, p, func(_ int64, s *State) (string, error) { return s.Explain(id) })
}

// Seat attaches agents, each in place of its former sink; see State.Seat. Assignments
// come to the sinks from now on. refused has for each, in order, nil or a *BusyError.
func (p *Partition) Seat(ctx context.Context, list []Seating) (refused []error, err error) {
	return each(ctx, p, list, func(now int64, s *State, in Seating) (error, error) { return s.Seat(now, in) })
}

// A Leaving is an agent that is detached, as far as Sink is its sink.
type Leaving struct {
	Agent string
	Sink  Sink
}

// Unseat detaches agents; see State.Unseat.
func (p *Partition) Unseat(ctx context.Context, list []Leaving) error {
	return p.run(ctx, func(_ int64, s *State) error {
		for _, l := range list {
			if err := s.Unseat(l.Agent, l.Sink); err != nil {
				return err
			}
		}
		return nil
	})
}

// A Grant says how many executions at a time the partition may give an agent.
type Grant struct {
	Agent string
	Sink  Sink
	Slots int
}

// Grant sets slots; see State.Grant. The sinks are told.
func (p *Partition) Grant(ctx context.Context, list []Grant) error {
	return p.run(ctx, func(now int64, s *State) error {
		for _, g := range list {
			if err := s.Grant(now, g.Agent, g.Sink, g.Slots); err != nil {
				return err
			}
		}
		return nil
	})
}

// A Beat names what an agent still runs.
type Beat struct {
	Agent string
	Held  []Execution
}

// Heartbeat renews leases and answers, in order, what each agent does not hold any more.
func (p *Partition) Heartbeat(ctx context.Context, list []Beat) ([][]Execution, error) {
	return each(ctx, p, list, func(now int64, s *State, b Beat) ([]Execution, error) { return s.Heartbeat(now, b.Agent, b.Held) })
}

// Report ends executions; each has its own verdict, in order.
func (p *Partition) Report(ctx context.Context, reports []Report) ([]Verdict, error) {
	return p.BeginReport(reports)(ctx)
}

// BeginReport hands reports over and answers what waits until their verdicts are durable.
func (p *Partition) BeginReport(reports []Report) (wait func(context.Context) ([]Verdict, error)) {
	for i := range reports {
		reports[i].weigh()
	}
	out := make([]Verdict, len(reports))
	c := p.begin(func(now int64, s *State) (err error) {
		s.prefetch(reports)
		for i, r := range reports {
			if out[i], err = s.Report(now, r); err != nil {
				return err
			}
		}
		return nil
	})
	return func(ctx context.Context) ([]Verdict, error) {
		if err := p.wait(ctx, c); err != nil {
			return nil, err
		}
		return out, nil
	}
}

// each does one thing after the other in one change. An
// error of do ends the partition.
func each[In, Out any](ctx context.Context, p *Partition, list []In, do func(now int64, s *State, in In) (Out, error)) ([]Out, error) {
	out := make([]Out, len(list))
	err := p.run(ctx, func(now int64, s *State) (err error) {
		for i, in := range list {
			if out[i], err = do(now, s, in); err != nil {
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
func (p *Partition) Release(ctx context.Context, agent string, list []Execution) (int, error) {
	return ask(ctx, p, func(now int64, s *State) (int, error) { return s.Release(now, agent, list) })
}

// Redrive puts a dead letter back; see State.Redrive.
func (p *Partition) Redrive(ctx context.Context, id TaskID) error {
	var refused error
	err := p.run(ctx, func(now int64, s *State) (err error) {
		refused, err = s.Redrive(now, id)
		return err
	})
	return errors.Join(err, refused)
}

// ask answers something in the partition's turn.
func ask[Out any](ctx context.Context, p *Partition, do func(now int64, s *State) (Out, error)) (out Out, err error) {
	var got Out
	err = p.run(ctx, func(now int64, s *State) (err error) {
		got, err = do(now, s)
		return err
	})
	if err != nil {
		return out, err // got is nobody's: an abandoned call may still write it
	}
	return got, nil
}

// List answers a page of tasks; see State.List.
func (p *Partition) List(ctx context.Context, page Page) ([]Task, error) {
	return ask(ctx, p, func(_ int64, s *State) ([]Task, error) { return s.List(page), nil })
}

// Agents answers who is attached or holds something, in no order.
func (p *Partition) Agents(ctx context.Context) ([]AgentInfo, error) {
	return ask(ctx, p, func(_ int64, s *State) ([]AgentInfo, error) { return s.Agents(), nil })
}

// Stats answers every queue's counters, in no order.
func (p *Partition) Stats(ctx context.Context) ([]Stats, error) {
	return ask(ctx, p, func(_ int64, s *State) ([]Stats, error) { return s.Stats(), nil })
}

// Unarchived confirms that the first archived of what it has answered last are in the
// archive, and answers up to most finished tasks that are not, oldest first; their bodies are
// up to bytes, or with the last task more. One with a body that Redis has not kept says so
// in its error, and goes to the archive without it.
func (p *Partition) Unarchived(ctx context.Context, archived, most, bytes int) ([]Task, error) {
	for ; archived > 0; archived -= offerMost {
		if err := p.glance(ctx, func(s *State) { s.Archived(min(archived, offerMost)) }); err != nil {
			return nil, err
		}
	}
	tasks := make([]Task, 0, min(most, p.Backlog()+offerMost))
	err := p.glance(ctx, (*State).Reoffer)
	for more := true; more && err == nil; {
		err = p.glance(ctx, func(s *State) {
			before := len(tasks)
			tasks, bytes = s.Unarchived(tasks, min(most-before, offerMost), bytes)
			more = len(tasks) == before+offerMost
		})
	}
	if err != nil {
		return nil, err
	}
	if err := p.durable(ctx); err != nil {
		return nil, err
	}
	broken, err := p.fill(ctx, tasks)
	if err != nil {
		return nil, err
	}
	for i, why := range broken {
		if tasks[i].Error != "" {
			why = fmt.Errorf("%s; %w", tasks[i].Error, why)
		}
		tasks[i].Error = why.Error()
	}
	return tasks, nil
}
