package partition

import (
	"container/heap"
	"fmt"

	"github.com/leanvibe/hive/workers/assignment/matcher"
)

// agent is an agent that is attached, or that holds executions without being so.
type agent struct {
	id     string
	spec   AgentSpec
	handle matcher.AgentID // 0: not attached
	sink   Sink
	home   string
	slots  int // how many executions this partition may give it
	seen   int64
	silent bool // for a lease term: it gets nothing until it is heard of
	wanted bool // its sink has been told that tasks wait for a slot of it
	holds  roster
}

// idle tells whether the agent gets nothing now whatever it holds.
func (a *agent) idle() bool { return a.silent || a.slots == 0 }

// queue is a queue, its idempotency keys and its counters.
type queue struct {
	id    matcher.QueueID
	keys  map[string]*entry
	stats Stats
}

// State holds one partition's tasks. It is pure: what it decided is in Changes, to be
// made durable before it is told. One goroutine at a time may use a State.
type State struct {
	limits  Limits
	matcher *matcher.Matcher

	tasks    map[TaskID]*entry
	queues   map[string]*queue
	handlers map[string]string        // names that many tasks share, as are sets
	sets     map[matcher.Set][]string // of capabilities
	agents   map[string]*agent
	running  []*entry // by the matcher's slot, as are agents
	attached []*agent

	leases     line // running, by the end of their lease
	kept       line // finished, by when they are forgotten
	deadlines  deadlines
	letters    line     // dead, by when they died
	unarchived []*entry // finished, oldest first
	offered    []offer  // what Unarchived has answered and Archived not confirmed
	looked     int      // how many of unarchived were offered, or need not be
	bytes      int      // in memory
	shelved    int      // of finished tasks, in Redis
	wanted     int      // agents whose sink was told that they are wanted

	out     []matcher.Assignment
	fetched []matcher.TaskID
	changes *Changes
	rounds  uint64 // calls of renew

	pictures  uint32     // snapshots that were begun
	picturing *picturing // the one that is being taken; nil: none is

	ready bool // false while it is restored

	decided func(assignments int) // is told of each decision; nil: nobody is
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
		tasks: map[TaskID]*entry{}, queues: map[string]*queue{}, agents: map[string]*agent{},
		handlers: map[string]string{}, sets: map[matcher.Set][]string{},
	}, nil
}

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

// queue answers a queue by name, a new one if it is the first time.
func (s *State) queue(name string) (*queue, error) {
	if q := s.queues[name]; q != nil {
		return q, nil
	}
	id, err := s.matcher.AddQueue(name, 1)
	if err != nil {
		return nil, err
	}
	q := &queue{id: id, keys: map[string]*entry{}, stats: Stats{Queue: name}}
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
		s.shelf(e).add(e, now+s.limits.Keep.Microseconds())
		s.shelved += e.stored.size()
		if !e.archived {
			s.unarchived = append(s.unarchived, e)
		}
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
		s.shelf(e).remove(e)
		s.shelved -= e.stored.size()
	}
}

// shelf is where a finished task is kept.
func (s *State) shelf(e *entry) *line {
	if e.Phase == Dead {
		return &s.letters
	}
	return &s.kept
}

// moveTo changes e's phase.
func (s *State) moveTo(e *entry, to Phase, now int64) {
	s.unlink(e)
	e.queue.stats.moved(e.Phase, to)
	e.Phase = to
	s.link(e, now)
}

// insert puts a task into the tables.
func (s *State) insert(e *entry) {
	e.pictured = s.pictures
	s.tasks[e.ID] = e
	e.queue.stats.moved(0, e.Phase)
	s.bytes += e.size()
}

// name makes a task findable by its key, and its queue by the task. Names that it shares with
// others are kept once.
func (s *State) name(e *entry) {
	e.queue = s.queues[e.Queue]
	e.Queue, e.Handler = e.queue.stats.Queue, s.handler(e.Handler)
	if e.Key != "" {
		e.queue.keys[e.Key] = e
	}
}

// handlersMost bounds the names of handlers that are shared.
const handlersMost = 1024

// handler answers a handler's name as it is kept already.
func (s *State) handler(name string) string {
	kept, there := s.handlers[name]
	switch {
	case there:
		return kept
	case len(s.handlers) < handlersMost:
		s.handlers[name] = name
	}
	return name
}

// set answers the names of a set of capabilities as they are kept already; the matcher bounds
// the sets.
func (s *State) set(set matcher.Set, names []string) []string {
	if len(names) == 0 {
		return nil
	}
	kept, there := s.sets[set]
	if !there {
		s.sets[set] = names
		return names
	}
	return kept
}

// start makes e run.
func (s *State) start(e *entry, at int64, attempt int, name string) {
	s.preserve(e)
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
	s.preserve(e)
	if e.Phase == Running {
		s.letGo(e)
	}
	if ev.phase.Finished() {
		s.bytes += len(ev.body)
		e.keepResult(ev.body, ev.ref)
	}
	s.moveTo(e, ev.phase, ev.at)
	e.queue.stats.ended(ev.cause, ev.phase)
	if ev.cause == causeFailed || ev.cause == causeLost {
		e.Failures++
	}
	e.Error = ev.text
	if ev.phase.Finished() {
		e.Finished = ev.at
		s.changes.finished = append(s.changes.finished, e.ID)
	}
}

// letGo takes e off the agent that holds it.
func (s *State) letGo(e *entry) {
	a := s.agents[e.Agent]
	a.holds.remove(e)
	s.ended(a, Execution{e.ID, e.Attempt})
	if a.handle == 0 && a.holds.size == 0 {
		delete(s.agents, a.id)
	}
}

// forget drops a finished task and its key.
func (s *State) forget(e *entry) {
	s.preserve(e)
	s.unlink(e)
	s.bytes -= e.size()
	delete(s.tasks, e.ID)
	if e.Key != "" && e.queue.keys[e.Key] == e {
		delete(e.queue.keys, e.Key)
	}
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

// assign tells what the matcher has decided and records it.
func (s *State) assign(now int64) {
	s.decide(len(s.out))
	s.record(now)
}

// record records what the matcher has decided.
func (s *State) record(now int64) {
	for _, d := range s.out {
		e, a := s.running[d.Task.Slot()], s.attached[d.Agent.Slot()]
		s.start(e, now, e.Attempt+1, a.id)
		s.changes.w.started(&e.Task)
		s.changes.seal()
		s.changes.assigned++
		s.changes.give(a.sink, Assignment{
			Execution: Execution{e.ID, e.Attempt}, Queue: e.Queue, Handler: e.Handler, Priority: e.Priority,
			Deadline: e.Deadline, Payload: e.Payload,
		}, e.stored.payloadRef())
	}
	s.out = s.out[:0]
}

// decide tells of assignments that the matcher has just made.
func (s *State) decide(assignments int) {
	if assignments > 0 && s.decided != nil {
		s.decided(assignments)
	}
}

// finish records the end of an execution or of a waiting, and what the freed slot takes.
func (s *State) finish(e *entry, ev *event) error {
	was := e.Phase
	ev.id = e.ID
	if ev.ref.size > 0 {
		s.changes.put(bodyID{e.ID, resultSide}, ev.body)
		ev.body = nil
	}
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
