package load

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// mail is the ledger of the WebSocket messages, by dedup id.
type mail struct {
	mu       sync.Mutex
	messages map[string]*message
	// unasked are messages that arrived though nobody here sent them.
	unasked int64
	// closed: the sockets are being closed; what is acknowledged now cannot arrive any more.
	closed bool
}

type message struct {
	stored   bool // the hub said so
	refused  bool // the hub said that it did not store it
	received int64
}

func (m *mail) sending(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages[id] = &message{}
}

func (m *mail) acknowledged(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.messages[id]; known != nil && !m.closed {
		known.stored = true
	}
}

func (m *mail) refused(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.messages[id]; known != nil {
		known.refused = true
	}
}

func (m *mail) received(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.messages[id]
	if known == nil {
		m.unasked++
		return
	}
	known.received++
}

// answerMax is how long the hub may take to answer the last sends: one that was cut off
// has no answer.
const answerMax = 2 * time.Second

// await waits until every send has been answered and every stored message has arrived; when
// ctx ends first, the verdict counts them as lost. Then the books are closed.
func (m *mail) await(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for began := time.Now(); !m.settled(time.Since(began) > answerMax); {
		select {
		case <-ctx.Done():
			m.settled(true)
			return
		case <-ticker.C:
		}
	}
}

// settled closes the books if nothing is missing; unanswered sends are not waited for when late.
func (m *mail) settled(late bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, known := range m.messages {
		if known.stored && known.received == 0 || !late && !known.stored && !known.refused {
			return false
		}
	}
	m.closed = true
	return true
}

// counted are the ledger's totals.
type counted struct{ sent, stored, refused, lost, duplicated int64 }

// count tells the messages that the hub stored, refused, stored and never delivered, and delivered more than once. Who
// comes back names the last message it has, so a second delivery is wrong whichever connection it came over.
func (m *mail) count() counted {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := counted{sent: int64(len(m.messages)), duplicated: m.unasked}
	for _, known := range m.messages {
		if known.stored {
			c.stored++
		}
		if known.stored && known.received == 0 {
			c.lost++
		}
		if known.refused {
			c.refused++
		}
		c.duplicated += max(0, known.received-1)
	}
	return c
}

// Sockets is what became of the WebSockets and their messages.
type Sockets struct {
	Sockets int `json:"sockets"`
	// Survived were never closed; Returned only with 1001, and back within a second each time.
	Survived int `json:"survived"`
	Returned int `json:"returned"`
	// Closed1001 and ClosedOther count closures, not sockets.
	Closed1001     int      `json:"closed_1001"`
	ClosedOther    int      `json:"closed_other"`
	ReconnectMaxMS *float64 `json:"reconnect_max_ms"`
	// Sent by the loader; Stored or Refused as the hub said; Lost are stored and never arrived.
	Sent       int64 `json:"sent"`
	Stored     int64 `json:"stored"`
	Refused    int64 `json:"refused"`
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
	// Closures by agent.
	Closures map[string][]Closure `json:"closures"`
}

func (s *sockets) verdict() Sockets {
	v := Sockets{Sockets: len(s.members), Closures: map[string][]Closure{}}
	for _, m := range s.members {
		m.mu.Lock()
		inOrder := true
		for _, c := range m.closures {
			if c.Code == 1001 {
				v.Closed1001++
			} else {
				v.ClosedOther++
			}
			if c.BackMS != nil && (v.ReconnectMaxMS == nil || *c.BackMS > *v.ReconnectMaxMS) {
				v.ReconnectMaxMS = c.BackMS
			}
			inOrder = inOrder && c.inOrder(s.config.back)
		}
		switch {
		case len(m.closures) == 0:
			v.Survived++
		case inOrder:
			v.Returned++
		}
		if len(m.closures) > 0 {
			v.Closures[m.agent] = m.closures
		}
		m.mu.Unlock()
	}
	if len(s.members) > 0 {
		c := s.members[0].mail.count()
		v.Sent, v.Stored, v.Refused, v.Lost, v.Duplicated = c.sent, c.stored, c.refused, c.lost, c.duplicated
	}
	return v
}

func (v Sockets) faults() []string {
	var found []string
	if bad := v.Sockets - v.Survived - v.Returned; bad > 0 {
		found = append(found, fmt.Sprintf("%d WebSockets neither survived nor were closed with 1001 and back within %s", bad, reconnectBar))
	}
	if v.Lost > 0 || v.Duplicated > 0 {
		found = append(found, fmt.Sprintf("%d WebSocket messages lost, %d duplicated", v.Lost, v.Duplicated))
	}
	if v.Refused > 0 {
		found = append(found, fmt.Sprintf("%d WebSocket messages refused", v.Refused))
	}
	if v.Sockets > 0 && v.Stored == 0 {
		found = append(found, "no WebSocket message was stored: no data")
	}
	return found
}
