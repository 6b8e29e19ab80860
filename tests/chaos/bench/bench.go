// Package bench is one mini stack of the chaos kit with a platform of its own: a Compose project that the kit writes,
// creates and removes, a Temporal server and an opsworker as child processes, and a registry in this process. Several
// stand side by side; nothing of them meets the founder's stack but the container engine.
//
//	bench.go     what it is, Open and Close    reset.go     the same start before every run
//	stack.go     files and containers          census.go    what stands, without ids and times
//	registry.go  images and their registry     effects.go   what was done, counted from outside the ledger
//	platform.go  child processes               prober.go    users' requests
//	engine.go    an engine that may be killed  run.go       one run, and what became of it
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	dockerclient "github.com/docker/docker/client"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/tests/chaos/kill"
	"github.com/leanvibe/hive/workflows/runbook"
)

// Config says where the kit works.
type Config struct {
	// Number tells benches apart: names, addresses and ports follow from it. 0 to 9.
	Number int
	// Dir is the absolute directory of the kit's own files, out/chaos of the project.
	Dir string
	// Images are the engine's images of the stores, the proxy and monitoring, by service.
	Images map[string]string
	// Engine is the engine's own process where it may be killed, nil where it must live.
	Engine *Engine
	// Out hears what is under way.
	Out io.Writer
}

// Bench is one mini stack and its platform.
type Bench struct {
	// Referee decides who dies.
	Referee *kill.Referee
	// Client is a client of the bench's Temporal.
	Client client.Client

	config   Config
	api      *dockerclient.Client
	docker   docker.Hand
	project  *types.Project
	policy   runbook.Policy
	stack    runbook.Stack
	images   *registry
	temporal *child
	worker   *child
	prober   *prober
	watch    *watch
	cancel   context.CancelFunc
	// began is when the run's effects began to count.
	began time.Time
}

// names and addresses, all by the bench's number.
func (c Config) project() string  { return fmt.Sprintf("hivechaos%d", c.Number) }
func (c Config) web() string      { return fmt.Sprintf("web%d", c.Number) }
func (c Config) job() string      { return fmt.Sprintf("job%d", c.Number) }
func (c Config) dir() string      { return filepath.Join(c.Dir, fmt.Sprintf("project%d", c.Number)) }
func (c Config) net() string      { return fmt.Sprintf("10.226.%d", 16*c.Number) }
func (c Config) registry() string { return fmt.Sprintf("127.0.0.1:%d", 15000+c.Number) }
func (c Config) port(base int) int {
	return base + 10*c.Number
}
func (c Config) temporal() string { return fmt.Sprintf("127.0.0.1:%d", c.port(17233)) }
func (c Config) listen() string   { return fmt.Sprintf("127.0.0.1:%d", c.port(19464)) }
func (c Config) subnet(third, bits int) string {
	return fmt.Sprintf("10.226.%d.0/%d", 16*c.Number+third, bits)
}

// Open brings the bench up: files, registry, containers, Temporal, opsworker. What an earlier kit left of it goes first.
func Open(ctx context.Context, config Config) (b *Bench, err error) {
	ctx, cancel := context.WithCancel(ctx)
	b = &Bench{config: config, cancel: cancel}
	defer func() {
		if err != nil {
			closing, done := context.WithTimeout(context.WithoutCancel(ctx), closeMax)
			defer done()
			err = errors.Join(err, b.Close(closing))
		}
	}()
	if b.api, err = docker.Open(); err != nil {
		return b, err
	}
	b.docker = docker.Hand{API: b.api, ProjectDir: config.dir()}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"removing what was left", b.remove}, {"writing files", b.write}, {"images", b.serveImages}, {"containers", b.create},
		{"platform", b.startPlatform}, {"prober", b.startProber}, {"watch", b.startWatch},
	} {
		b.say("%s", step.name)
		if err := step.do(ctx); err != nil {
			return b, fmt.Errorf("bench %d: %s: %w", config.Number, step.name, err)
		}
	}
	return b, nil
}

const closeMax = 2 * time.Minute

// Close ends the platform and removes the stack: containers, networks, volumes and images of this bench alone.
func (b *Bench) Close(ctx context.Context) error {
	if b.prober != nil {
		b.prober.stop()
	}
	b.worker.stop()
	if b.Client != nil {
		b.Client.Close()
	}
	b.temporal.stop()
	b.cancel()
	if b.api == nil {
		return nil
	}
	err := errors.Join(b.remove(ctx), b.removeImages(ctx))
	return errors.Join(err, b.api.Close())
}

// Number is the bench's number.
func (b *Bench) Number() int { return b.config.Number }

func (b *Bench) say(format string, args ...any) {
	fmt.Fprintf(b.config.Out, "bench %d: %s\n", b.config.Number, fmt.Sprintf(format, args...))
}

// load reads the files as the product does.
func (b *Bench) load(ctx context.Context) error {
	hand := policy.Hand{ProjectDir: b.config.dir(), Hash: docker.Hash, Untranslated: docker.Untranslated}
	known, err := hand.Load(ctx, runbook.LoadPolicyInput{Run: "chaos"})
	if err != nil {
		return err
	}
	b.policy, b.stack = known.Policy, known.Stack
	b.project, err = hand.Project(ctx)
	return err
}

// until waits for a condition; last says what is still wrong with it.
func until(ctx context.Context, limit time.Duration, what string, holds func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if last = holds(ctx); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come about within %s: %w", what, limit, last)
		case <-tick.C:
		}
	}
}

// quiet is a Temporal client's log that nobody reads: a server that dies is what the kit is about.
func quiet() sdklog.Logger { return sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)) }

func (b *Bench) path(parts ...string) string {
	return filepath.Join(append([]string{b.config.dir()}, parts...)...)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
