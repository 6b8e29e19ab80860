package client

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"connectrpc.com/connect"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// workStream is a fleet's stream.
type workStream = connect.BidiStreamForClient[hivev1.WorkRequest, hivev1.WorkResponse]

// streams keeps one stream after the other, until the fleet has stopped.
func (f *Fleet) streams(ctx context.Context) {
	tending, done := context.WithCancel(ctx)
	var loops sync.WaitGroup
	loops.Go(func() { f.tendOn(tending) })
	defer loops.Wait()
	defer done()
	var pause backoff
	for f.needed() {
		heard, err := f.stream(ctx)
		if heard {
			pause.reset()
		}
		if err == nil {
			continue
		}
		if streamRefused(err) {
			f.refuse(err)
			return
		}
		f.cfg.Log.Info("work stream ended, attaching again", "cause", err)
		asked, _ := retryable(err)
		if pause.wait(ctx, asked) != nil {
			return
		}
	}
}

// needed waits for the first agent; false when the fleet has stopped and nothing is left.
func (f *Fleet) needed() bool {
	for {
		f.mu.Lock()
		some, stopping := len(f.agents) > 0 || len(f.out.given) > 0, f.stopping
		f.mu.Unlock()
		if some || stopping {
			return some
		}
		<-f.wake
	}
}

func (f *Fleet) tendOn(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.tend()
		}
	}
}

// stream holds one stream to its end and tells whether the server said anything.
func (f *Fleet) stream(ctx context.Context) (heard bool, err error) {
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	f.setCut(cut)
	defer f.setCut(nil)
	// A proxy answers pings for a replica that stands still; only the replica's own frames say that it lives.
	silence := time.AfterFunc(f.silence, func() { cut(errors.New("the stream fell silent")) })
	defer silence.Stop()
	stream := f.rpc.streams.Work(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		heard, err = f.read(stream, silence)
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cut(err) // the writer may stand in Send
	}()
	finished := f.write(stream, over)
	_ = stream.CloseRequest()
	farewell := time.AfterFunc(detachMax, func() { cut(errors.New("the server does not end the stream")) })
	<-over
	farewell.Stop()
	_ = stream.CloseResponse()
	all := finished && errors.Is(err, io.EOF)
	f.renew(all)
	if all {
		return heard, nil
	}
	return heard, err
}

func (f *Fleet) setCut(cut context.CancelCauseFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = cut
}

// write sends frames until the stream is over, or the fleet has finished.
func (f *Fleet) write(stream *workStream, over <-chan struct{}) (finished bool) {
	last := time.Now() // heartbeat
	beat, linger := time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	defer beat.Stop()
	defer linger.Stop()
	req := &hivev1.WorkRequest{}
	for {
		due := time.Until(last.Add(f.beatEvery()))
		if due <= 0 {
			last = time.Now()
			f.beat()
		}
		if f.fill(req) {
			if stream.Send(req) != nil {
				return false // read says why
			}
			continue
		}
		if f.finished() {
			return true
		}
		beat.Reset(max(due, time.Millisecond))
		select {
		case <-over:
			return false
		case <-beat.C:
			continue
		case <-f.wake:
		}
		if f.cfg.Linger > 0 {
			linger.Reset(f.cfg.Linger)
			select {
			case <-over:
				return false
			case <-linger.C:
			}
		}
	}
}

// finished tells whether the fleet has stopped and has nothing left.
func (f *Fleet) finished() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stopping && len(f.agents) == 0 && f.out.sent == len(f.out.given)
}

// read takes what comes until the stream ends.
func (f *Fleet) read(stream *workStream, silence *time.Timer) (heard bool, err error) {
	for {
		m, err := stream.Receive()
		if err != nil {
			return heard, err
		}
		heard = true
		silence.Reset(f.silence)
		f.received(m)
		if m.GetGoodbye() != nil {
			return true, errDrains
		}
	}
}

// received takes one frame.
func (f *Fleet) received(m *hivev1.WorkResponse) {
	var calls []func()
	f.mu.Lock()
	if lease := m.GetLease().AsDuration(); lease > 0 && lease != f.lease {
		f.lease = lease
		f.rouse() // the next heartbeat may be due earlier
	}
	for _, a := range m.GetAttached() {
		calls = append(calls, f.attached(a))
	}
	for _, a := range m.GetAssignments() {
		for _, as := range a.GetAssignments() {
			calls = append(calls, f.start(a.GetAgentId(), as))
		}
	}
	for _, r := range m.GetReported() {
		calls = append(calls, f.reported(r))
	}
	for _, frame := range m.GetSettled() {
		calls = append(calls, f.settled(frame)...)
	}
	for _, l := range m.GetLost() {
		f.lost(l.GetAgentId(), l.GetLost())
	}
	for _, id := range m.GetGone() {
		f.gone(id)
	}
	f.mu.Unlock()
	each(calls)
}
