package assignment

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// maxWait bounds a long poll: below the proxies' usual read timeout of 60 s.
const maxWait = 30 * time.Second

// recheckEvery is the longest that a lost event can delay a long poll.
const recheckEvery = time.Second

// Finder looks tasks up that Redis has let go.
type Finder interface {
	Find(ctx context.Context, id string) (*Task, error)
}

// service is what REST and Connect share.
type service struct {
	machine    *Machine
	dispatcher *dispatcher
	archive    Finder
	metrics    *metrics
	log        *slog.Logger
}

// submit validates and stores one draft and answers it as it stands now.
func (s *service) submit(ctx context.Context, d *Draft) (*Task, bool, error) {
	if err := d.Validate(time.Now()); err != nil {
		s.metrics.count("refused", 1)
		return nil, false, err
	}
	out, err := s.machine.Submit(ctx, d)
	if err != nil {
		return nil, false, err
	}
	s.counted(out[0])
	if out[0].Err != nil {
		return nil, false, out[0].Err
	}
	task, err := s.get(ctx, out[0].TaskID)
	if err != nil && out[0].Duplicate {
		return nil, true, unavailable("the key names a task that cannot be read now", err)
	}
	if err != nil {
		// It is stored; only its newest state could not be read.
		s.log.Warn("read after submit failed", "task", out[0].TaskID, "error", err)
		task = &Task{ID: out[0].TaskID, Draft: *d, State: Waiting}
	}
	return task, out[0].Duplicate, nil
}

// submitBatch stores what is valid of a batch; each draft has its own outcome.
func (s *service) submitBatch(ctx context.Context, drafts []*Draft) ([]Submitted, error) {
	var c fieldCheck
	c.require(len(drafts) >= 1 && len(drafts) <= MaxBatch, "drafts", "must be 1 to %d, are %d", MaxBatch, len(drafts))
	if err := c.err(); err != nil {
		return nil, err
	}
	out := make([]Submitted, len(drafts))
	var valid []*Draft
	var place []int
	for i, d := range drafts {
		if out[i].Err = d.Validate(time.Now()); out[i].Err == nil {
			valid, place = append(valid, d), append(place, i)
		}
	}
	if len(valid) > 0 {
		stored, err := s.machine.Submit(ctx, valid...)
		if err != nil {
			return nil, err
		}
		for i, r := range stored {
			out[place[i]] = r
		}
	}
	for _, r := range out {
		s.counted(r)
	}
	return out, nil
}

func (s *service) counted(r Submitted) {
	switch {
	case r.Err != nil:
		s.metrics.count("refused", 1)
	case r.Duplicate:
		s.metrics.count("duplicate", 1)
	default:
		s.metrics.count("submitted", 1)
	}
}

// get answers a task from Redis or the archive.
func (s *service) get(ctx context.Context, id string) (*Task, error) {
	if !isTaskID(id) {
		return nil, ErrNotFound
	}
	t, err := s.machine.Get(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return s.archive.Find(ctx, id)
	}
	return t, err
}

// wait answers the task when it has finished, or as it stands after the timeout.
func (s *service) wait(ctx context.Context, id string, timeout time.Duration) (*Task, error) {
	over := time.NewTimer(min(timeout, maxWait))
	defer over.Stop()
	recheck := time.NewTicker(recheckEvery)
	defer recheck.Stop()
	finished, forget := s.dispatcher.await(id)
	defer forget()
	for {
		// Look after listening began: a finish in between is not missed.
		t, err := s.get(ctx, id)
		if err != nil || t.State.Finished() {
			return t, err
		}
		select {
		case <-finished:
			finished = nil
		case <-recheck.C:
		case <-over.C:
			return s.get(ctx, id)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// complete ends one execution.
func (s *service) complete(ctx context.Context, r Report) (Verdict, error) {
	var c fieldCheck
	checkAgent(&c, r.Agent)
	checkExecutions(&c, "execution", []Execution{r.Execution})
	c.require(len(r.Error) <= MaxError, "error", "must be at most %d bytes", MaxError)
	if err := c.err(); err != nil {
		return Verdict{}, err
	}
	if len(r.Result) > MaxPayload {
		return Verdict{}, &TooLargeError{What: "result", Size: len(r.Result), Max: MaxPayload}
	}
	v, err := s.machine.Complete(ctx, r)
	switch {
	case err != nil:
	case !v.Accepted:
		s.metrics.count("late_refused", 1)
		s.log.Warn("late result refused", "agent", r.Agent, "task", r.TaskID, "attempt", r.Attempt, "reason", v.Reason)
	case v.Duplicate:
	case r.Error != "" || r.Final:
		s.metrics.count("failed", 1)
	default:
		s.metrics.count("completed", 1)
	}
	return v, err
}

// heartbeat renews what the agent holds.
func (s *service) heartbeat(ctx context.Context, agent string, held []Execution) ([]Execution, error) {
	var c fieldCheck
	checkAgent(&c, agent)
	checkExecutions(&c, "held", held)
	if err := c.err(); err != nil {
		return nil, err
	}
	return s.machine.Heartbeat(ctx, agent, held)
}

// release gives executions back.
func (s *service) release(ctx context.Context, agent string, list []Execution) (int, error) {
	var c fieldCheck
	checkAgent(&c, agent)
	checkExecutions(&c, "executions", list)
	if err := c.err(); err != nil {
		return 0, err
	}
	n, err := s.machine.Release(ctx, agent, "", list)
	s.metrics.count("released", n)
	return n, err
}

// stats answers the sum and each queue's counters, by name.
func (s *service) stats(ctx context.Context, queue string) (Stats, []Stats, error) {
	if queue != "" && !namePattern.MatchString(queue) {
		return Stats{}, nil, &InvalidError{Fields: []FieldProblem{{"queue", nameForm}}}
	}
	queues, err := s.machine.Stats(ctx, queue)
	var total Stats
	for _, q := range queues {
		total.Add(q)
	}
	total.Queue = queue
	return total, queues, err
}
