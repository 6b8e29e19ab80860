package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"connectrpc.com/connect"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// silenceMax is how long a stream may be silent: the server sends a frame every 5 s.
const silenceMax = 15 * time.Second

// detachMax bounds the orderly end of a stream; then it is cut.
const detachMax = 5 * time.Second

// errPaused is the orderly end that the agent itself asked for.
var errPaused = errors.New("paused")

// attachLoop keeps a stream until ctx ends, except while paused.
func (a *Agent) attachLoop(ctx, calls context.Context) error {
	var pause backoff
	for {
		if !a.untilWanted(ctx) {
			return nil
		}
		err := a.attachOnce(ctx, calls, &pause)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // asked to end: how the stream broke says nothing
		case isFinal(err):
			return fmt.Errorf("agent %s is refused: %w", a.cfg.ID, err)
		case err == nil || errors.Is(err, errPaused):
			continue
		}
		a.cfg.Log.Info("stream ended, attaching again", "cause", err)
		if pause.wait(ctx, 0) != nil {
			return nil //nolint:nilerr // asked to end while it waited
		}
	}
}

// untilWanted waits while the agent is paused; false when ctx ended.
func (a *Agent) untilWanted(ctx context.Context) bool {
	for {
		a.mu.Lock()
		paused, changed := a.paused, a.changed
		a.mu.Unlock()
		if ctx.Err() != nil {
			return false
		}
		if !paused {
			return true
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
}

// attachOnce holds one stream to its end. The stream's context is not ctx: an
// orderly end reads what the server has already claimed for us.
func (a *Agent) attachOnce(ctx, calls context.Context, pause *backoff) error {
	streamCtx, cut := context.WithCancelCause(calls)
	defer cut(nil)
	silence := time.AfterFunc(silenceMax, func() { cut(errors.New("the stream fell silent")) })
	defer silence.Stop()
	// A stop does not wait for a server that has not even begun the stream.
	defer context.AfterFunc(ctx, func() { silence.Reset(detachMax) })()

	stream, err := a.rpc.rpc.Attach(streamCtx, connect.NewRequest(&hivev1.AttachRequest{
		AgentId: a.cfg.ID, Capabilities: a.cfg.Capabilities, Capacity: uint32(a.cfg.Capacity),
		Labels: a.cfg.Labels, Held: a.executions(),
	}))
	if err != nil {
		return err
	}
	defer stream.Close()
	defer a.setSession("")
	var ending sync.WaitGroup
	defer ending.Wait()
	done := make(chan struct{})
	defer close(done)

	for stream.Receive() {
		silence.Reset(silenceMax)
		switch ev := stream.Msg().GetEvent().(type) {
		case *hivev1.AttachResponse_Attached:
			pause.reset()
			a.attached(ev.Attached)
			ending.Go(func() { a.endInOrder(ctx, calls, orderly{ev.Attached.GetSession(), done, cut}) })
		case *hivev1.AttachResponse_Assignment:
			a.start(calls, ev.Assignment)
		case *hivev1.AttachResponse_Goodbye:
			return goodbye(ev.Goodbye.GetReason())
		}
	}
	if cause := context.Cause(streamCtx); cause != nil {
		return cause
	}
	if err := stream.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

func goodbye(reason hivev1.Goodbye_Reason) error {
	switch reason {
	case hivev1.Goodbye_REASON_DETACHED:
		return errPaused
	case hivev1.Goodbye_REASON_REPLACED:
		return errors.New("another process attached with this agent's id")
	default:
		return errors.New("the replica drains")
	}
}

func (a *Agent) attached(m *hivev1.Attached) {
	a.drop(m.GetLost())
	a.mu.Lock()
	if lease := m.GetLease().AsDuration(); lease > 0 {
		a.lease = lease
	}
	a.mu.Unlock()
	a.setSession(m.GetSession())
	a.cfg.Log.Info("attached", "session", m.GetSession(), "lost", len(m.GetLost()))
}

func (a *Agent) setSession(s string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.session = s
}

// orderly is what endInOrder needs of a stream.
type orderly struct {
	session string
	done    <-chan struct{}
	cut     context.CancelCauseFunc
}

// endInOrder detaches when the agent pauses or ctx ends, and cuts the stream
// when the server does not end it in time.
func (a *Agent) endInOrder(ctx, calls context.Context, s orderly) {
	for wanted := true; wanted; {
		a.mu.Lock()
		paused, changed := a.paused, a.changed
		a.mu.Unlock()
		if paused {
			break
		}
		select {
		case <-s.done:
			return
		case <-ctx.Done():
			wanted = false
		case <-changed:
		}
	}
	limit, cancel := context.WithTimeout(calls, detachMax)
	defer cancel()
	_, err := call(limit, a.rpc.rpc.Detach, &hivev1.DetachRequest{AgentId: a.cfg.ID, Session: s.session})
	if err != nil {
		a.cfg.Log.Warn("could not detach in order", "error", err)
	}
	select {
	case <-s.done:
	case <-limit.Done():
		s.cut(errPaused)
	}
}
