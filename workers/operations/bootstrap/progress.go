package bootstrap

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// silence is the longest time in which nothing is said while something goes on.
const silence = 2 * time.Second

// Progress tells a person what goes on: a line when a phase begins, one for each
// thing that ends, and a sign of life for what takes long. On a terminal the sign
// of life is one line that replaces itself.
type Progress struct {
	out    io.Writer
	screen bool
	begun  time.Time

	mu    sync.Mutex
	last  time.Time
	live  bool // the cursor stands behind a line that will be replaced
	tasks []*task
	// phases are the ones that have ended, for the summary.
	phases []Phase
	open   *Phase
	since  time.Time
}

// Phase is one part of a bring-up and how long it took.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// NewProgress prints to out.
func NewProgress(out io.Writer) *Progress {
	file, ok := out.(*os.File)
	now := time.Now()
	return &Progress{out: out, screen: ok && term.IsTerminal(int(file.Fd())), begun: now, last: now}
}

// watch prints signs of life until the returned function is called.
func (p *Progress) watch() (stop func()) {
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		ticker := time.NewTicker(silence / 4)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				p.beat(time.Now())
			}
		}
	}()
	return func() {
		close(done)
		<-gone
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wipe()
		p.end(time.Now())
	}
}

func (p *Progress) beat(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.last) < silence-silence/8 || len(p.tasks) == 0 {
		return
	}
	var parts []string
	for _, t := range p.tasks {
		part := fmt.Sprintf("%s %ds", t.name, int(now.Sub(t.begun).Seconds()))
		if t.note != "" {
			part += " (" + t.note + ")"
		}
		parts = append(parts, part)
	}
	line := "   … " + strings.Join(parts, " · ")
	if !p.screen {
		p.line("%s", line)
		return
	}
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && len([]rune(line)) >= width {
		line = string([]rune(line)[:max(width-2, 0)]) + "…"
	}
	p.wipe()
	fmt.Fprint(p.out, line)
	p.live, p.last = true, now
}

func (p *Progress) wipe() {
	if p.live {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.live = false
	}
}

func (p *Progress) line(format string, args ...any) {
	p.wipe()
	fmt.Fprintf(p.out, format+"\n", args...)
	p.last = time.Now()
}

// phase begins a part; the one before has ended.
func (p *Progress) phase(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.end(now)
	p.open, p.since = &Phase{Name: name}, now
	p.line("== %s", name)
}

func (p *Progress) end(now time.Time) {
	if p.open != nil {
		p.open.Seconds = now.Sub(p.since).Round(100 * time.Millisecond).Seconds()
		p.phases = append(p.phases, *p.open)
		p.open = nil
	}
}

// say prints one line of detail.
func (p *Progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line("   "+format, args...)
}

// task is something that takes a while.
type task struct {
	p     *Progress
	name  string
	note  string
	begun time.Time
}

// begin shows a task among the signs of life until it has ended.
func (p *Progress) begin(name string) *task {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &task{p: p, name: name, begun: time.Now()}
	p.tasks = append(p.tasks, t)
	return t
}

// at says what the task is at.
func (t *task) at(format string, args ...any) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.note = fmt.Sprintf(format, args...)
}

// done ends the task with a line of what came of it and how long it took.
func (t *task) done(format string, args ...any) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.leave()
	t.p.line("   %s (%.1f s)", fmt.Sprintf(format, args...), time.Since(t.begun).Seconds())
}

// quit ends the task without a line: it failed, and the error will say so, or
// there was nothing to do.
func (t *task) quit() {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	t.leave()
}

func (t *task) leave() {
	t.p.tasks = slices.DeleteFunc(t.p.tasks, func(o *task) bool { return o == t })
}
