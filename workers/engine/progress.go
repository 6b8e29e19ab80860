package engine

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ProgressOptions say where a group's reports go, and how often.
type ProgressOptions struct {
	// To is an agent's id or topic:NAME at the hub; {task}, {queue}, {handler} and
	// {agent} stand for the task's own. Empty: nothing is sent.
	To string
	// Every is the shortest time between two reports of one task, 1 s unless set.
	Every time.Duration
}

const (
	everyDefault = time.Second
	everyLeast   = 100 * time.Millisecond
	everyMost    = time.Hour
	// reportsPerSecond bounds the reports of one engine, whatever its tasks ask for.
	reportsPerSecond = 200
)

var (
	addressForm = regexp.MustCompile(`^(topic:)?[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	anyPart     = strings.NewReplacer("{task}", "x", "{queue}", "x", "{handler}", "x", "{agent}", "x")
)

const addressWant = "an agent's id or topic:NAME, in which {task}, {queue}, {handler} and {agent} are filled in"

func isAddress(to string) bool { return addressForm.MatchString(anyPart.Replace(to)) }

func (o ProgressOptions) check(hub bool) error {
	switch {
	case o.To == "":
		return nil
	case !isAddress(o.To):
		return fmt.Errorf("progress.to %q: want %s, for example topic:task-{task}", o.To, addressWant)
	case o.Every < everyLeast || o.Every > everyMost:
		return fmt.Errorf("progress.every %s: want %s to %s", o.Every, everyLeast, everyMost)
	case !hub:
		return fmt.Errorf("progress.to is %q and no hub is configured: write its URL as hub, for example http://nginx", o.To)
	}
	return nil
}

// address fills in the task's own.
func (o ProgressOptions) address(t *Task) string {
	return strings.NewReplacer("{task}", t.ID, "{queue}", t.Queue, "{handler}", t.Handler, "{agent}", t.Agent).Replace(o.To)
}

// report is the body of one message.
type report struct {
	Task     string    `json:"task"`
	Attempt  int       `json:"attempt"`
	Queue    string    `json:"queue"`
	Handler  string    `json:"handler"`
	Agent    string    `json:"agent"`
	Fraction float64   `json:"fraction"`
	Note     string    `json:"note,omitempty"`
	At       time.Time `json:"at"`
}

// publish sends one message; it must not block.
type publish func(to, id string, body []byte)

// reporter thins the reports of one execution: of those that come within an
// interval only the newest is sent, at the interval's end or the execution's.
type reporter struct {
	task    *Task
	options ProgressOptions
	budget  *budget
	publish publish
	metrics *metrics

	mu      sync.Mutex
	sent    int
	last    time.Time
	pending *report
	timer   *time.Timer
	ended   bool
}

func (r *reporter) report(fraction float64, note string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	if r.pending != nil {
		r.metrics.progress.WithLabelValues("thinned").Inc()
	}
	now := time.Now()
	r.pending = &report{
		Task: r.task.ID, Attempt: r.task.Attempt, Queue: r.task.Queue, Handler: r.task.Handler, Agent: r.task.Agent,
		Fraction: fraction, Note: note, At: now.UTC(),
	}
	if wait := r.options.Every - now.Sub(r.last); wait > 0 {
		if r.timer == nil {
			r.timer = time.AfterFunc(wait, r.due)
		}
		return
	}
	r.send()
}

// due sends what has gathered in an interval.
func (r *reporter) due() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = nil
	if !r.ended {
		r.send()
	}
}

// end sends the last report, if one waits; later ones are ignored.
func (r *reporter) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer != nil {
		r.timer.Stop()
	}
	r.send()
	r.ended = true
}

// send hands the waiting report over; the caller holds the lock.
func (r *reporter) send() {
	if r.pending == nil {
		return
	}
	p := r.pending
	r.pending, r.last = nil, time.Now()
	body, err := json.Marshal(p)
	if err != nil || !r.budget.take(r.last) {
		r.metrics.progress.WithLabelValues("dropped").Inc()
		return
	}
	r.sent++
	r.publish(r.options.address(r.task), p.Task+"."+strconv.Itoa(p.Attempt)+"."+strconv.Itoa(r.sent), body)
}

// budget bounds the reports of a whole engine in each second.
type budget struct {
	mu     sync.Mutex
	second int64
	used   int
}

func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := now.Unix(); s != b.second {
		b.second, b.used = s, 0
	}
	b.used++
	return b.used <= reportsPerSecond
}
