package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/leanvibe/hive/api/hub"
)

// result is what both sides saw.
type result struct {
	took                       time.Duration
	received                   int64
	lost, repeated, disordered int64
	perSecond                  []float64
	stored, delivered          *hdrhistogram.Histogram
}

// agent sends and receives; its counters are its own until the end.
type agent struct {
	*hub.Client
	stored, delivered *hdrhistogram.Histogram
	sent              atomic.Int64
	storedOK, failed  atomic.Int64
	received          *atomic.Int64
	last              map[uint32]uint64
	seen              int64
	repeated, jumped  int64
}

func histogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

func (a *agent) handle(_ context.Context, messages []hub.Message) error {
	now := time.Now().UnixNano()
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
		_ = a.delivered.RecordValue((now - int64(binary.LittleEndian.Uint64(b[12:]))) / 1000)
	}
	a.received.Add(int64(len(messages)))
	return nil
}

func name(i int) string { return fmt.Sprintf("bench-%d", i) }

func newAgents(o options, url string, received *atomic.Int64) ([]*agent, error) {
	agents := make([]*agent, o.agents)
	for i := range agents {
		a := &agent{stored: histogram(), delivered: histogram(), received: received, last: map[uint32]uint64{}}
		var err error
		a.Client, err = hub.New(hub.Config{
			URL: url, Agent: name(i), Handle: a.handle, Window: o.window,
			Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		})
		if err != nil {
			return nil, err
		}
		agents[i] = a
	}
	return agents, nil
}

func load(ctx context.Context, o options, url string) (*result, error) {
	var received atomic.Int64
	agents, err := newAgents(o, url, &received)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	for _, a := range agents {
		clients.Go(func() {
			if err := a.Run(running); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		})
	}
	sending, quiet := context.WithTimeout(ctx, time.Duration(o.seconds)*time.Second)
	defer quiet()
	r := &result{stored: histogram(), delivered: histogram()}
	start := time.Now()
	var senders sync.WaitGroup
	for i, a := range agents {
		senders.Go(func() { a.send(sending, o, i) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for before := int64(0); sending.Err() == nil; {
		select {
		case <-sending.Done():
		case <-tick.C:
			now := received.Load()
			r.perSecond = append(r.perSecond, float64(now-before))
			before = now
		}
	}
	senders.Wait()
	var sent int64
	for _, a := range agents {
		sent += a.sent.Load()
	}
	settled := until(func() bool {
		var answered int64
		for _, a := range agents {
			answered += a.storedOK.Load() + a.failed.Load()
		}
		return answered == sent && received.Load() >= sent
	})
	r.took = time.Since(start)
	if settled != nil {
		fmt.Fprintln(os.Stderr, "not all messages came:", settled)
	}
	stop()
	clients.Wait()
	r.sum(agents)
	return r, nil
}

func (r *result) sum(agents []*agent) {
	var stored int64
	for _, a := range agents {
		stored += a.storedOK.Load()
		r.received += a.seen
		r.repeated += a.repeated
		r.disordered += a.jumped
		r.stored.Merge(a.stored)
		r.delivered.Merge(a.delivered)
	}
	r.lost = stored - r.received
}

// send goes on until ctx ends; with a rate, in a tick's portion every 5 ms.
func (a *agent) send(ctx context.Context, o options, index int) {
	numbers := make([]uint64, o.peers)
	var mu sync.Mutex
	next := 0
	one := func() bool {
		at := time.Now()
		peer := (index + 1 + next) % o.agents
		numbers[next]++
		b := body(o.size, uint32(index), numbers[next], at)
		next = (next + 1) % o.peers
		err := a.Queue(context.WithoutCancel(ctx), name(peer), "", b, func(err error) {
			if err != nil {
				a.failed.Add(1)
				return
			}
			a.storedOK.Add(1)
			mu.Lock()
			_ = a.stored.RecordValue(time.Since(at).Microseconds())
			mu.Unlock()
		})
		if err == nil {
			a.sent.Add(1)
		}
		return err == nil && ctx.Err() == nil
	}
	if o.rate == 0 {
		for one() {
		}
		return
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	start, done := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due := int(time.Since(start).Seconds() * float64(o.rate) / float64(o.agents)); done < due; done++ {
			if !one() {
				return
			}
		}
	}
}

// idle connects and prints what a session costs.
func idle(ctx context.Context, o options, url string, server *exec.Cmd) error {
	var received atomic.Int64
	agents, err := newAgents(o, url, &received)
	if err != nil {
		return err
	}
	empty := rss(server)
	running, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	for _, a := range agents {
		clients.Go(func() { _ = a.Run(running) })
	}
	for i, a := range agents {
		if err := a.Send(ctx, name((i+1)%o.agents), "", body(o.size, uint32(i), 1, time.Now())); err != nil {
			return err
		}
	}
	err = until(func() bool { return received.Load() >= int64(o.agents) })
	full := rss(server)
	fmt.Printf("sessions %d: hub resident %d MB, %d MB before them, %.1f KB a session\n",
		o.agents, full>>20, empty>>20, float64(full-empty)/1024/float64(o.agents))
	stop()
	clients.Wait()
	return err
}

// rss is a process's resident memory in bytes.
func rss(cmd *exec.Cmd) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", cmd.Process.Pid))
	fields := strings.Fields(string(raw))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// cpu is a process's time on the cores, or our own; the kernel counts in hundredths.
func cpu(cmd *exec.Cmd) time.Duration {
	who := "self"
	if cmd != nil {
		who = strconv.Itoa(cmd.Process.Pid)
	}
	raw, err := os.ReadFile("/proc/" + who + "/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
