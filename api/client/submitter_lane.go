package client

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

// lane is what goes to one address: to the client's own (base), or from inside to that of a
// replica that owns partitions.
type lane struct {
	s    *Submitter
	url  string // empty: the client's own
	rpc  hivev1connect.AssignmentServiceClient
	wake chan struct{} // the writer has something to look at
	left chan struct{} // closed: the replica owns nothing any more

	// Of these s.mu is the guard.
	waiting []pending // to be sent, in order, from head
	head    int
	up      bool // drafts may go by it: its stream has been answered
}

func newLane(s *Submitter, url string, rpc hivev1connect.AssignmentServiceClient) *lane {
	return &lane{s: s, url: url, rpc: rpc, wake: make(chan struct{}, 1), left: make(chan struct{})}
}

// streams keeps one stream of base after the other, as long as there are drafts for it.
func (l *lane) streams(ctx context.Context) {
	var pause backoff
	for l.wanted(ctx) {
		end := l.stream(ctx)
		l.again(end.unanswered)
		if end.stored {
			pause.reset()
		}
		if end.err == nil || ctx.Err() != nil {
			continue
		}
		asked, _ := retryable(end.err)
		if streamRefused(end.err) {
			l.abandon(&RefusedError{Code: connect.CodeOf(end.err), Reason: "the stream is refused: " + end.err.Error()})
			continue
		}
		l.s.cfg.Log.Info("submit stream ended, what is unanswered goes by another", "cause", end.err)
		if !l.wanted(ctx) || pause.wait(ctx, asked) != nil {
			return
		}
	}
}

// wanted waits for drafts while there is no stream; false when there will be none.
func (l *lane) wanted(ctx context.Context) bool {
	for {
		l.s.mu.Lock()
		waits := len(l.waiting) > l.head
		l.s.mu.Unlock()
		if waits || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		select {
		case <-l.wake:
		case <-l.s.drained:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// serve keeps a stream to an owner until it owns nothing any more. No draft goes by it
// before the replica has answered, and whatever ends it, drafts go by base until the next
// one is: an address that cannot be reached, or is another's, costs them nothing.
func (l *lane) serve(ctx context.Context) {
	var pause backoff
	for first := true; ; first = false {
		end := l.stream(ctx)
		l.fall(end.unanswered)
		if end.stored {
			pause.reset()
		}
		asked, _ := retryable(end.err)
		if l.over(ctx, pause.pause(asked)) {
			return
		}
		if end.told || first { // and not each time that nobody answers there
			l.s.cfg.Log.Info("no submit stream to an owner, its drafts go by the client's own address", "url", l.url, "cause", end.err)
		}
	}
}

// over waits, and tells whether the lane has ended meanwhile.
func (l *lane) over(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-l.left:
		return true
	case <-l.s.drained:
		return true
	case <-ctx.Done():
		return true
	case <-timer.C:
		return false
	}
}

func (l *lane) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// again puts drafts back before those that wait.
func (l *lane) again(list []pending) {
	if len(list) == 0 {
		return
	}
	l.s.mu.Lock()
	l.putBack(list)
	l.s.mu.Unlock()
	l.rouse()
}

// putBack is again; s.mu is held.
func (l *lane) putBack(list []pending) {
	l.waiting = append(append(make([]pending, 0, len(list)+len(l.waiting)), list...), l.waiting[l.head:]...)
	l.head = 0
}

// fall takes the lane out of use until its next stream: what the owner has not answered, and
// what waits for it, goes by base.
func (l *lane) fall(unanswered []pending) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.down(unanswered)
}

// down is fall; s.mu is held.
func (l *lane) down(unanswered []pending) {
	l.up = false
	if list := append(unanswered, l.waiting[l.head:]...); len(list) > 0 {
		l.s.base.putBack(list)
		l.s.base.rouse()
	}
	l.waiting, l.head = nil, 0
}

// abandon answers what waits with an error.
func (l *lane) abandon(err error) int {
	l.s.mu.Lock()
	left := l.waiting[l.head:]
	l.waiting, l.head = nil, 0
	l.s.mu.Unlock()
	l.s.settle(left, func(int) answer { return answer{err: err} })
	return len(left)
}

// take moves up to a frame's worth of what waits to the end of into; all tells to
// take less than a full frame too. left says that something waits.
func (l *lane) take(into []pending, all bool) (taken []pending, left bool) {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	list := l.waiting[l.head:]
	n, bytes := 0, 0
	for n < len(list) && n < s.cfg.BatchMost && bytes < frameBytes {
		bytes += len(list[n].draft.GetPayload())
		n++
	}
	if full := n == s.cfg.BatchMost || bytes >= frameBytes; !full && !all && !s.closed {
		return into, n > 0
	}
	into = append(into, list[:n]...)
	clear(list[:n])
	if l.head += n; l.head >= len(l.waiting)/2 {
		// What was taken lies before the rest: move that down, so that the slice does not grow for ever.
		kept := copy(l.waiting, l.waiting[l.head:])
		clear(l.waiting[kept:])
		l.waiting, l.head = l.waiting[:kept], 0
	}
	return into, len(l.waiting) > l.head
}
