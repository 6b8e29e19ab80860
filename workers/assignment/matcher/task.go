package matcher

import "math"

// MaxPriority is the most urgent priority; 0 is the least.
const MaxPriority = 9

// A TaskID is a handle: a slot and its generation. Zero names no task.
type TaskID uint64

// Slot answers its place in the table of tasks, 1 to Config.MaxTasks: dense, and used
// again once the task has gone.
func (id TaskID) Slot() uint32 { return uint32(id) }

// A Task is what the caller asks to be done.
type Task struct {
	Queue    QueueID
	Needs    Set
	Priority int
	// Arrival is an instant in the unit of Config.Aging. One before the latest
	// seen counts as that: tasks are in order of arrival by definition.
	Arrival int64
}

// An Assignment gives a task to an agent.
type Assignment struct {
	Task  TaskID
	Agent AgentID
}

// taskState is the low bits of a task's kind.
type taskState = uint32

const (
	gone taskState = iota
	waiting
	running
)

// task is one slot of the tasks' table; free slots are chained by next. It is 32
// bytes, so that none lies across two cache lines: with a million of them each
// line is a trip to memory.
type task struct {
	key int64
	// nextKey is the key of next while the task waits, none behind the last; while
	// it runs, the shape of its agent. Who reads it need not fetch the other.
	nextKey int64
	// next and prev are its neighbours while it waits, of which the first has no
	// prev, and while it runs the slot and generation of its agent.
	next, prev uint32
	generation uint32
	kind       uint32 // queue, need, priority and state
}

// The places of the four in a kind.
const (
	stateBits, priorityBits, needBits = 2, 4, 12

	priorityShift = stateBits
	needShift     = priorityShift + priorityBits
	queueShift    = needShift + needBits
)

func kindOf(queue, need, priority uint32) uint32 {
	return queue<<queueShift | need<<needShift | priority<<priorityShift
}

func (t *task) state() taskState { return t.kind & (1<<stateBits - 1) }
func (t *task) priority() uint8  { return uint8(t.kind >> priorityShift & (1<<priorityBits - 1)) }
func (t *task) need() uint32     { return t.kind >> needShift & (1<<needBits - 1) }
func (t *task) queue() uint32    { return t.kind >> queueShift }

func (t *task) become(s taskState) { t.kind = t.kind&^(1<<stateBits-1) | s }

// wait makes it a waiting task without neighbours.
func (t *task) wait() {
	t.become(waiting)
	t.next, t.nextKey = 0, none
}

// agent is who runs the task, zero while it waits.
func (t *task) agent() AgentID {
	if t.state() != running {
		return 0
	}
	return AgentID(t.prev)<<32 | AgentID(t.next)
}

// skill is the shape of the agent that runs the task.
func (t *task) skill() uint32 { return uint32(t.nextKey) }

func (t *task) runOn(id AgentID, skill uint32) {
	t.become(running)
	t.next, t.prev, t.nextKey = id.Slot(), uint32(id>>32), int64(skill)
}

func (m *Matcher) task(id TaskID) (*task, error) {
	i := id.Slot()
	if i == 0 || int(i) >= len(m.tasks) || m.tasks[i].state() == gone || m.tasks[i].generation != uint32(id>>32) {
		return nil, ErrNoTask
	}
	return &m.tasks[i], nil
}

func (m *Matcher) taskID(i uint32) TaskID { return TaskID(m.tasks[i].generation)<<32 | TaskID(i) }

func (m *Matcher) agentID(i uint32) AgentID { return AgentID(m.agents[i].generation)<<32 | AgentID(i) }

// Submit adds a task, assigned at once if an agent that can do it has room.
func (m *Matcher) Submit(spec Task, out []Assignment) (TaskID, []Assignment, error) {
	i, need, err := m.add(spec)
	if err != nil {
		return 0, out, err
	}
	if a := m.agentFor(need); a != 0 {
		// Nobody waits whom this agent could serve, or it would have no room: a
		// direct assignment overtakes nobody.
		out = m.assign(i, a, out)
	} else {
		m.enqueue(i, false)
	}
	return m.taskID(i), out, nil
}

// SubmitRunning adds a task that already runs, on an agent that is not attached: one
// that a recovery found. Reattach says when its agent is back, Return that it will not be.
func (m *Matcher) SubmitRunning(spec Task) (TaskID, error) {
	i, _, err := m.add(spec)
	if err != nil {
		return 0, err
	}
	m.tasks[i].runOn(0, 0)
	m.stats.Running++
	return m.taskID(i), nil
}

// add checks a task and puts it into the table, in no list yet.
func (m *Matcher) add(spec Task) (i, need uint32, err error) {
	if err := inRange("priority", int64(spec.Priority), 0, MaxPriority, "5"); err != nil {
		return 0, 0, err
	}
	if err := inRange("queue", int64(spec.Queue), 0, int64(len(m.queues))-1, "0, from AddQueue"); err != nil {
		return 0, 0, err
	}
	if err := inRange("arrival", spec.Arrival, 0, maxArrival, "1764043200000000000"); err != nil {
		return 0, 0, err
	}
	if m.stats.Waiting+m.stats.Running == m.config.MaxTasks {
		return 0, 0, ErrTooManyTasks
	}
	if need, err = m.needShape(spec.Needs); err != nil {
		return 0, 0, err
	}
	m.needs.users[need]++
	m.latest = max(m.latest, spec.Arrival)
	i = m.freeTask
	if i != 0 {
		m.freeTask = m.tasks[i].next
	} else {
		i = uint32(len(m.tasks))
		m.tasks = append(m.tasks, task{})
	}
	t := &m.tasks[i]
	*t = task{
		key:        m.latest - int64(spec.Priority)*m.config.Aging,
		generation: t.generation + 1,
		kind:       kindOf(uint32(spec.Queue), need, uint32(spec.Priority)),
	}
	return i, need, nil
}

// maxArrival leaves room for the largest priority and aging.
const maxArrival = math.MaxInt64 / 2

// Cancel removes a waiting task.
func (m *Matcher) Cancel(id TaskID) error {
	t, err := m.task(id)
	if err != nil {
		return err
	}
	if t.state() != waiting {
		return ErrNotWaiting
	}
	m.dequeue(id.Slot())
	m.forget(id.Slot())
	return nil
}

// Finish removes a running task and gives the slot that it held to the best
// waiting one.
func (m *Matcher) Finish(id TaskID, out []Assignment) ([]Assignment, error) {
	t, err := m.task(id)
	if err != nil {
		return out, err
	}
	if t.state() != running {
		return out, ErrNotRunning
	}
	agent, skill := t.agent(), t.skill()
	m.stats.Running--
	m.forget(id.Slot())
	return m.vacate(agent, skill, out), nil
}

// Prefetch reads, without looking at it, what Finish or Return of these running tasks
// will need first: call it with the tasks of a batch before the first of them is
// finished. The records lie anywhere in memory; fetched together their trips overlap,
// one after the other each is waited for. Handles that are stale or name nothing do
// no harm. It changes no decision.
func (m *Matcher) Prefetch(ids []TaskID) {
	var read uint32
	for _, id := range ids {
		if i := id.Slot(); int(i) < len(m.tasks) {
			read ^= m.tasks[i].next
		}
	}
	for _, id := range ids {
		if i := id.Slot(); int(i) < len(m.tasks) {
			if a := m.tasks[i].next; int(a) < len(m.agents) {
				read ^= m.agents[a].generation
			}
		}
	}
	m.prefetched = read // else the compiler leaves the reads out
}

// Return makes a running task wait again, first of its priority, and gives the
// slot that it held to the best waiting one, which may be the same.
func (m *Matcher) Return(id TaskID, out []Assignment) ([]Assignment, error) {
	t, err := m.task(id)
	if err != nil {
		return out, err
	}
	if t.state() != running {
		return out, ErrNotRunning
	}
	agent, skill := t.agent(), t.skill()
	m.stats.Running--
	m.enqueue(id.Slot(), true)
	out = m.vacate(agent, skill, out)
	if t.state() == waiting {
		out = m.fill(m.agentFor(t.need()), out)
	}
	return out, nil
}

// vacate frees a slot of an agent of shape skill and gives it the best waiting
// task. The agent may have gone.
func (m *Matcher) vacate(id AgentID, skill uint32, out []Assignment) []Assignment {
	a, err := m.agent(id)
	if err != nil {
		return out
	}
	full := a.justFull()
	if full {
		// Its load will be what it was, so it stays where it is, in no list. Its shape
		// is known from the task, so that the choice need not wait for its record.
		if i := m.take(skill); i != 0 {
			return m.start(i, id, skill, out)
		}
	}
	i := id.Slot()
	m.delist(i)
	a.load--
	m.enlist(i)
	if full {
		return out // nothing waits for it
	}
	return m.fill(i, out)
}

func (m *Matcher) forget(i uint32) {
	t := &m.tasks[i]
	m.needs.users[t.need()]--
	t.become(gone)
	t.next, m.freeTask = m.freeTask, i
}

// assign gives task slot i, which is in no list, to agent slot a.
func (m *Matcher) assign(i, a uint32, out []Assignment) []Assignment {
	m.delist(a)
	m.agents[a].load++
	m.enlist(a)
	return m.start(i, m.agentID(a), uint32(m.agents[a].skill), out)
}

// start makes task slot i run on an agent of shape skill.
func (m *Matcher) start(i uint32, id AgentID, skill uint32, out []Assignment) []Assignment {
	m.tasks[i].runOn(id, skill)
	m.stats.Running++
	m.stats.Assignments++
	return append(out, Assignment{Task: m.taskID(i), Agent: id})
}

// fill gives agent slot a the best waiting tasks while it has room; slot 0 is no
// agent.
func (m *Matcher) fill(a uint32, out []Assignment) []Assignment {
	if a == 0 {
		return out
	}
	for m.agents[a].hasRoom() {
		i := m.take(uint32(m.agents[a].skill))
		if i == 0 {
			break
		}
		out = m.assign(i, a, out)
	}
	return out
}
