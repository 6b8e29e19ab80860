package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/leanvibe/hive/api/hub"
)

// agent sends and receives; what has no lock or atomic is read when it has ended.
type agent struct {
	*hub.Client
	index    int
	received *atomic.Int64 // by all agents

	// Of the sender.
	numbers          []uint64 // by peer, the last one's
	next             int      // peer
	sent             atomic.Int64
	storedOK, failed atomic.Int64
	mu               sync.Mutex
	stored           *hdrhistogram.Histogram

	// Of the handler.
	delivered, taken, handed *hdrhistogram.Histogram
	last                     map[uint32]uint64
	seen, repeated, jumped   int64
}

func newAgents(o options, url string, received *atomic.Int64) ([]*agent, error) {
	agents := make([]*agent, o.agents)
	for i := range agents {
		a := &agent{
			index: i, received: received, numbers: make([]uint64, o.peers), last: map[uint32]uint64{},
			stored: histogram(), delivered: histogram(), taken: histogram(), handed: histogram(),
		}
		var err error
		a.Client, err = hub.New(hub.Config{
			URL: url, Agent: o.name(i), Handle: a.handle, Window: o.window,
			Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		})
		if err != nil {
			return nil, err
		}
		agents[i] = a
	}
	return agents, nil
}

// name is an agent's, new with each load: the last acknowledgements of the one before may
// still be on their way, and its messages would come again.
func (o *options) name(i int) string { return fmt.Sprintf("bench-%d-%d", o.load, i) }

// one sends the next message, due at a time; false when the window stayed full until ctx ended.
func (a *agent) one(ctx context.Context, o options, due time.Time) bool {
	peer := (a.index + 1 + a.next) % o.agents
	a.numbers[a.next]++
	b := body(o.size, uint32(a.index), a.numbers[a.next], due)
	a.next = (a.next + 1) % o.peers
	err := a.Queue(ctx, o.name(peer), "", b, func(err error) {
		if err != nil {
			a.failed.Add(1)
			return
		}
		a.mu.Lock()
		record(a.stored, time.Since(due))
		a.mu.Unlock()
		a.storedOK.Add(1)
	})
	if err == nil {
		a.sent.Add(1)
	}
	return err == nil
}

// handle holds what came against what should have come.
func (a *agent) handle(_ context.Context, messages []hub.Message) error {
	now := time.Now()
	for i := range messages {
		b := messages[i].Body
		sender, number := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint64(b[4:])
		switch last := a.last[sender]; {
		case number <= last:
			a.repeated++
			continue
		case number != last+1:
			a.jumped++
		}
		a.last[sender] = number
		a.seen++
		due := time.Unix(0, int64(binary.LittleEndian.Uint64(b[12:])))
		record(a.delivered, now.Sub(due))
		record(a.taken, messages[i].SentAt.Sub(due))
		record(a.handed, now.Sub(messages[i].SentAt))
	}
	a.received.Add(int64(len(messages)))
	return nil
}

// histogram is in microseconds, up to a minute.
func histogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

func record(h *hdrhistogram.Histogram, d time.Duration) { _ = h.RecordValue(max(d.Microseconds(), 0)) }

// body is a sender, a number and a time, filled up.
func body(size int, sender uint32, number uint64, due time.Time) []byte {
	b := make([]byte, max(size, 20))
	binary.LittleEndian.PutUint32(b, sender)
	binary.LittleEndian.PutUint64(b[4:], number)
	binary.LittleEndian.PutUint64(b[12:], uint64(due.UnixNano()))
	return b
}
