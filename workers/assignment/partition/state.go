package partition

import (
	"container/heap"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leanvibe/hive/workers/assignment/matcher"
)

// Limits bound a partition.
type Limits struct {
	// Tasks bounds those that wait and run, Finished those that are kept after.
	Tasks, Finished int
	Agents, Queues  int
	// Lease is how long an execution is held after the agent was last heard of, Keep
	// how long a finished task is kept.
	Lease, Keep time.Duration
	// Aging is how much earlier a task counts as having arrived for each step of priority.
	Aging time.Duration
}

// DefaultLimits are those that the shipped stack runs with.
func DefaultLimits() Limits {
	return Limits{
		Tasks: 1_000_000, Finished: 200_000, Agents: 100_000, Queues: 1024,
		Lease: 10 * time.Second, Keep: time.Hour, Aging: 10 * time.Second,
	}
}

func (l Limits) validate() error {
	for _, f := range []struct {
		name    string
		got     int64
		example string
	}{
		{"Finished", int64(l.Finished), "200000"}, {"Lease", int64(l.Lease), "10s"},
		{"Keep", int64(l.Keep), "1h"},
	} {
		if f.got < 1 {
			return fmt.Errorf("limit %s is %d: expected more than 0, for example %s", f.name, f.got, f.example)
		}
	}
	return nil
}

// A Sink is an agent's stream. It is told what is durable, and must not block.
type Sink interface {
	// Assign hands executions to the agent.
	Assign([]Assignment)
	// Replaced says that the agent has attached again elsewhere.
	Replaced()
}

// An Assignment is an execution for an agent.
type Assignment struct {
	Execution
	Queue, Handler string
	Priority       int
	Deadline       int64 // Unix µs, 0: none
	Payload        []byte
}

// A delivery is an assignment and where it goes once it is durable.
type delivery struct {
	to Sink
	Assignment
}

// agent is an agent that is attached, or that holds executions without being so.
type agent struct {
	id     string
	spec   AgentSpec
	handle matcher.AgentID // 0: not attached
	sink   Sink
	seen   int64
	silent bool // for a lease term: it gets nothing until it is heard of
	holds  roster
}

// queue is a queue and its counters.
type queue struct {
	id    matcher.QueueID
	stats Stats
}

// State holds one partition's tasks. It is pure: what it decided is in Changes, to be
// made durable before it is told. One goroutine owns a State.
type State struct {
	limits  Limits
	matcher *matcher.Matcher

	tasks    map[TaskID]*entry
	keys     map[string]*entry
	queues   map[string]*queue
	agents   map[string]*agent
	running  []*entry // by the matcher's slot, as are agents
	attached []*agent

	leases     line // running, by the end of their lease
	kept       line // finished, by when they are forgotten
	deadlines  deadlines
	unarchived []*entry // finished, oldest first

	out     []matcher.Assignment
	fetched []matcher.TaskID
	changes *Changes
	rounds  uint64 // calls of renew
	ready   bool   // false while it is restored
}

// Changes is what has been decided and is not durable yet: records, and what to tell
// whom once they are.
type Changes struct {
	w          writer
	ends       []int // of each record in w.buf
	deliveries []delivery
	finished   []TaskID
}

// records answers the encoded records; they share the memory of c.
func (c *Changes) records() [][]byte {
	out := make([][]byte, len(c.ends))
	from := 0
	for i, end := range c.ends {
		out[i] = c.w.buf[from:end:end]
		from = end
	}
	return out
}

func (c *Changes) seal() { c.ends = append(c.ends, len(c.w.buf)) }

// reset empties c and keeps its memory.
func (c *Changes) reset() {
	clear(c.deliveries)
	c.w.buf, c.ends, c.deliveries, c.finished = c.w.buf[:0], c.ends[:0], c.deliveries[:0], c.finished[:0]
}

// take answers what was decided since the last take; spare is filled next.
func (s *State) take(spare *Changes) *Changes {
	out := s.changes
	s.changes = spare
	return out
}

// NewState answers an empty State. Apply what the journal holds, then call Ready.
func NewState(limits Limits) (*State, error) {
	if err := limits.validate(); err != nil {
		return nil, err
	}
	m, err := matcher.New(matcher.Config{
		MaxTasks: limits.Tasks, MaxAgents: limits.Agents, MaxQueues: limits.Queues, Aging: limits.Aging.Microseconds(),
	})
	if err != nil {
		return nil, err
	}
	return &State{
		limits: limits, matcher: m, changes: &Changes{},
		tasks: map[TaskID]*entry{}, keys: map[string]*entry{}, queues: map[string]*queue{}, agents: map[string]*agent{},
	}, nil
}

// keyOf scopes an idempotency key to its queue: a queue is in one partition, a key
// over all queues would have to be looked for in every partition.
func keyOf(d *Draft) string { return d.Queue + "\x00" + d.Key }

// needs turns capability names into the matcher's set.
func (s *State) needs(names []string) (matcher.Set, error) {
	var set matcher.Set
	for _, name := range names {
		c, err := s.matcher.Capabilities.Number(name)
		if err != nil {
			return set, err
		}
		set = set.With(c)
	}
	return set, nil
}

// busy gives a bound of the matcher the words of a caller.
func (s *State) busy(err error, names []string) error {
	asked := "[" + strings.Join(names, " ") + "]"
	switch {
	case errors.Is(err, matcher.ErrTooManyTasks):
		return &BusyError{fmt.Sprintf("%d tasks wait or run, the most that this partition keeps", s.limits.Tasks), 5 * time.Second}
	case errors.Is(err, matcher.ErrTooManyAgents):
		return &BusyError{fmt.Sprintf("%d agents are attached, the most that this partition serves", s.limits.Agents), time.Minute}
	case errors.Is(err, matcher.ErrTooManyShapes):
		return &BusyError{fmt.Sprintf("%d different capability sets are in use, the most that are served; %s would be one more", matcher.MaxShapes, asked), 10 * time.Second}
	case errors.Is(err, matcher.ErrTooManyCapabilities):
		return &BusyError{fmt.Sprintf("%d different capabilities are known, the most that are served; %s has one more", matcher.MaxCapabilities, asked), time.Minute}
	case errors.Is(err, matcher.ErrTooManyQueues):
		return &BusyError{fmt.Sprintf("%d queues exist, the most that this partition serves", s.limits.Queues), time.Minute}
	}
	return err
}

// queue answers a queue by name, a new one if it is the first time.
func (s *State) queue(name string) (*queue, error) {
	if q := s.queues[name]; q != nil {
		return q, nil
	}
	id, err := s.matcher.AddQueue(name, 1)
	if err != nil {
		return nil, err
	}
	q := &queue{id: id, stats: Stats{Queue: name}}
	s.queues[name] = q
	return q, nil
}

// link puts e where its phase has it watched.
func (s *State) link(e *entry, now int64) {
	switch {
	case !s.ready:
	case e.Phase == Waiting && e.Deadline != 0:
		heap.Push(&s.deadlines, e)
	case e.Phase == Running:
		s.leases.add(e, now+s.limits.Lease.Microseconds())
	case e.Phase.Finished():
		s.kept.add(e, now+s.limits.Keep.Microseconds())
		s.unarchived = append(s.unarchived, e)
	}
}

// unlink is the inverse of link.
func (s *State) unlink(e *entry) {
	switch {
	case !s.ready:
	case e.Phase == Waiting && e.at >= 0:
		heap.Remove(&s.deadlines, e.at)
	case e.Phase == Running:
		s.leases.remove(e)
	case e.Phase.Finished():
		s.kept.remove(e)
	}
}

// moveTo changes e's phase.
func (s *State) moveTo(e *entry, to Phase, now int64) {
	s.unlink(e)
	e.queue.stats.moved(e.Phase, to)
	e.Phase = to
	s.link(e, now)
}

// insert puts a new task into the tables.
func (s *State) insert(t Task) *entry {
	e := &entry{Task: t, queue: s.queues[t.Queue], at: -1}
	s.tasks[t.ID] = e
	if t.Key != "" {
		s.keys[keyOf(&t.Draft)] = e
	}
	e.queue.stats.moved(0, t.Phase)
	return e
}

// start makes e run.
func (s *State) start(e *entry, at int64, attempt int, name string) {
	s.moveTo(e, Running, at)
	e.Started, e.Attempt, e.Agent = at, attempt, name
	e.queue.stats.Executions++
	a := s.agents[name]
	if a == nil {
		a = &agent{id: name}
		s.agents[name] = a
	}
	a.holds.add(e)
}

// end ends e's execution, or its waiting.
func (s *State) end(e *entry, ev *event) {
	if e.Phase == Running {
		s.letGo(e)
	}
	s.moveTo(e, ev.phase, ev.at)
	e.queue.stats.ended(ev.cause, ev.phase)
	if ev.cause == causeFailed || ev.cause == causeLost {
		e.Failures++
	}
	e.Error = ev.text
	if ev.phase.Finished() {
		e.Finished, e.Result = ev.at, ev.body
		s.changes.finished = append(s.changes.finished, e.ID)
	}
}

// letGo takes e off the agent that holds it.
func (s *State) letGo(e *entry) {
	a := s.agents[e.Agent]
	a.holds.remove(e)
	if a.handle == 0 && a.holds.size == 0 {
		delete(s.agents, a.id)
	}
}

// forget drops a finished task and its key.
func (s *State) forget(e *entry) {
	s.unlink(e)
	delete(s.tasks, e.ID)
	if e.Key != "" && s.keys[keyOf(&e.Draft)] == e {
		delete(s.keys, keyOf(&e.Draft))
	}
}

// Apply changes the state as one record of the journal says. Only before Ready.
func (s *State) Apply(record []byte) error {
	ev, err := decode(record)
	if err != nil {
		return err
	}
	switch ev.kind {
	case kindSubmitted, kindWhole:
		return s.applyNew(&ev)
	case kindCounters:
		q, err := s.queue(ev.stats.Queue)
		if err != nil {
			return err
		}
		waiting, running := q.stats.Waiting, q.stats.Running
		q.stats = ev.stats
		q.stats.Waiting, q.stats.Running = waiting, running
		return nil
	}
	e := s.tasks[ev.id]
	if e == nil {
		return fmt.Errorf("it speaks of task %s, which no record before it has submitted", ev.id)
	}
	switch ev.kind {
	case kindStarted:
		if e.Phase != Waiting || int(ev.attempt) != e.Attempt+1 {
			return fmt.Errorf("attempt %d of task %s, which is %s after attempt %d", ev.attempt, ev.id, e.Phase, e.Attempt)
		}
		s.start(e, ev.at, int(ev.attempt), ev.agent)
	case kindEnded:
		if e.Phase.Finished() || phaseNames[ev.phase] == "" || ev.phase == Running {
			return fmt.Errorf("task %s, which is %s, would be %s", ev.id, e.Phase, ev.phase)
		}
		ev.body = slices.Clone(ev.body)
		s.end(e, &ev)
	case kindForgotten:
		if !e.Phase.Finished() {
			return fmt.Errorf("task %s is forgotten while it is %s", ev.id, e.Phase)
		}
		s.forget(e)
	}
	return nil
}

func (s *State) applyNew(ev *event) error {
	t := *ev.whole
	if s.tasks[t.ID] != nil || phaseNames[t.Phase] == "" {
		return fmt.Errorf("task %s is submitted a second time, or in phase %d", t.ID, t.Phase)
	}
	t.Payload, t.Result = slices.Clone(t.Payload), slices.Clone(t.Result)
	q, err := s.queue(t.Queue)
	if err != nil {
		return err
	}
	if ev.kind == kindSubmitted {
		q.stats.Submitted++
	}
	e := s.insert(t)
	if t.Phase == Running {
		e.Phase = Waiting // start moves it
		q.stats.moved(Running, Waiting)
		s.start(e, t.Started, t.Attempt, t.Agent)
		q.stats.Executions--
	}
	return nil
}

// Ready fills the matcher with what was restored, in order of arrival, and grants
// every execution a fresh lease from now on (Unix µs).
func (s *State) Ready(now int64) error {
	s.ready = true
	s.changes.reset()
	all := make([]*entry, 0, len(s.tasks))
	for _, e := range s.tasks {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int {
		if c := a.Submitted - b.Submitted; c != 0 {
			return int(max(-1, min(1, c)))
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	for _, e := range all {
		s.link(e, now)
		if e.Phase.Finished() {
			continue
		}
		spec, err := s.spec(&e.Task)
		if err != nil {
			return fmt.Errorf("task %s: %w", e.ID, err)
		}
		if e.Phase == Running {
			e.handle, err = s.matcher.SubmitRunning(spec)
		} else {
			e.handle, _, err = s.matcher.Submit(spec, nil)
		}
		if err != nil {
			return fmt.Errorf("task %s: %w: raise the limits to what they were when it was submitted", e.ID, err)
		}
		s.index(e)
	}
	return nil
}

// spec is the task as the matcher is told of it.
func (s *State) spec(t *Task) (matcher.Task, error) {
	set, err := s.needs(t.Capabilities)
	if err != nil {
		return matcher.Task{}, err
	}
	q, err := s.queue(t.Queue)
	if err != nil {
		return matcher.Task{}, err
	}
	return matcher.Task{Queue: q.id, Needs: set, Priority: t.Priority, Arrival: t.Submitted}, nil
}

// index makes e findable by its handle.
func (s *State) index(e *entry) {
	for int(e.handle.Slot()) >= len(s.running) {
		s.running = append(s.running, nil)
	}
	s.running[e.handle.Slot()] = e
}

// assign records what the matcher has decided.
func (s *State) assign(now int64) {
	for _, d := range s.out {
		e, a := s.running[d.Task.Slot()], s.attached[d.Agent.Slot()]
		s.start(e, now, e.Attempt+1, a.id)
		s.changes.w.started(&e.Task)
		s.changes.seal()
		s.changes.deliveries = append(s.changes.deliveries, delivery{to: a.sink, Assignment: Assignment{
			Execution: Execution{e.ID, e.Attempt}, Queue: e.Queue, Handler: e.Handler, Priority: e.Priority,
			Deadline: e.Deadline, Payload: e.Payload,
		}})
	}
	s.out = s.out[:0]
}

// finish records the end of an execution or of a waiting, and what the freed slot takes.
func (s *State) finish(e *entry, ev *event) error {
	was := e.Phase
	ev.id = e.ID
	s.changes.w.ended(ev)
	s.changes.seal()
	s.end(e, ev)
	var err error
	switch {
	case ev.phase == Waiting:
		s.out, err = s.matcher.Return(e.handle, s.out)
	case was == Waiting:
		err = s.matcher.Cancel(e.handle)
	default:
		s.out, err = s.matcher.Finish(e.handle, s.out)
	}
	if ev.phase.Finished() {
		e.handle = 0
	}
	if err != nil {
		return fmt.Errorf("the matcher and the tables differ about task %s: %w", e.ID, err)
	}
	s.assign(ev.at)
	return nil
}
