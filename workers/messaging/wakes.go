package messaging

import "sync"

// wakes gathers the writers that a round gives something to write, so that each
// writes once: what is delivered to an agent and the answers to what it sent lie
// in the same round, and every write is a system call here and one at the agent.
type wakes struct {
	mu      sync.Mutex
	holds   int
	waiting []*outbox
}

// later notes an outbox for the round's end; false when there is no round to settle.
func (w *wakes) later(o *outbox) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holds > 0 {
		w.waiting = append(w.waiting, o)
	}
	return w.holds > 0
}

// hold begins the settling of a round.
func (w *wakes) hold() {
	w.mu.Lock()
	w.holds++
	w.mu.Unlock()
}

// release ends it. Rounds to several nodes may overlap: what waits is woken at the first end.
func (w *wakes) release() {
	w.mu.Lock()
	w.holds--
	list := w.waiting
	w.waiting = nil
	w.mu.Unlock()
	for _, o := range list {
		o.ring()
	}
}
