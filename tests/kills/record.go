package main

import (
	"sync"
	"time"
)

// What both sides saw. A time that is zero did not come.
type (
	// Submit is one draft as its submitter saw it.
	Submit struct {
		Key, Queue, Task string
		At, Answered     time.Time
		Err              string // why the client gave up; empty: acknowledged
	}
	// Given is an execution on its way to an agent, seen at the balancer.
	Given struct {
		Task    string
		Attempt int
		Agent   string
		At      time.Time
	}
	// Handled is a handler's run, as the agent itself saw it.
	Handled struct {
		Task       string
		Attempt    int
		Agent      string
		Begin, End time.Time
	}
	// Report is a result and what the server said to it, seen at the balancer.
	Report struct {
		Task                string
		Attempt             int
		Agent               string
		Answered            time.Time
		Accepted, Duplicate bool
		Completed           bool // the task stood so after it
		Reason              string
	}
	// Notice is a server's word that an agent does not hold an execution any more.
	Notice struct {
		Task    string
		Attempt int
		Agent   string
		At      time.Time
	}
	// Sent is a message as its sender saw it.
	Sent struct {
		To, Body string
		Stored   bool
		Err      string
	}
	// Received is a message as its reader saw it. A repeat has the same ID.
	Received struct {
		Reader, Body, ID string
	}
)

// Records are what the harness's own clients and its balancers saw.
type Records struct {
	Submits  []Submit
	Given    []Given
	Handled  []Handled
	Reports  []Report
	Lost     []Notice
	Sent     []Sent
	Received []Received
	Errors   []string // errors that a client of ours saw where it should see none
}

// recorder gathers records from all sides.
type recorder struct {
	mu  sync.Mutex
	all Records
	// acknowledged counts answered submits, accepted those of results.
	acknowledged, accepted int
}

func (r *recorder) submit(s Submit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Submits = append(r.all.Submits, s)
	if s.Err == "" {
		r.acknowledged++
		return
	}
	r.all.Errors = append(r.all.Errors, "submit "+s.Key+": "+s.Err)
}

func (r *recorder) given(g Given) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Given = append(r.all.Given, g)
}

func (r *recorder) handled(h Handled) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Handled = append(r.all.Handled, h)
}

func (r *recorder) report(p Report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Reports = append(r.all.Reports, p)
	if p.Accepted && !p.Duplicate {
		r.accepted++
	}
}

func (r *recorder) lost(n Notice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Lost = append(r.all.Lost, n)
}

func (r *recorder) sent(s Sent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Sent = append(r.all.Sent, s)
	if s.Err != "" {
		r.all.Errors = append(r.all.Errors, "send to "+s.To+": "+s.Err)
	}
}

func (r *recorder) received(m Received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Received = append(r.all.Received, m)
}

func (r *recorder) failed(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Errors = append(r.all.Errors, text)
}

// progress answers how many submits were acknowledged, results accepted and messages
// received so far.
func (r *recorder) progress() (acknowledged, accepted, received int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.acknowledged, r.accepted, len(r.all.Received)
}

// since answers how many queues have had a task acknowledged that was submitted after a time.
func (r *recorder) since(t time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	had := map[string]bool{}
	for i := len(r.all.Submits) - 1; i >= 0 && r.all.Submits[i].Answered.After(t); i-- {
		if s := r.all.Submits[i]; s.Err == "" && s.At.After(t) {
			had[s.Queue] = true
		}
	}
	return len(had)
}

// undelivered answers how many messages were stored and have not come.
func (r *recorder) undelivered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	came := map[string]bool{}
	for _, m := range r.all.Received {
		came[m.Reader+" "+m.Body] = true
	}
	n := 0
	for _, s := range r.all.Sent {
		if s.Stored && !came[s.To+" "+s.Body] {
			n++
		}
	}
	return n
}

// take answers the records.
func (r *recorder) take() Records {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}
