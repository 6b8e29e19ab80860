package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

// hall is a server that hands tasks to agents, and misbehaves as it is told.
type hall struct {
	hivev1connect.UnimplementedAssignmentServiceHandler
	// One frame in so many: the stream is cut before or after it is read, or ended with
	// a Goodbye; one report or attach in so many: refused for now. 0 never.
	cuts, goodbyes, busy int
	lease                time.Duration
	forbidden            string // agent that nobody lets in
	older                bool   // each result has an answer of its own, as before frames had numbers

	mu      sync.Mutex
	waiting []string
	jobs    map[string]*job
	seats   map[string]*seat
	lines   int
	beats   map[string]int      // agent → heartbeats that named something
	back    map[string]string   // execution → how it was given back
	refused map[string]string   // execution → why its report was
	granted map[string][]string // agent → executions handed to it
}

type job struct {
	attempt  uint32
	agent    string // who holds it
	accepted string // the execution whose result was
	result   string
	failed   map[string]bool // executions that were reported as failed
}

type seat struct {
	capacity int
	line     *line
	holds    map[string]*job
}

// line is one stream.
type line struct {
	out  []*hivev1.WorkResponse
	news chan struct{}
	end  func() error // set when the stream ends
}

func newHall(tasks int) *hall {
	h := &hall{
		lease: time.Second, jobs: map[string]*job{}, seats: map[string]*seat{}, beats: map[string]int{},
		back: map[string]string{}, refused: map[string]string{}, granted: map[string][]string{},
	}
	for i := range tasks {
		h.submit(fmt.Sprintf("t%d", i))
	}
	return h
}

func name(task string, attempt uint32) string { return fmt.Sprintf("%s/%d", task, attempt) }

func nameOf(e *hivev1.Execution) string { return name(e.GetTaskId(), e.GetAttempt()) }

// see looks at the hall while nothing moves in it.
func (h *hall) see(look func() bool) func() bool {
	return func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return look()
	}
}

func (h *hall) submit(task string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.jobs[task] = &job{failed: map[string]bool{}}
	h.waiting = append(h.waiting, task)
	h.assign()
}

// say puts a frame on a line.
func (l *line) say(m *hivev1.WorkResponse) {
	l.out = append(l.out, m)
	select {
	case l.news <- struct{}{}:
	default:
	}
}

func (l *line) ends(how func() error) {
	if l.end == nil {
		l.end = how
		l.say(nil)
	}
}

func (h *hall) Work(ctx context.Context, stream *connect.BidiStream[hivev1.WorkRequest, hivev1.WorkResponse]) error {
	l := &line{news: make(chan struct{}, 1)}
	h.mu.Lock()
	h.lines++
	l.say(&hivev1.WorkResponse{Lease: durationpb.New(h.lease)})
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, s := range h.seats {
			if s.line == l {
				s.line = nil
			}
		}
	}()
	go h.listen(stream, l)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.news:
		}
		h.mu.Lock()
		out, end := l.out, l.end
		l.out = nil
		h.mu.Unlock()
		if end != nil && oneIn(2) {
			return end() // what was to be said is not
		}
		for _, m := range out {
			if m == nil {
				return end()
			}
			if err := stream.Send(m); err != nil {
				return err
			}
		}
	}
}

func (h *hall) listen(stream *connect.BidiStream[hivev1.WorkRequest, hivev1.WorkResponse], l *line) {
	for {
		m, err := stream.Receive()
		h.mu.Lock()
		if err != nil {
			l.ends(func() error { return nil })
			h.mu.Unlock()
			return
		}
		if oneIn(h.cuts) {
			l.ends(cut)
		}
		if l.end == nil {
			h.take(m, l)
		}
		if oneIn(h.cuts) {
			l.ends(cut)
		}
		if oneIn(h.goodbyes) && l.end == nil {
			l.say(&hivev1.WorkResponse{Goodbye: &hivev1.Goodbye{Reason: hivev1.Goodbye_REASON_DRAINING}})
			l.ends(func() error { return nil })
		}
		h.mu.Unlock()
	}
}

func cut() error {
	if oneIn(2) {
		panic(http.ErrAbortHandler)
	}
	return connect.NewError(connect.CodeUnavailable, errors.New("cut"))
}

// take does one frame's parts in their order.
func (h *hall) take(m *hivev1.WorkRequest, l *line) {
	r := &hivev1.WorkResponse{}
	for _, a := range m.GetAttach() {
		r.Attached = append(r.Attached, h.attach(a, l))
	}
	for _, b := range m.GetHeartbeats() {
		if len(b.GetHeld()) > 0 {
			h.beats[b.GetAgentId()]++
		}
		if lost := h.notHeld(b.GetAgentId(), b.GetHeld()); len(lost) > 0 {
			r.Lost = append(r.Lost, &hivev1.AgentLost{AgentId: b.GetAgentId(), Lost: lost})
		}
	}
	for _, c := range m.GetResults() {
		if said := h.report(c); h.older || said.GetRefused() != "" || !said.GetOutcome().GetAccepted() {
			r.Reported = append(r.Reported, said)
		}
	}
	if len(m.GetResults()) > 0 && !h.older {
		r.Settled = append(r.Settled, m.GetSequence())
	}
	for _, x := range m.GetReleases() {
		for _, e := range x.GetExecutions() {
			h.giveBack(x.GetAgentId(), e, "released")
		}
	}
	for _, id := range m.GetDetach() {
		if s := h.seats[id]; s != nil && s.line == l {
			s.line = nil
			r.Gone = append(r.Gone, id)
		}
	}
	l.say(r)
	h.assign()
}

func (h *hall) attach(a *hivev1.AttachRequest, l *line) *hivev1.AgentAttached {
	r := &hivev1.AgentAttached{AgentId: a.GetAgentId()}
	switch {
	case a.GetAgentId() == h.forbidden:
		r.Refused, r.Reason = "permission_denied", "not you"
		return r
	case oneIn(h.busy):
		r.Refused, r.Reason = "unavailable", "a bound"
		return r
	}
	s := h.seats[a.GetAgentId()]
	if s == nil {
		s = &seat{holds: map[string]*job{}}
		h.seats[a.GetAgentId()] = s
	}
	s.line, s.capacity = l, int(a.GetCapacity())
	r.Lost = h.notHeld(a.GetAgentId(), a.GetHeld())
	named := map[string]bool{}
	for _, e := range a.GetHeld() {
		named[nameOf(e)] = true
	}
	for task, j := range s.holds {
		if !named[name(task, j.attempt)] {
			h.giveBack(a.GetAgentId(), &hivev1.Execution{TaskId: task, Attempt: j.attempt}, "not named")
		}
	}
	return r
}

func (h *hall) notHeld(agent string, list []*hivev1.Execution) (lost []*hivev1.Execution) {
	for _, e := range list {
		if j := h.jobs[e.GetTaskId()]; j.agent != agent || j.attempt != e.GetAttempt() {
			lost = append(lost, e)
		}
	}
	return lost
}

func (h *hall) giveBack(agent string, e *hivev1.Execution, how string) {
	j := h.jobs[e.GetTaskId()]
	if j.agent != agent || j.attempt != e.GetAttempt() {
		return
	}
	h.back[nameOf(e)] = how
	h.leave(e.GetTaskId(), j)
	h.waiting = append(h.waiting, e.GetTaskId())
}

// leave takes a task from its holder.
func (h *hall) leave(task string, j *job) {
	delete(h.seats[j.agent].holds, task)
	j.agent = ""
}

func (h *hall) report(c *hivev1.CompleteRequest) *hivev1.Reported {
	r := &hivev1.Reported{AgentId: c.GetAgentId(), Execution: c.GetExecution()}
	if oneIn(h.busy) {
		r.Refused, r.Reason = "unavailable", "a bound"
		if oneIn(2) {
			return r
		}
	}
	task, what := c.GetExecution().GetTaskId(), nameOf(c.GetExecution())
	j := h.jobs[task]
	r.Outcome = &hivev1.CompleteResponse{Accepted: true}
	switch {
	case j.agent == c.GetAgentId() && j.attempt == c.GetExecution().GetAttempt():
		h.leave(task, j)
		if c.GetError() != "" {
			j.failed[what] = true
			h.waiting = append(h.waiting, task)
			break
		}
		j.accepted, j.result = what, string(c.GetResult())
	case j.accepted == what || j.failed[what]:
		r.Outcome.Duplicate = true
	default:
		r.Outcome = &hivev1.CompleteResponse{Reason: "not held"}
		h.refused[what] = "not held"
	}
	return r
}

// assign hands out what waits.
func (h *hall) assign() {
	for id, s := range h.seats {
		a := &hivev1.AgentAssignments{AgentId: id}
		for s.line != nil && len(s.holds) < s.capacity && len(h.waiting) > 0 {
			task := h.waiting[0]
			h.waiting = h.waiting[1:]
			j := h.jobs[task]
			j.attempt++
			j.agent, s.holds[task] = id, j
			h.granted[id] = append(h.granted[id], name(task, j.attempt))
			a.Assignments = append(a.Assignments, &hivev1.Assignment{Execution: &hivev1.Execution{TaskId: task, Attempt: j.attempt}})
		}
		if len(a.Assignments) > 0 {
			s.line.say(&hivev1.WorkResponse{Assignments: []*hivev1.AgentAssignments{a}})
		}
	}
}

// lose takes a task from its agent and says so.
func (h *hall) lose(task string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	j := h.jobs[task]
	e := &hivev1.Execution{TaskId: task, Attempt: j.attempt}
	h.seats[j.agent].line.say(&hivev1.WorkResponse{Lost: []*hivev1.AgentLost{{AgentId: j.agent, Lost: []*hivev1.Execution{e}}}})
	h.leave(task, j)
}

// replace says that an agent has attached elsewhere.
func (h *hall) replace(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.seats[id]
	s.line.say(&hivev1.WorkResponse{Gone: []string{id}})
	s.line = nil
}

func (h *hall) done() bool {
	for _, j := range h.jobs {
		if j.accepted == "" {
			return false
		}
	}
	return true
}
