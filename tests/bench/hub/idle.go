package main

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

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
		if err := a.Send(ctx, o.name((i+1)%o.agents), "", body(o.size, uint32(i), 1, time.Now())); err != nil {
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
