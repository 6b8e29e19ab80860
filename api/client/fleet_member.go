package client

import (
	"fmt"
	"iter"
	"time"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// standing is where an agent stands on the stream:
//
//	apart → joining → joined → leaving → apart
//
// A broken stream leaves all apart; another process with its id, any of them.
type standing int

const (
	apart   standing = iota
	joining          // its attach is not answered
	joined
	leaving // its detach is not answered
)

// member is an agent of a fleet. The fleet's lock guards it.
type member struct {
	cfg       AgentConfig
	paused    bool
	removing  bool
	overSince time.Time // when its grace was over; zero: it is not
	grace     *time.Timer

	standing  standing
	since     time.Time // of standing
	notBefore time.Time // of the next attach
	pause     backoff
	touched   bool // stands in the outbox

	held    map[string]*held
	removed chan struct{}
}

// wants tells whether the agent should be attached.
func (m *member) wants() bool { return !m.paused && !m.removing }

func (m *member) stand(s standing) { m.standing, m.since = s, time.Now() }

// executions are what the agent holds; also what has ended and is not answered, for
// its lease must last until then.
func (m *member) executions() []*hivev1.Execution {
	list := make([]*hivev1.Execution, 0, len(m.held))
	for _, h := range m.held {
		if !h.lost {
			list = append(list, h.execution)
		}
	}
	return list
}

// all are what runs or is not answered, older attempts too.
func (m *member) all() iter.Seq[*held] {
	return func(yield func(*held) bool) {
		for _, h := range m.held {
			for ; h != nil; h = h.older {
				if !yield(h) {
					return
				}
			}
		}
	}
}

// let takes one out.
func (m *member) let(h *held) {
	task := h.execution.GetTaskId()
	newest := m.held[task]
	switch {
	case newest == h && h.older == nil:
		delete(m.held, task)
	case newest == h:
		m.held[task] = h.older
	default:
		for ; newest != nil; newest = newest.older {
			if newest.older == h {
				newest.older = h.older
				return
			}
		}
	}
}

// touch has the writer look whether the agent must attach or detach.
func (f *Fleet) touch(m *member) {
	if !m.touched {
		m.touched = true
		f.out.touched = append(f.out.touched, m)
	}
	f.rouse()
}

// remove begins the end of an agent.
func (f *Fleet) remove(m *member) {
	if m.removing {
		return
	}
	m.removing = true
	m.grace = time.AfterFunc(m.cfg.Grace, func() { f.graceOver(m) })
	f.touch(m)
	f.forget(m)
}

func (f *Fleet) graceOver(m *member) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m.overSince = time.Now()
	for h := range m.all() {
		if h.report == nil {
			h.cancel(ErrGraceOver)
		}
	}
}

// forget ends the removal of an agent that has nothing left.
func (f *Fleet) forget(m *member) {
	if !m.removing || m.standing != apart || len(m.held) > 0 || f.agents[m.cfg.ID] != m {
		return
	}
	delete(f.agents, m.cfg.ID)
	m.grace.Stop()
	close(m.removed)
	f.rouse()
}

// later attaches an agent again after a pause.
func (f *Fleet) later(m *member) {
	m.stand(apart)
	pause := m.pause.pause(0)
	m.notBefore = time.Now().Add(pause)
	time.AfterFunc(pause, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.touch(m)
	})
	f.forget(m)
}

// attached takes the answer to an attach; what it answers is called without the lock.
func (f *Fleet) attached(a *hivev1.AgentAttached) (call func()) {
	m := f.agents[a.GetAgentId()]
	switch {
	case m == nil:
		if a.GetRefused() == "" {
			f.stray(a.GetAgentId())
		}
		return nil
	case m.standing != joining:
		if m.standing == apart && m.removing && a.GetRefused() == "" {
			f.stray(a.GetAgentId()) // it was given up, and comes too late
		}
		return nil
	case a.GetRefused() == "":
		m.stand(joined)
		f.lost(a.GetAgentId(), a.GetLost())
		f.touch(m) // it may not be wanted any more
		return nil
	}
	err := error(refusedAs(a.GetRefused(), a.GetReason()))
	if !isFinal(err) {
		m.cfg.Log.Info("attach refused for now", "cause", err)
		f.later(m)
		return nil
	}
	err = fmt.Errorf("agent %s is refused: %w", m.cfg.ID, err)
	m.cfg.Log.Error("the server will never accept this agent, it leaves the fleet", "error", err)
	m.stand(apart)
	f.remove(m)
	return func() {
		if f.cfg.Refused != nil {
			f.cfg.Refused(m.cfg.ID, err)
		}
	}
}

// gone takes the news that an agent is attached no more.
func (f *Fleet) gone(id string) {
	m := f.agents[id]
	switch {
	case m == nil || m.standing == apart:
	case m.standing == leaving:
		m.stand(apart)
		f.touch(m) // it may be wanted again
		f.forget(m)
	default:
		m.cfg.Log.Warn("another process attached with this agent's id")
		if time.Since(m.since) > f.lease {
			m.pause.reset() // else the two take it from each other in turns
		}
		f.later(m)
	}
}

// stray detaches an agent that the fleet does not have.
func (f *Fleet) stray(id string) {
	f.out.strays = append(f.out.strays, id)
	f.rouse()
}

// tend gives up what has been waited for too long.
func (f *Fleet) tend() {
	var calls []func()
	f.mu.Lock()
	for _, m := range f.agents {
		// Whether the server lets it go is not worth more waiting.
		if (m.standing == leaving || m.standing == joining && m.removing) && time.Since(m.since) > detachMax {
			m.cfg.Log.Warn("the server did not let the agent go in time", "after", detachMax)
			m.stand(apart)
			f.touch(m)
		}
		late := m.standing == joining && time.Since(m.since) > answerMax
		for h := range m.all() {
			late = late || !h.sent.IsZero() && time.Since(h.sent) > answerMax
			if h.report != nil && !m.overSince.IsZero() && min(time.Since(m.overSince), time.Since(h.ended)) > releaseMax {
				m.cfg.Log.Warn("result not reported", "task", h.execution.GetTaskId(), "error", errUnanswered)
				calls = append(calls, f.end(h, errUnanswered))
			}
		}
		if late && f.cut != nil {
			f.cut(errUnanswered)
		}
		f.forget(m)
	}
	f.mu.Unlock()
	each(calls)
}
