package main

import (
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// condition is how a cable stands.
type condition int

const (
	intact  condition = iota
	silent            // nothing passes, nobody is told; what was under way goes on when it is whole again
	severed           // connections are ended and refused
)

// cable carries TCP connections from one address to another, and may be cut.
type cable struct {
	listener net.Listener
	to       string
	// from and into: in what comes back, the first is replaced by the second. Both have
	// the same length.
	from, into []byte

	mu    sync.Mutex
	state condition
	// follows is the condition of what a Redis master tells its replicas, beside state.
	follows condition
	changed chan struct{} // closed and renewed when a condition changes
	open    map[net.Conn]struct{}
	done    sync.WaitGroup
}

func newCable(listen, to, from, into string) (*cable, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	c := &cable{listener: l, to: to, from: []byte(from), into: []byte(into), changed: make(chan struct{}), open: map[net.Conn]struct{}{}}
	c.done.Go(c.serve)
	return c, nil
}

func (c *cable) addr() string { return c.listener.Addr().String() }

func (c *cable) close() {
	_ = c.listener.Close()
	c.set(severed)
	c.done.Wait()
}

// set changes the cable's condition.
func (c *cable) set(s condition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
	close(c.changed)
	c.changed = make(chan struct{})
	if s == severed {
		for conn := range c.open {
			_ = conn.Close()
		}
	}
}

// setFollows changes the condition of what a master tells its replicas.
func (c *cable) setFollows(s condition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.follows = s
	close(c.changed)
	c.changed = make(chan struct{})
}

// pass waits while the cable is silent, to a replica or at all; false when it is severed.
func (c *cable) pass(replica *atomic.Bool) bool {
	for {
		c.mu.Lock()
		state, changed := c.state, c.changed
		if replica.Load() {
			state = max(state, c.follows)
		}
		c.mu.Unlock()
		if state != silent {
			return state == intact
		}
		<-changed
	}
}

func (c *cable) keep(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = struct{}{}
	if c.state == severed {
		_ = conn.Close()
	}
}

func (c *cable) forget(conn net.Conn) {
	_ = conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

const cableDial = 2 * time.Second

func (c *cable) serve() {
	for {
		in, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.done.Go(func() {
			c.keep(in)
			defer c.forget(in)
			var replica atomic.Bool // who asks is a Redis replica
			if !c.pass(&replica) {
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), cableDial)
			out, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.to)
			cancel()
			if err != nil {
				return
			}
			c.keep(out)
			defer c.forget(out)
			var there sync.WaitGroup
			there.Go(func() { c.pump(out, in, nil, &replica) })
			c.pump(in, out, c.from, &replica)
			there.Wait()
		})
	}
}

// replicaSays is what only a replica says to its master, and at first.
var replicaSays = []byte("REPLCONF")

// pump carries one direction to its end. What might be the beginning of from waits for
// what follows.
func (c *cable) pump(dst, src net.Conn, from []byte, replica *atomic.Bool) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 64<<10)
	kept := 0
	for {
		n, err := src.Read(buf[kept:])
		if err != nil {
			return
		}
		if bytes.Contains(buf[kept:kept+n], replicaSays) {
			replica.Store(true)
		}
		if !c.pass(replica) {
			return
		}
		n += kept
		kept = 0
		if len(from) > 0 {
			replace(buf[:n], from, c.into)
			kept = beginning(buf[:n], from)
		}
		if _, err := dst.Write(buf[:n-kept]); err != nil {
			return
		}
		copy(buf, buf[n-kept:n])
	}
}

// replace puts into in the place of each from; both have the same length.
func replace(b, from, into []byte) {
	for at := bytes.Index(b, from); at >= 0; {
		copy(b[at:], into)
		next := bytes.Index(b[at+len(from):], from)
		if next < 0 {
			return
		}
		at += len(from) + next
	}
}

// beginning answers how many bytes at the end of b begin what, and not all of it.
func beginning(b, what []byte) int {
	for n := min(len(b), len(what)-1); n > 0; n-- {
		if bytes.HasSuffix(b, what[:n]) {
			return n
		}
	}
	return 0
}
