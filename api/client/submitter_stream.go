package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// Ends of a stream that are not failures.
var (
	errDrains = errors.New("the replica drains")
	errBusy   = errors.New("something was refused for now")
)

// submitStream is one stream.
type submitStream struct {
	s      *Submitter
	lane   *lane
	opened time.Time
	conn   *connect.BidiStreamForClient[hivev1.SubmitStreamRequest, hivev1.SubmitStreamResponse]
	retire chan struct{} // closed: nothing more is sent
	over   chan struct{} // closed: nothing more is read

	mu      sync.Mutex
	onWay   map[uint64]*submitFrame
	free    []*submitFrame
	refused []pending // for now; they go by the next stream
	stored  bool      // something
	told    bool      // where partitions are served
	ended   bool      // the writer has
}

// submitFrame is a batch that is on its way.
type submitFrame struct {
	drafts []pending
	sent   time.Time
}

// streamEnd is how a stream has ended.
type streamEnd struct {
	unanswered   []pending
	stored, told bool
	err          error // nil: it was not needed any more
}

// stream holds one stream to its end.
func (l *lane) stream(ctx context.Context) streamEnd {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	st := &submitStream{
		s: l.s, lane: l, opened: time.Now(), conn: l.rpc.SubmitStream(ctx),
		retire: make(chan struct{}), over: make(chan struct{}), onWay: map[uint64]*submitFrame{},
	}
	var err error
	var watch sync.WaitGroup
	watch.Go(func() { st.watch(cut) })
	watch.Go(func() {
		defer close(st.over)
		err = st.read()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cut(err) // the writer may stand in Send
	})
	st.write()
	_ = st.conn.CloseRequest()
	st.mu.Lock()
	st.ended = true
	st.mu.Unlock()
	watch.Wait()
	_ = st.conn.CloseResponse()
	for _, sequence := range slices.Sorted(maps.Keys(st.onWay)) {
		st.refused = append(st.refused, st.onWay[sequence].drafts...)
	}
	select {
	case <-l.s.drained:
		err = nil
	default:
	}
	return streamEnd{unanswered: st.refused, stored: st.stored, told: st.told, err: err}
}

// write sends frames until the stream is over, or must be, or is not needed any more.
func (st *submitStream) write() {
	s := st.s
	linger := time.NewTimer(time.Hour)
	defer linger.Stop()
	lingers, lingered := false, false
	if s.cfg.Inside && st.conn.Send(&hivev1.SubmitStreamRequest{Inside: true}) != nil {
		return // read says why
	}
	req := &hivev1.SubmitStreamRequest{}
	for {
		select {
		case <-st.retire:
			return
		case <-st.lane.left:
			return
		case <-st.over:
			return
		default:
		}
		f := st.frame()
		var left bool
		if f.drafts, left = st.lane.take(f.drafts[:0], lingered || s.cfg.Linger < 0); len(f.drafts) > 0 {
			lingers, lingered = false, false
			if st.send(req, f) != nil {
				return // read says why
			}
			continue
		}
		st.keep(f)
		if left && !lingers {
			lingers = true
			linger.Reset(s.cfg.Linger)
		}
		select {
		case <-linger.C:
			lingered = lingers
		case <-st.lane.wake:
		case <-s.drained:
			return
		case <-st.lane.left:
		case <-st.retire:
		case <-st.over:
		}
	}
}

// send sends one frame, built in req.
func (st *submitStream) send(req *hivev1.SubmitStreamRequest, f *submitFrame) error {
	req.Sequence++
	req.Drafts = req.Drafts[:0]
	for _, p := range f.drafts {
		req.Drafts = append(req.Drafts, p.draft)
	}
	f.sent = time.Now()
	st.mu.Lock()
	st.onWay[req.Sequence] = f
	st.mu.Unlock()
	return st.conn.Send(req)
}

// frame answers an empty frame, a used one when there is one.
func (st *submitStream) frame() *submitFrame {
	st.mu.Lock()
	defer st.mu.Unlock()
	if n := len(st.free); n > 0 {
		f := st.free[n-1]
		st.free = st.free[:n-1]
		return f
	}
	return &submitFrame{}
}

func (st *submitStream) keep(f *submitFrame) {
	clear(f.drafts)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.free = append(st.free, f)
}

// read settles what is answered until the stream ends.
func (st *submitStream) read() error {
	for {
		m, err := st.conn.Receive()
		if err != nil {
			return err
		}
		if m.GetPlaces() != nil {
			st.placed(m.GetPlaces())
		}
		busy := st.answered(m)
		if m.GetGoodbye() != nil {
			return errDrains
		}
		if busy {
			if st.lane != st.s.base {
				st.lane.fall(nil) // nothing waits behind a stream that takes no more
			}
			return st.last()
		}
	}
}

// placed hands on where partitions are served.
func (st *submitStream) placed(m *hivev1.Places) {
	st.mu.Lock()
	st.told = true
	st.mu.Unlock()
	st.s.placed(st.lane, m)
}

// last reads on after something was refused for now: nothing more is sent, what is on
// its way is answered, and the rest goes by another stream.
func (st *submitStream) last() error {
	close(st.retire)
	for {
		m, err := st.conn.Receive()
		if err != nil {
			return errBusy
		}
		st.answered(m)
	}
}

// answered settles one frame, and tells whether some of it must be sent again.
func (st *submitStream) answered(m *hivev1.SubmitStreamResponse) (busy bool) {
	st.mu.Lock()
	f := st.onWay[m.GetSequence()]
	delete(st.onWay, m.GetSequence())
	st.mu.Unlock()
	if f == nil {
		return false
	}
	outcomes := m.GetOutcomes()
	settled := f.drafts[:0]
	kept := outcomes[:0]
	var refused []pending
	for i, p := range f.drafts {
		if i >= len(outcomes) || mayPass(outcomes[i].GetRefused()) {
			refused = append(refused, p)
			continue
		}
		settled, kept = append(settled, p), append(kept, outcomes[i])
	}
	st.s.settle(settled, func(i int) answer { return judged(kept[i]) })
	st.mu.Lock()
	st.refused = append(st.refused, refused...)
	st.stored = st.stored || len(settled) > 0
	st.mu.Unlock()
	st.keep(f)
	return len(refused) > 0
}

// judged is an outcome as its caller is told.
func judged(o *hivev1.SubmitOutcome) answer {
	if o.GetRefused() != "" {
		return answer{err: refusedAs(o.GetRefused(), o.GetReason())}
	}
	return answer{receipt: Receipt{TaskID: o.GetTaskId(), Duplicate: o.GetDuplicate()}}
}

// watch cuts a stream that owes an answer for too long, or that has nothing more to say
// and does not end.
func (st *submitStream) watch(cut context.CancelCauseFunc) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	idle := false
	for {
		select {
		case <-st.over:
			return
		case <-tick.C:
		}
		late, done := st.standing()
		switch {
		case late:
			cut(fmt.Errorf("a frame was not answered within %s", answerMax))
		case done && idle:
			cut(errors.New("the server does not end the stream"))
		}
		idle = done
	}
}

// standing tells whether an answer is late, and whether all are here and no more is sent.
// What a stream to an owner is owed first is where partitions are served.
func (st *submitStream) standing() (late, done bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	late = st.lane != st.s.base && !st.told && time.Since(st.opened) > answerMax
	for _, f := range st.onWay {
		late = late || time.Since(f.sent) > answerMax
	}
	return late, st.ended && len(st.onWay) == 0
}
