package hub

import "time"

// gatherMax is how long a message may wait for others to share its frame. A frame
// costs both sides more than a hundred small messages in it do.
const gatherMax = 5 * time.Millisecond

// gather holds small messages back for a moment after a frame has gone, so that
// a busy sender fills its frames. The first message after a pause goes at once, and
// so does that of a sender who waits for each answer. All under the client's lock.
type gather struct {
	holding bool
	// single: the last frame carried one message, and its answer frees the next.
	single bool
	over   *time.Timer
}

// hold begins after a frame that carried messages; the caller holds the lock.
func (c *Client) hold(carried uint64) {
	if carried == 0 {
		return
	}
	c.single = carried == 1 && !c.holding
	c.holding = true
	c.over.Reset(gatherMax)
}

// answered lets the next message go when the only one before it is stored; the caller holds the lock.
func (c *Client) answered(n int) {
	if n > 0 && c.single {
		c.single, c.holding = false, false
		c.wakeLanes()
	}
}

// gathered ends the hold.
func (c *Client) gathered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holding = false
	c.wakeLanes()
}

func (c *Client) wakeLanes() {
	if len(c.dirty) > 0 {
		c.wake()
	}
}
