package engine

import (
	"context"

	"github.com/leanvibe/hive/workers/process"
)

// Setup fills the process with specialized-engines, as the environment says; see Config.
func Setup(_ context.Context, p *process.Process) error {
	cfg, err := ConfigFromEnv()
	if err != nil {
		return err
	}
	bind(p, New(cfg, DefaultHandlers(), p))
	return nil
}

// bind registers the engine with the process.
func bind(p *process.Process, e *Engine) {
	e.registerControl(p, p.Log)
	p.AddCheck(process.Check{Name: "agents", Required: true, Probe: e.ready})
	started := make(chan struct{})
	p.Go("agents", func(ctx context.Context) error { return e.Run(ctx, started) })
	p.OnDrain(func(ctx context.Context) {
		// Metrics and health stay readable until the last task has ended.
		<-started
		e.stop()
		select {
		case <-e.stopped:
		case <-ctx.Done():
		}
	})
}
