package hub

import "time"

// gatherMax is how long a message may wait for others to share its frame. A frame
// costs both sides more than a hundred small messages in it do.
const gatherMax = 10 * time.Millisecond

// gather holds messages back while a frame is under way, so that a busy sender fills
// its frames, the more the busier the hub is. The first message after a pause goes at
// once, and so does that of a sender who waits for each answer. All under the client's lock.
type gather struct {
	holding bool
	// The frame is answered when its last lane has confirmed up to here.
	last *lane
	upTo uint64
	over *time.Timer
	// Acknowledgements have gathered for long enough.
	due bool
}

// hold begins after a frame that carried messages, these the last of them; the caller holds the lock.
func (c *Client) hold(last *lane) {
	if last == nil {
		return
	}
	c.holding, c.last, c.upTo = true, last, last.sent
	c.over.Reset(gatherMax)
}

// answered ends the hold when the frame's last message is stored; the caller holds the lock.
func (c *Client) answered() {
	if c.holding && c.last.confirmed >= c.upTo {
		c.release()
	}
}

// gathered ends the hold.
func (c *Client) gathered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release()
}

// release lets go what was held; the caller holds the lock.
func (c *Client) release() {
	c.holding = false
	if len(c.dirty) > 0 || c.due {
		c.wake()
	}
}

// ripe sends acknowledgements, or lets them go with the next frame.
func (c *Client) ripe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = true
	if !c.holding {
		c.wake()
	}
}
