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

// streams keeps one stream after the other, as long as there are drafts for it.
func (s *Submitter) streams(ctx context.Context) {
	var pause backoff
	for s.wanted(ctx) {
		stored, err := s.stream(ctx)
		if stored {
			pause.reset()
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		asked, _ := retryable(err)
		if streamRefused(err) {
			s.abandon(&RefusedError{Code: connect.CodeOf(err), Reason: "the stream is refused: " + err.Error()})
			continue
		}
		s.cfg.Log.Info("submit stream ended, what is unanswered goes by another", "cause", err)
		if !s.wanted(ctx) || pause.wait(ctx, asked) != nil {
			return
		}
	}
}

// wanted waits for drafts while there is no stream; false when there will be none.
func (s *Submitter) wanted(ctx context.Context) bool {
	for {
		s.mu.Lock()
		waits := len(s.waiting) > s.head
		s.mu.Unlock()
		if waits || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		select {
		case <-s.wake:
		case <-s.drained:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// submitStream is one stream.
type submitStream struct {
	s      *Submitter
	conn   *connect.BidiStreamForClient[hivev1.SubmitStreamRequest, hivev1.SubmitStreamResponse]
	retire chan struct{} // closed: nothing more is sent
	over   chan struct{} // closed: nothing more is read

	mu      sync.Mutex
	onWay   map[uint64]*submitFrame
	free    []*submitFrame
	refused []pending // for now; they go by the next stream
	stored  bool      // something
	ended   bool      // the writer has
}

// submitFrame is a batch that is on its way.
type submitFrame struct {
	drafts []pending
	sent   time.Time
}

// stream holds one stream to its end and tells whether it has stored anything. What it
// leaves unanswered waits again.
func (s *Submitter) stream(ctx context.Context) (stored bool, err error) {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	st := &submitStream{
		s: s, conn: s.rpc.streams.SubmitStream(ctx), retire: make(chan struct{}), over: make(chan struct{}), onWay: map[uint64]*submitFrame{},
	}
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
	s.again(st.refused)
	select {
	case <-s.drained:
		return st.stored, nil
	default:
		return st.stored, err
	}
}

// write sends frames until the stream is over, or must be, or is not needed any more.
func (st *submitStream) write() {
	s := st.s
	linger := time.NewTimer(time.Hour)
	defer linger.Stop()
	lingers, lingered := false, false
	req := &hivev1.SubmitStreamRequest{}
	for {
		select {
		case <-st.retire:
			return
		case <-st.over:
			return
		default:
		}
		f := st.frame()
		var left bool
		if f.drafts, left = s.take(f.drafts[:0], lingered || s.cfg.Linger < 0); len(f.drafts) > 0 {
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
		case <-s.wake:
		case <-s.drained:
			return
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
		busy := st.answered(m)
		if m.GetGoodbye() != nil {
			return errDrains
		}
		if busy {
			return st.last()
		}
	}
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
func (st *submitStream) standing() (late, done bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, f := range st.onWay {
		late = late || time.Since(f.sent) > answerMax
	}
	return late, st.ended && len(st.onWay) == 0
}
