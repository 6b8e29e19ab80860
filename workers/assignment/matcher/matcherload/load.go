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

// kind is what a task asks for, small enough that looking it up is not what is
// measured.
type kind struct {
	need            uint16
	queue, priority uint8
}

// A Load is a matcher in its steady state: every agent full, Waiting tasks waiting.
type Load struct {
	m       *matcher.Matcher
	rng     *rand.Rand
	needs   []matcher.Set
	running []matcher.TaskID // grouped by the shape of the agent
	first   []int            // per shape: where its group begins, and the end of all
	kinds   []kind           // by task slot
	ready   []uint32         // places in running that complete next, drawn beforehand
	out     []matcher.Assignment
	arrival int64
}

// New fills a matcher.
func New(c Config) (*Load, error) {
	if c.Agents < agentShapes || c.Waiting < needShapes {
		return nil, fmt.Errorf("%d agents and %d waiting tasks: expected at least %d and %d", c.Agents, c.Waiting, agentShapes, needShapes)
	}
	const capacity = 2
	total := c.Waiting + c.Agents*capacity + 1
	m, err := matcher.New(matcher.Config{MaxTasks: total, MaxAgents: c.Agents, MaxQueues: queues, Aging: aging})
	if err != nil {
		return nil, err
	}
	l := &Load{m: m, rng: rand.New(rand.NewPCG(c.Seed, 6)), kinds: make([]kind, total+1)}
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

func (l *Load) zipf() *rand.Zipf { return rand.NewZipf(l.rng, 1.1, 1, agentShapes-1) }

// Prepare draws the next n completions: a shape by Zipf's law, then one of the
// tasks that its agents run.
func (l *Load) Prepare(n int) {
	zipf := l.zipf()
	l.ready = slices.Grow(l.ready[:0], n)
	for range n {
		shape := zipf.Uint64()
		from, to := l.first[shape], l.first[shape+1]
		l.ready = append(l.ready, uint32(from+l.rng.IntN(to-from)))
	}
}

// shapes draws distinct sets; popular capabilities are in more of them.
func (l *Load) shapes() (skills, needs []matcher.Set) {
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

func (l *Load) submit(k kind) error {
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
	errNotSteady = errors.New("a completion did not give exactly one assignment")
	errUnready   = errors.New("no prepared completion is left: call Prepare")
)

// finish completes the task at place i of running and puts there what took its slot.
func (l *Load) finish(i uint32) error {
	out, err := l.m.Finish(l.running[i], l.out[:0])
	l.out = out
	if err != nil {
		return err
	}
	if len(out) != 1 {
		return errNotSteady
	}
	l.running[i] = out[0].Task
	return nil
}

// refill submits a task like the one at place i of running.
func (l *Load) refill(i uint32) error { return l.submit(l.kinds[uint32(l.running[i])]) }

// Step completes the next prepared task and submits one like that which took its slot.
func (l *Load) Step() error {
	if len(l.ready) == 0 {
		return errUnready
	}
	i := l.ready[0]
	l.ready = l.ready[1:]
	if err := l.finish(i); err != nil {
		return err
	}
	return l.refill(i)
}
