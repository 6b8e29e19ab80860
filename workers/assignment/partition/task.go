package partition

import (
	"github.com/google/uuid"

	"github.com/leanvibe/hive/workers/assignment/matcher"
)

// A TaskID is a UUID of version 7 whose last two bytes are the number of its partition.
type TaskID = uuid.UUID

// Phase is where a task stands.
type Phase uint8

// The phases of a task. The numbers are in the journal: never change them.
const (
	Waiting   Phase = 1
	Running   Phase = 2
	Completed Phase = 3
	// Dead: its last attempt failed or was lost, a failure was final, or its deadline passed.
	Dead Phase = 4
	// Cancelled: it was taken back before it ran.
	Cancelled Phase = 5
)

var phaseNames = map[Phase]string{
	Waiting: "waiting", Running: "running", Completed: "completed", Dead: "dead", Cancelled: "cancelled",
}

// String is the phase's name in calls and in the archive.
func (p Phase) String() string { return phaseNames[p] }

// Finished tells whether the phase is final.
func (p Phase) Finished() bool { return p >= Completed }

// A Draft is a task as it is submitted; its fields were validated by the caller.
type Draft struct {
	ID TaskID
	// Key is the idempotency key; empty: none.
	Key string
	// Digest tells whether two drafts with the same key are the same task.
	Digest         [16]byte
	Queue, Handler string
	Capabilities   []string
	Priority       int
	// Deadline is the latest start in Unix µs; 0: none.
	Deadline    int64
	MaxAttempts int
	Payload     []byte
	stored      *stored
}

// A Task is a task as the partition holds it. Times are Unix µs, 0 is none.
type Task struct {
	Draft
	Phase Phase
	// Attempt numbers the last execution; it grows with each assignment.
	Attempt int
	// Failures counts executions that failed or were lost.
	Failures int
	// Agent holds the task or held it last.
	Agent                        string
	Submitted, Started, Finished int64
	Result                       []byte
	Error                        string
}

// taskSize is about what a task takes in memory without its small bodies, in all tables and with
// what the collector has not swept yet, in bytes. Measured: 1.5 KB with a body of 128.
const taskSize = 1024

// size is about what the task takes in memory, in bytes.
func (t *Task) size() int { return taskSize + len(t.Key) + len(t.Payload) + len(t.Result) }

// An Execution names one attempt of one task: the fencing token of its lease.
type Execution struct {
	Task    TaskID
	Attempt int
}

// entry is a task in the tables.
type entry struct {
	Task
	queue    *queue
	handle   matcher.TaskID // 0 once finished
	renewed  uint64         // the last call of State.renew that named it
	archived bool           // the archive has confirmed it
	pictured uint32         // the last snapshot that it is in, or came after the begin of
	due      int64          // when its lease runs out, or when it is forgotten, Unix µs
	at       int            // its place in the heap of deadlines, -1: none
	prev     *entry
	next     *entry
	heldPrev *entry // its neighbours in the roster of who runs it
	heldNext *entry
}

// line is a list of entries in order of due: what is added is never due before the
// last, because the term is the same for all.
type line struct {
	head, tail *entry
	size       int
}

func (l *line) add(e *entry, due int64) {
	if l.tail != nil {
		due = max(due, l.tail.due) // a clock that was put back must not break the order
		l.tail.next = e
	} else {
		l.head = e
	}
	e.due, e.prev, e.next = due, l.tail, nil
	l.tail = e
	l.size++
}

func (l *line) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.tail = e.prev
	}
	e.prev, e.next = nil, nil
	l.size--
}

// roster is what one agent runs, in no order.
type roster struct {
	head *entry
	size int
}

func (r *roster) add(e *entry) {
	e.heldPrev, e.heldNext = nil, r.head
	if r.head != nil {
		r.head.heldPrev = e
	}
	r.head = e
	r.size++
}

func (r *roster) remove(e *entry) {
	if e.heldPrev != nil {
		e.heldPrev.heldNext = e.heldNext
	} else {
		r.head = e.heldNext
	}
	if e.heldNext != nil {
		e.heldNext.heldPrev = e.heldPrev
	}
	e.heldPrev, e.heldNext = nil, nil
	r.size--
}

// all answers them, so that the roster may change while they are gone through.
func (r *roster) all() []*entry {
	out := make([]*entry, 0, r.size)
	for e := r.head; e != nil; e = e.heldNext {
		out = append(out, e)
	}
	return out
}

// deadlines is a heap of waiting tasks by deadline (container/heap).
type deadlines []*entry

// Len is for container/heap, as are the others.
func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].Deadline < d[j].Deadline }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].at, d[j].at = i, j
}

// Push is for container/heap.
func (d *deadlines) Push(x any) {
	e := x.(*entry)
	e.at = len(*d)
	*d = append(*d, e)
}

// Pop is for container/heap.
func (d *deadlines) Pop() any {
	last := len(*d) - 1
	e := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	e.at = -1
	return e
}
