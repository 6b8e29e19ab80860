// Package matcherload is the workload on which the matcher is measured: 256 agent
// shapes of up to 16 out of 64 capabilities, 2,048 needs of 1 to 4 capabilities
// that some shape satisfies, eight queues. Agents are spread over the shapes by
// Zipf's law, and so are completions, by a law of their own that does not depend
// on how many agents there are. Every completion frees a slot, which takes the
// best waiting task, and one like that is submitted, so the number of waiting
// tasks never changes.
package matcherload

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/leanvibe/hive/workers/assignment/matcher"
)

const (
	capabilities = 64
	agentShapes  = 256
	needShapes   = 2048
	queues       = 8
	aging        = 1000
)

// Config is the size of a workload.
type Config struct {
	Agents, Waiting int
	Seed            uint64
}

// kind is what a task asks for.
type kind struct {
	need            uint16
	queue, priority uint8
}

// step is one completion and what follows from it.
type step struct {
	finish, took matcher.TaskID
	submit       kind // like the task that took the slot
}

// A Load is a matcher in its steady state: every agent full, Waiting tasks
// waiting. Its twin, which is the same in everything, goes ahead and writes down
// what completes and is submitted, so that what is measured has nothing to look up.
type Load struct {
	m     *matcher.Matcher
	twin  *side
	needs []matcher.Set
	ready []step
	ids   []matcher.TaskID // of a batch
	out   []matcher.Assignment
	at    int64 // the latest arrival
}

// New fills a matcher and its twin.
func New(c Config) (*Load, error) {
	ahead, err := fill(c)
	if err != nil {
		return nil, err
	}
	measured, err := fill(c)
	if err != nil {
		return nil, err
	}
	return &Load{m: measured.m, twin: ahead, needs: measured.needs, at: measured.arrival}, nil
}

// side is a filled matcher with what is known of its tasks.
type side struct {
	m       *matcher.Matcher
	rng     *rand.Rand
	needs   []matcher.Set
	running []matcher.TaskID // grouped by the shape of the agent
	first   []int            // per shape: where its group begins, and the end of all
	kinds   []kind           // by task slot
	out     []matcher.Assignment
	arrival int64
}

func fill(c Config) (*side, error) {
	if c.Agents < agentShapes || c.Waiting < needShapes {
		return nil, fmt.Errorf("%d agents and %d waiting tasks: expected at least %d and %d", c.Agents, c.Waiting, agentShapes, needShapes)
	}
	const capacity = 2
	total := c.Waiting + c.Agents*capacity + 1
	m, err := matcher.New(matcher.Config{MaxTasks: total, MaxAgents: c.Agents, MaxQueues: queues, Aging: aging})
	if err != nil {
		return nil, err
	}
	l := &side{m: m, rng: rand.New(rand.NewPCG(c.Seed, 6)), kinds: make([]kind, total+1)}
	for q := range queues {
		if _, err := m.AddQueue(fmt.Sprintf("queue-%d", q), 1+q%3); err != nil {
			return nil, err
		}
	}
	skills, needs := l.shapes()
	l.needs = needs
	shapeOf := make(map[matcher.AgentID]int, c.Agents)
	zipf := l.zipf()
	for i := range c.Agents {
		shape := i // every shape has an agent at either size, so that the same shapes compete
		if i >= agentShapes {
			shape = int(zipf.Uint64())
		}
		id, _, err := m.AddAgent(skills[shape], capacity, nil)
		if err != nil {
			return nil, err
		}
		shapeOf[id] = shape
	}
	running := make([][]matcher.TaskID, agentShapes)
	for i := 0; m.Stats().Waiting < c.Waiting; i++ {
		if m.Stats().Running+m.Stats().Waiting == total {
			break
		}
		need := i
		if i >= needShapes {
			need = l.rng.IntN(needShapes)
		}
		if err := l.submit(kind{
			need: uint16(need), queue: uint8(l.rng.IntN(queues)), priority: uint8(l.rng.IntN(matcher.MaxPriority + 1)),
		}); err != nil {
			return nil, err
		}
		for _, a := range l.out {
			shape := shapeOf[a.Agent]
			running[shape] = append(running[shape], a.Task)
		}
	}
	if s := m.Stats(); s.Waiting != c.Waiting || s.Running != c.Agents*capacity {
		return nil, fmt.Errorf("the load did not fill: %+v", s)
	}
	for _, group := range running {
		l.first = append(l.first, len(l.running))
		l.running = append(l.running, group...)
	}
	l.first = append(l.first, len(l.running))
	return l, nil
}

func (l *side) zipf() *rand.Zipf { return rand.NewZipf(l.rng, 1.1, 1, agentShapes-1) }

// Prepare draws the next n completions, a shape by Zipf's law and then one of
// the tasks that its agents run, and lets the twin go through them.
func (l *Load) Prepare(n int) error {
	l.ready = slices.Grow(l.ready[:0], n)
	zipf := l.twin.zipf()
	for range n {
		s, err := l.twin.step(int(zipf.Uint64()))
		if err != nil {
			return err
		}
		l.ready = append(l.ready, s)
	}
	return nil
}

// shapes draws distinct sets; popular capabilities are in more of them.
func (l *side) shapes() (skills, needs []matcher.Set) {
	zipf := rand.NewZipf(l.rng, 1.1, 4, capabilities-1)
	members := make([][]matcher.Capability, 0, agentShapes)
	seen := map[matcher.Set]bool{}
	for len(skills) < agentShapes {
		var s matcher.Set
		var caps []matcher.Capability
		for want := 6 + l.rng.IntN(11); len(caps) < want; {
			c := matcher.Capability(zipf.Uint64())
			if !slices.Contains(caps, c) {
				caps = append(caps, c)
				s = s.With(c)
			}
		}
		if !seen[s] {
			seen[s] = true
			skills, members = append(skills, s), append(members, caps)
		}
	}
	clear(seen)
	for len(needs) < needShapes {
		var s matcher.Set
		caps := members[l.rng.IntN(agentShapes)]
		for range 1 + l.rng.IntN(4) {
			s = s.With(caps[l.rng.IntN(len(caps))])
		}
		if !seen[s] {
			seen[s] = true
			needs = append(needs, s)
		}
	}
	return skills, needs
}

func (l *side) submit(k kind) error {
	l.arrival++
	id, out, err := l.m.Submit(matcher.Task{
		Queue: matcher.QueueID(k.queue), Needs: l.needs[k.need], Priority: int(k.priority), Arrival: l.arrival,
	}, l.out[:0])
	l.out = out
	if err != nil {
		return err
	}
	l.kinds[uint32(id)] = k
	return nil
}

var (
	errNotSteady = errors.New("a completion did not give exactly the assignment that its twin gave")
	errUnready   = errors.New("no prepared completion is left: call Prepare")
)

// step completes a task of an agent of this shape, puts what took its slot in its
// place and submits one like that.
func (l *side) step(shape int) (step, error) {
	from, to := l.first[shape], l.first[shape+1]
	i := from + l.rng.IntN(to-from)
	s := step{finish: l.running[i]}
	out, err := l.m.Finish(s.finish, l.out[:0])
	l.out = out
	if err != nil {
		return s, err
	}
	if len(out) != 1 {
		return s, errNotSteady
	}
	s.took = out[0].Task
	l.running[i] = s.took
	s.submit = l.kinds[uint32(s.took)]
	return s, l.submit(s.submit)
}

// finish completes the task of s and sees that the same one as the twin's took its slot.
func (l *Load) finish(s *step) error {
	out, err := l.m.Finish(s.finish, l.out[:0])
	l.out = out
	if err != nil {
		return err
	}
	if len(out) != 1 || out[0].Task != s.took {
		return errNotSteady
	}
	return nil
}

func (l *Load) refill(s *step) error {
	l.at++
	_, out, err := l.m.Submit(matcher.Task{
		Queue: matcher.QueueID(s.submit.queue), Needs: l.needs[s.submit.need], Priority: int(s.submit.priority), Arrival: l.at,
	}, l.out[:0])
	l.out = out
	return err
}

// Step completes the next prepared task and submits one like that which took its slot.
func (l *Load) Step() error {
	if len(l.ready) == 0 {
		return errUnready
	}
	s := &l.ready[0]
	l.ready = l.ready[1:]
	return l.carryOut(s)
}

func (l *Load) carryOut(s *step) error {
	if err := l.finish(s); err != nil {
		return err
	}
	return l.refill(s)
}

// Batch is how many completions StepBatch carries out, as a partition gets them
// from its queue of requests.
const Batch = 64

// StepBatch does what Batch calls of Step do, with the batch told to the matcher
// before its first completion.
func (l *Load) StepBatch() error {
	if len(l.ready) < Batch {
		return errUnready
	}
	batch := l.ready[:Batch]
	l.ready = l.ready[Batch:]
	l.ids = l.ids[:0]
	for i := range batch {
		l.ids = append(l.ids, batch[i].finish)
	}
	l.m.Prefetch(l.ids)
	for i := range batch {
		if err := l.carryOut(&batch[i]); err != nil {
			return err
		}
	}
	return nil
}
