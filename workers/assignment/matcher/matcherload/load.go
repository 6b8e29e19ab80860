// Package matcherload is the workload on which the matcher is measured: 256 agent
// shapes of up to 16 out of 64 capabilities, agents spread over them by Zipf's
// law, 2,048 needs of 1 to 4 capabilities that some shape satisfies, eight
// queues. Every completion frees a slot, which takes the best waiting task, and
// one like that is submitted, so the number of waiting tasks never changes.
package matcherload

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

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

// A Load is a matcher in its steady state: every agent full, Waiting tasks waiting.
type Load struct {
	m       *matcher.Matcher
	rng     *rand.Rand
	running []matcher.TaskID
	spec    []matcher.Task // by task slot
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
	l := &Load{m: m, rng: rand.New(rand.NewPCG(c.Seed, 6)), spec: make([]matcher.Task, total+1)}
	for q := range queues {
		if _, err := m.AddQueue(fmt.Sprintf("queue-%d", q), 1+q%3); err != nil {
			return nil, err
		}
	}
	skills, needs := l.shapes()
	// Every shape has an agent at either size, so that the same shapes compete.
	zipf := rand.NewZipf(l.rng, 1.1, 1, agentShapes-1)
	for i := range c.Agents {
		shape := i
		if i >= agentShapes {
			shape = int(zipf.Uint64())
		}
		if _, _, err := m.AddAgent(skills[shape], capacity, nil); err != nil {
			return nil, err
		}
	}
	for i := 0; m.Stats().Waiting < c.Waiting; i++ {
		if m.Stats().Running+m.Stats().Waiting == total {
			break
		}
		n := i
		if i >= needShapes {
			n = l.rng.IntN(needShapes)
		}
		if err := l.submit(matcher.Task{
			Queue: matcher.QueueID(l.rng.IntN(queues)), Needs: needs[n%needShapes], Priority: l.rng.IntN(matcher.MaxPriority + 1),
		}); err != nil {
			return nil, err
		}
		for _, a := range l.out {
			l.running = append(l.running, a.Task)
		}
	}
	if s := m.Stats(); s.Waiting != c.Waiting || s.Running == 0 {
		return nil, fmt.Errorf("the load did not fill: %+v", s)
	}
	return l, nil
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

func (l *Load) submit(spec matcher.Task) error {
	l.arrival++
	spec.Arrival = l.arrival
	id, out, err := l.m.Submit(spec, l.out[:0])
	l.out = out
	if err != nil {
		return err
	}
	l.spec[uint32(id)] = spec
	return nil
}

var errNotSteady = errors.New("a completion did not give exactly one assignment")

// finish completes running task i and puts what took its slot in its place.
func (l *Load) finish(i int) error {
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

// Step completes a random running task and submits one like that which took its slot.
func (l *Load) Step() error {
	i := l.rng.IntN(len(l.running))
	if err := l.finish(i); err != nil {
		return err
	}
	return l.submit(l.spec[uint32(l.running[i])])
}

// Result is what was measured.
type Result struct {
	P50, P99       time.Duration // of one completion with its assignment, with the reading of the clock
	PerSecond      float64       // assignments, with completion and submission
	Comparisons    float64       // per assignment
	AllocsPerStep  float64
	MeanCompletion time.Duration // clock readings included
}

// Measure runs n steps for the rate and n more with the clock around each completion.
func (l *Load) Measure(n int) (Result, error) {
	for range n / 4 {
		if err := l.Step(); err != nil {
			return Result{}, err
		}
	}
	samples := make([]time.Duration, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	was := l.m.Stats()
	began := time.Now()
	for range n {
		if err := l.Step(); err != nil {
			return Result{}, err
		}
	}
	took := time.Since(began)
	now := l.m.Stats()
	runtime.ReadMemStats(&after)
	var sum time.Duration
	for s := range samples {
		i := l.rng.IntN(len(l.running))
		t := time.Now()
		if err := l.finish(i); err != nil {
			return Result{}, err
		}
		samples[s] = time.Since(t)
		sum += samples[s]
		if err := l.submit(l.spec[uint32(l.running[i])]); err != nil {
			return Result{}, err
		}
	}
	slices.Sort(samples)
	return Result{
		P50: samples[n/2], P99: samples[n*99/100],
		PerSecond:      float64(n) / took.Seconds(),
		Comparisons:    float64(now.Comparisons-was.Comparisons) / float64(now.Assignments-was.Assignments),
		AllocsPerStep:  float64(after.Mallocs-before.Mallocs) / float64(n),
		MeanCompletion: sum / time.Duration(n),
	}, nil
}
