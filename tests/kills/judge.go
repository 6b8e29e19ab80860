package main

import (
	"fmt"
	"slices"
	"time"
)

// What a journal's record may say; partition/record.go has the numbers.
const (
	submitted = "submitted"
	started   = "started"
	completed = "completed"
	failed    = "failed"
	lost      = "lost"
	released  = "released"
	ended     = "ended" // expired or cancelled: not an execution's end
	takeover  = "takeover"
)

// Change is one record of the journal, in its order.
type Change struct {
	Partition  int
	Seq, Epoch uint64
	What       string // one of the constants above
	Task, Key  string
	Attempt    int    // of started
	Agent      string // of started
}

// Final is how a task stood when all was done, as the service said.
type Final struct {
	Found, Completed, Dead bool
	Attempt                int
	Err                    string
}

// Evidence is what is judged.
type Evidence struct {
	Records
	Journal []Change
	// Whole is false when the journal's front was trimmed: then what only the
	// whole journal shows is not judged.
	Whole bool
	Final map[string]Final
}

// Rule is what may be broken.
type Rule string

// The rules, as rows name them.
const (
	Lost       Rule = "lost"
	Duplicated Rule = "duplicated_without_attempt"
	TwoLeases  Rule = "two_valid_leases"
	FencedAck  Rule = "fenced_acks"
	// Unrecorded: an execution reached an agent and the journal does not have it.
	Unrecorded Rule = "unrecorded"
)

// Violation is one break of a rule.
type Violation struct {
	Rule Rule
	Text string
}

// execution names one attempt.
type execution struct {
	task    string
	attempt int
}

// history is what the journal says.
type history struct {
	stored  map[string]bool      // tasks
	newest  map[string]int       // attempt of each task
	holders map[execution]string // agent of each execution
	ends    map[execution]string // how each execution ended
	running map[string]int       // attempt that holds a lease
	keys    map[string]string    // task of each key
	done    map[string]bool      // tasks that are completed
	epochs  map[int]uint64       // of each partition
	broken  []Violation
}

func (h *history) say(rule Rule, format string, args ...any) {
	h.broken = append(h.broken, Violation{rule, fmt.Sprintf(format, args...)})
}

// read follows the journal and finds what it itself breaks.
func read(journal []Change) *history {
	h := &history{
		stored: map[string]bool{}, newest: map[string]int{}, holders: map[execution]string{}, ends: map[execution]string{},
		running: map[string]int{}, keys: map[string]string{}, done: map[string]bool{}, epochs: map[int]uint64{},
	}
	for _, c := range journal {
		if c.Epoch < h.epochs[c.Partition] {
			h.say(FencedAck, "partition %d, sequence %d: epoch %d wrote after epoch %d had taken over", c.Partition, c.Seq, c.Epoch, h.epochs[c.Partition])
		}
		h.epochs[c.Partition] = c.Epoch
		switch c.What {
		case submitted:
			h.submitted(c)
		case started:
			h.started(c)
		case completed, failed, lost, released:
			h.ended(c)
		}
	}
	return h
}

func (h *history) submitted(c Change) {
	if h.stored[c.Task] {
		h.say(Duplicated, "task %s stands in the journal twice (sequence %d)", c.Task, c.Seq)
	}
	if other := h.keys[c.Key]; c.Key != "" && other != "" && other != c.Task {
		h.say(Duplicated, "key %s is two tasks: %s and %s", c.Key, other, c.Task)
	}
	h.stored[c.Task], h.keys[c.Key] = true, c.Task
}

func (h *history) started(c Change) {
	if c.Attempt <= h.newest[c.Task] {
		h.say(Duplicated, "task %s: attempt %d was started after attempt %d (sequence %d)", c.Task, c.Attempt, h.newest[c.Task], c.Seq)
	}
	if old := h.running[c.Task]; old != 0 {
		h.say(TwoLeases, "task %s: attempt %d was started while attempt %d held its lease (sequence %d)", c.Task, c.Attempt, old, c.Seq)
	}
	if h.done[c.Task] {
		h.say(Duplicated, "task %s: attempt %d was started after it was completed (sequence %d)", c.Task, c.Attempt, c.Seq)
	}
	h.newest[c.Task] = max(h.newest[c.Task], c.Attempt)
	h.running[c.Task] = c.Attempt
	h.holders[execution{c.Task, c.Attempt}] = c.Agent
}

func (h *history) ended(c Change) {
	attempt := h.running[c.Task]
	if attempt == 0 {
		h.say(FencedAck, "task %s: %s in the journal while nobody held a lease (sequence %d)", c.Task, c.What, c.Seq)
		return
	}
	delete(h.running, c.Task)
	h.ends[execution{c.Task, attempt}] = c.What
	h.done[c.Task] = h.done[c.Task] || c.What == completed
}

// judge finds every break of a rule in what both sides recorded. It is pure.
func judge(e Evidence) []Violation {
	h := read(e.Journal)
	if !e.Whole {
		h.broken = nil // what begins in the middle breaks rules by itself
	}
	h.submits(e)
	h.reports(e)
	h.executions(e)
	h.mail(e)
	return h.broken
}

func (h *history) submits(e Evidence) {
	tasks := map[string]string{}
	for _, s := range e.Submits {
		if s.Err != "" {
			continue
		}
		if other := tasks[s.Key]; other != "" && other != s.Task {
			h.say(Duplicated, "key %s was acknowledged as two tasks: %s and %s", s.Key, other, s.Task)
		}
		tasks[s.Key] = s.Task
		if e.Whole && !h.stored[s.Task] {
			h.say(Lost, "task %s (key %s) was acknowledged at %s and is not in the journal", s.Task, s.Key, clock(s.Answered))
		}
		switch f := e.Final[s.Task]; {
		case !f.Found:
			h.say(Lost, "task %s (key %s) was acknowledged at %s and is not known any more: %s", s.Task, s.Key, clock(s.Answered), f.Err)
		case !f.Completed && !f.Dead:
			h.say(Lost, "task %s (key %s) was acknowledged at %s and never finished; attempts: %d", s.Task, s.Key, clock(s.Answered), f.Attempt)
		}
	}
}

func (h *history) reports(e Evidence) {
	first := map[string]int{} // attempt whose result was accepted as new and completed the task
	for _, r := range e.Reports {
		if !r.Accepted {
			continue
		}
		x := execution{r.Task, r.Attempt}
		if f, known := e.Final[r.Task]; known && f.Found && r.Attempt > f.Attempt {
			h.say(Lost, "task %s: the result of attempt %d was accepted at %s, and the service knows only %d attempts", r.Task, r.Attempt, clock(r.Answered), f.Attempt)
		}
		if f, known := e.Final[r.Task]; known && f.Found && r.Completed && !r.Duplicate && r.Attempt < f.Attempt {
			h.say(FencedAck, "task %s: attempt %d completed it at %s, and the service has attempt %d since", r.Task, r.Attempt, clock(r.Answered), f.Attempt)
		}
		if !e.Whole {
			continue
		}
		switch end := h.ends[x]; end {
		case completed:
			if r.Duplicate {
				continue
			}
			if other, again := first[r.Task]; again && other != r.Attempt {
				h.say(FencedAck, "task %s: attempts %d and %d were both accepted", r.Task, other, r.Attempt)
			}
			first[r.Task] = r.Attempt
			if newest := h.newest[r.Task]; newest != r.Attempt {
				h.say(TwoLeases, "task %s: attempt %d was accepted, the newest is %d", r.Task, r.Attempt, newest)
			}
			if f, known := e.Final[r.Task]; known && !f.Completed {
				h.say(Lost, "task %s: attempt %d was accepted at %s, and the task is not completed", r.Task, r.Attempt, clock(r.Answered))
			}
		case failed:
		case lost, released:
			h.say(FencedAck, "task %s: attempt %d of %s was accepted at %s, and the journal calls it %s", r.Task, r.Attempt, r.Agent, clock(r.Answered), end)
		default:
			h.say(Lost, "task %s: attempt %d of %s was accepted at %s, and the journal has no end of it", r.Task, r.Attempt, r.Agent, clock(r.Answered))
		}
		if holder := h.holders[x]; holder != "" && holder != r.Agent {
			h.say(FencedAck, "task %s: attempt %d was %s's, and %s's result was accepted", r.Task, r.Attempt, holder, r.Agent)
		}
	}
}

func (h *history) executions(e Evidence) {
	agents := map[execution]string{}
	for _, g := range e.Given {
		x := execution{g.Task, g.Attempt}
		if other := agents[x]; other != "" && other != g.Agent {
			h.say(TwoLeases, "task %s: attempt %d was given to %s and to %s", g.Task, g.Attempt, other, g.Agent)
		}
		agents[x] = g.Agent
		if holder, recorded := h.holders[x]; e.Whole && (!recorded || holder != g.Agent) {
			h.say(Unrecorded, "task %s: attempt %d reached %s at %s; the journal has it for %q", g.Task, g.Attempt, g.Agent, clock(g.At), holder)
		}
	}
	runs := map[execution]int{}
	for _, r := range e.Handled {
		x := execution{r.Task, r.Attempt}
		if runs[x]++; runs[x] == 2 {
			h.say(Duplicated, "task %s: attempt %d was executed twice, at last by %s at %s", r.Task, r.Attempt, r.Agent, clock(r.Begin))
		}
	}
}

func (h *history) mail(e Evidence) {
	came := map[string][]string{} // IDs
	for _, m := range e.Received {
		came[m.Reader+" "+m.Body] = append(came[m.Reader+" "+m.Body], m.ID)
	}
	for what, ids := range came {
		slices.Sort(ids)
		if distinct := slices.Compact(ids); len(distinct) > 1 {
			h.say(Duplicated, "message %s came as %d: %v", what, len(distinct), distinct)
		}
	}
	for _, s := range e.Sent {
		if s.Stored && len(came[s.To+" "+s.Body]) == 0 {
			h.say(Lost, "message %q to %s was confirmed and did not come", s.Body, s.To)
		}
	}
}

// thin tells that the records cannot have seen what the journal says was done: then that
// nothing was found says nothing. A tenth may have been lost with who was killed.
func thin(e Evidence) error {
	begun, done := 0, 0
	for _, c := range e.Journal {
		switch c.What {
		case started:
			begun++
		case completed:
			done++
		}
	}
	given, accepted := map[execution]bool{}, map[string]bool{}
	for _, g := range e.Given {
		given[execution{g.Task, g.Attempt}] = true
	}
	for _, r := range e.Reports {
		if r.Accepted && r.Completed {
			accepted[r.Task] = true
		}
	}
	if done == 0 || len(given)*10 < begun*9 || len(accepted)*10 < done*9 {
		return fmt.Errorf("the records are too thin to judge by: the journal has %d executions and %d completed tasks, the balancer saw %d and %d",
			begun, done, len(given), len(accepted))
	}
	return nil
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }
