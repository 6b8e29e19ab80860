package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// drain takes the process out of service without losing a request; see doc.go.
func (p *Process) drain(srv *http.Server) error {
	began := time.Now()
	p.health.draining.Store(true)
	p.metrics.draining.Set(1)
	p.Log.Info("draining", "requests", p.metrics.requests.Load(), "streams", p.metrics.streams.Load())

	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.ShutdownMax)
	defer cancel()
	refuse := time.NewTimer(p.cfg.DrainMin)
	defer refuse.Stop()
	var hooks sync.WaitGroup
	for _, hook := range p.drains {
		hooks.Go(func() { hook(ctx) })
	}
	hooks.Wait()
	select {
	case <-refuse.C:
	case <-ctx.Done():
	}

	err := srv.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		requests, streams := p.metrics.requests.Load(), p.metrics.streams.Load()
		_ = srv.Close()
		err = fmt.Errorf("%w after %s: %d requests, %d streams", ErrCut, p.cfg.ShutdownMax, requests, streams)
	}
	p.Log.Info("drained", "took_ms", time.Since(began).Milliseconds(), "error", err)
	return err
}
