package matcher

import "math"

// MaxPriority is the most urgent priority; 0 is the least.
const MaxPriority = 9

// A TaskID is a handle: a slot and its generation. Zero names no task.
type TaskID uint64

func (id TaskID) slot() uint32 { return uint32(id) }

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

type taskState uint8

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
	// next and prev are its neighbours while it waits, and while it runs the slot
	// and generation of its agent.
	next, prev uint32
	generation uint32
	queue      uint16
	need       uint16
	priority   uint8
	state      taskState
}

// agent is who runs the task, zero while it waits.
func (t *task) agent() AgentID {
	if t.state != running {
		return 0
	}
	return AgentID(t.prev)<<32 | AgentID(t.next)
}

func (t *task) runOn(id AgentID) {
	t.state, t.next, t.prev = running, id.slot(), uint32(id>>32)
}

func (m *Matcher) task(id TaskID) (*task, error) {
	i := id.slot()
	if i == 0 || int(i) >= len(m.tasks) || m.tasks[i].state == gone || m.tasks[i].generation != uint32(id>>32) {
		return nil, ErrNoTask
	}
	return &m.tasks[i], nil
}

func (m *Matcher) taskID(i uint32) TaskID { return TaskID(m.tasks[i].generation)<<32 | TaskID(i) }

func (m *Matcher) agentID(i uint32) AgentID { return AgentID(m.agents[i].generation)<<32 | AgentID(i) }

// Submit adds a task, assigned at once if an agent that can do it has room.
func (m *Matcher) Submit(spec Task, out []Assignment) (TaskID, []Assignment, error) {
	if err := inRange("priority", int64(spec.Priority), 0, MaxPriority, "5"); err != nil {
		return 0, out, err
	}
	if err := inRange("queue", int64(spec.Queue), 0, int64(len(m.queues))-1, "0, from AddQueue"); err != nil {
		return 0, out, err
	}
	if err := inRange("arrival", spec.Arrival, 0, maxArrival, "1764043200000000000"); err != nil {
		return 0, out, err
	}
	if m.stats.Waiting+m.stats.Running == m.config.MaxTasks {
		return 0, out, ErrTooManyTasks
	}
	need, err := m.needShape(spec.Needs)
	if err != nil {
		return 0, out, err
	}
	m.needs.users[need]++
	m.latest = max(m.latest, spec.Arrival)
	i := m.freeTask
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
		queue:      uint16(spec.Queue),
		need:       uint16(need),
		priority:   uint8(spec.Priority),
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

// maxArrival leaves room for the largest priority and aging.
const maxArrival = math.MaxInt64 / 2

// Cancel removes a waiting task.
func (m *Matcher) Cancel(id TaskID) error {
	t, err := m.task(id)
	if err != nil {
		return err
	}
	if t.state != waiting {
		return ErrNotWaiting
	}
	m.dequeue(id.slot(), uint32(t.queue), t.need)
	m.forget(id.slot())
	return nil
}

// Finish removes a running task and gives the slot that it held to the best
// waiting one.
func (m *Matcher) Finish(id TaskID, out []Assignment) ([]Assignment, error) {
	t, err := m.task(id)
	if err != nil {
		return out, err
	}
	if t.state != running {
		return out, ErrNotRunning
	}
	freed := m.release(t)
	m.forget(id.slot())
	return m.fill(freed, out), nil
}

// Return makes a running task wait again, first of its priority, and gives the
// slot that it held to the best waiting one, which may be the same.
func (m *Matcher) Return(id TaskID, out []Assignment) ([]Assignment, error) {
	t, err := m.task(id)
	if err != nil {
		return out, err
	}
	if t.state != running {
		return out, ErrNotRunning
	}
	freed := m.release(t)
	m.enqueue(id.slot(), true)
	out = m.fill(freed, out)
	if t.state == waiting {
		out = m.fill(m.agentFor(uint32(t.need)), out)
	}
	return out, nil
}

// release takes a running task off its agent and returns the agent's slot, 0 if
// the agent has gone.
func (m *Matcher) release(t *task) uint32 {
	id := t.agent()
	m.stats.Running--
	a, err := m.agent(id)
	if err != nil {
		return 0
	}
	m.delist(id.slot())
	a.load--
	m.enlist(id.slot())
	return id.slot()
}

func (m *Matcher) forget(i uint32) {
	t := &m.tasks[i]
	m.needs.users[t.need]--
	t.state = gone
	t.next, m.freeTask = m.freeTask, i
}

// assign gives task slot i, which is in no list, to agent slot a.
func (m *Matcher) assign(i, a uint32, out []Assignment) []Assignment {
	m.delist(a)
	m.agents[a].load++
	m.enlist(a)
	t := &m.tasks[i]
	id := m.agentID(a)
	t.runOn(id)
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
		i, queue, need := m.taskFor(m.agents[a].skill)
		if i == 0 {
			break
		}
		m.dequeue(i, queue, need)
		out = m.assign(i, a, out)
	}
	return out
}
