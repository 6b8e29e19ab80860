package client

import (
	"slices"
	"time"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// outbox is what waits for a fleet's writer.
type outbox struct {
	touched []*member // may have to attach or detach
	beats   []*member // have a heartbeat due
	results []*held
	later   []*held            // refused for now: they wait for a pause
	onWay   map[uint64][]*held // results by the frame that took them
	last    uint64             // frame with results
	pause   backoff
	strays  []string // ids to detach

	// given is what was given back and is not known to have arrived, since a release
	// has no answer: a stream that breaks leaves it to the next. The first sent of it
	// went by this one.
	given []given
	sent  int
}

// given is an execution given back.
type given struct {
	agent     string
	execution *hivev1.Execution
	until     time.Time // after it the lease may run out
}

func (f *Fleet) giveBack(agent string, e *hivev1.Execution) {
	f.out.given = append(f.out.given, given{agent, e, time.Now().Add(releaseMax)})
	f.rouse()
}

// reportLater reports again after a pause; all that comes meanwhile waits with it.
func (f *Fleet) reportLater(h *held) {
	if f.out.later = append(f.out.later, h); len(f.out.later) > 1 {
		return
	}
	time.AfterFunc(f.out.pause.pause(0), func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.out.results, f.out.later = append(f.out.results, f.out.later...), nil
		f.rouse()
	})
}

// beat has all agents' leases renewed, which is due three times a term.
func (f *Fleet) beat() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.out.beats = f.out.beats[:0]
	for _, m := range f.agents {
		if m.standing == joined || len(m.held) > 0 {
			f.out.beats = append(f.out.beats, m)
		}
	}
}

func (f *Fleet) beatEvery() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lease / 3
}

// Sizes of a frame's parts, about, in bytes.
const (
	partBytes      = 200
	executionBytes = 48
)

// fill puts a frame's worth of what waits in req, and tells whether there was anything.
func (f *Fleet) fill(req *hivev1.WorkRequest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	req.Attach, req.Heartbeats, req.Results = req.Attach[:0], req.Heartbeats[:0], req.Results[:0]
	req.Releases, req.Detach = req.Releases[:0], append(req.Detach[:0], f.out.strays...)
	f.out.strays = f.out.strays[:0]
	left := frameBytes
	f.out.touched = f.fillMembers(req, &left)
	f.out.beats = f.fillBeats(req, &left)
	f.out.results = f.fillResults(req, &left)
	f.fillGiven(req, &left)
	return len(req.Attach)+len(req.Heartbeats)+len(req.Results)+len(req.Releases)+len(req.Detach) > 0
}

// fillMembers attaches who is wanted and detaches who is not, and answers who is left.
func (f *Fleet) fillMembers(req *hivev1.WorkRequest, left *int) []*member {
	for i, m := range f.out.touched {
		if *left <= 0 {
			return f.out.touched[i:]
		}
		m.touched = false
		switch {
		case f.agents[m.cfg.ID] != m:
		case m.standing == joined && !m.wants():
			m.stand(leaving)
			req.Detach = append(req.Detach, m.cfg.ID)
			*left -= partBytes
		case m.standing == apart && m.wants() && !time.Now().Before(m.notBefore):
			m.stand(joining)
			a := &hivev1.AttachRequest{
				AgentId: m.cfg.ID, Capabilities: m.cfg.Capabilities, Capacity: uint32(m.cfg.Capacity), Labels: m.cfg.Labels, Held: m.executions(),
			}
			req.Attach = append(req.Attach, a)
			*left -= partBytes + executionBytes*len(a.Held)
		}
	}
	return f.out.touched[:0]
}

func (f *Fleet) fillBeats(req *hivev1.WorkRequest, left *int) []*member {
	for i, m := range f.out.beats {
		if *left <= 0 {
			return f.out.beats[i:]
		}
		if f.agents[m.cfg.ID] == m {
			b := &hivev1.HeartbeatRequest{AgentId: m.cfg.ID, Held: m.executions()}
			req.Heartbeats = append(req.Heartbeats, b)
			*left -= partBytes + executionBytes*len(b.Held)
		}
	}
	return f.out.beats[:0]
}

func (f *Fleet) fillResults(req *hivev1.WorkRequest, left *int) []*held {
	var sent []*held
	rest, now := f.out.results[:0], time.Now()
	for i, h := range f.out.results {
		if *left <= 0 {
			rest = f.out.results[i:]
			break
		}
		if !h.over && h.sent.IsZero() {
			if sent == nil {
				f.out.last++
				sent = make([]*held, 0, len(f.out.results)-i)
			}
			h.sent, h.frame = now, f.out.last
			sent = append(sent, h)
			req.Results = append(req.Results, h.report)
			*left -= partBytes + len(h.report.GetResult()) + len(h.report.GetError())
		}
	}
	if req.Sequence = 0; sent != nil {
		req.Sequence = f.out.last
		f.out.onWay[f.out.last] = sent
	}
	if len(rest) == 0 {
		clear(f.out.results)
	}
	return rest
}

func (f *Fleet) fillGiven(req *hivev1.WorkRequest, left *int) {
	for ; f.out.sent < len(f.out.given) && *left > 0; f.out.sent++ {
		g := f.out.given[f.out.sent]
		last := len(req.Releases) - 1
		if last < 0 || req.Releases[last].GetAgentId() != g.agent {
			req.Releases = append(req.Releases, &hivev1.ReleaseRequest{AgentId: g.agent})
			last++
		}
		req.Releases[last].Executions = append(req.Releases[last].Executions, g.execution)
		*left -= executionBytes
	}
	f.out.expire()
}

// expire forgets what was given back so long ago that its lease does the rest.
func (o *outbox) expire() {
	n := slices.IndexFunc(o.given, func(g given) bool { return time.Now().Before(g.until) })
	if n < 0 {
		n = len(o.given)
	}
	n = min(n, o.sent) // what has not been sent is sent at least once
	o.given, o.sent = slices.Delete(o.given, 0, n), o.sent-n
}

// renew makes ready for another stream: everybody attaches again, and what was not
// answered is said again. When the server has read all, what was given back has arrived.
func (f *Fleet) renew(all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o := &f.out
	if all {
		o.given = slices.Delete(o.given, 0, o.sent)
	} else {
		o.expire()
	}
	o.sent = 0
	o.strays, o.beats, o.results, o.later = nil, nil, nil, nil
	o.onWay = map[uint64][]*held{}
	for _, m := range f.agents {
		m.stand(apart)
		f.touch(m)
		for h := range m.all() {
			if h.sent = (time.Time{}); h.report != nil {
				o.results = append(o.results, h)
			}
		}
		if len(m.held) > 0 && !m.wants() {
			o.beats = append(o.beats, m) // no attach renews its leases
		}
		f.forget(m)
	}
}
