package engine

import (
	"context"

	"github.com/leanvibe/hive/workers/process"
)

// Setup answers what fills a process with specialized-engines, as the environment
// and the file that it names say, with the options' handlers beside the built-in
// ones. A whole program of your own is
//
//	process.Main("my-engines", "1.0", ":8083", engine.Setup(engine.WithHandler("mine", mine)))
func Setup(options ...Option) process.Setup {
	return func(_ context.Context, p *process.Process) error {
		s, err := apply(options)
		if err != nil {
			return err
		}
		cfg, err := configFromEnv(s.own)
		if err != nil {
			return err
		}
		cfg.Instance = p.Config().Instance
		e, err := New(cfg, append([]Option{within(p)}, options...)...)
		if err != nil {
			return err
		}
		bind(p, e)
		return nil
	}
}

// bind registers the engine with the process.
func bind(p *process.Process, e *Engine) {
	e.registerControl(p, p.Log)
	p.AddCheck(process.Check{Name: "agents", Required: true, Probe: e.ready})
	if e.hub != nil {
		p.AddCheck(process.Check{Name: "hub", Probe: e.hub.check})
	}
	started := make(chan struct{})
	p.Go("agents", func(ctx context.Context) error { return e.run(ctx, started) })
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
