package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/tests/chaos/kill"
)

// child is a process that is started again whenever it ends, as an engine does it, until it is told to stop.
type child struct {
	name    string
	command func() *exec.Cmd

	mu       sync.Mutex
	process  *os.Process
	ended    chan struct{}
	stopping bool
	starts   int
	loop     sync.WaitGroup
}

// start begins to keep the process running. Its output goes to the log.
func (c *child) start(log string) error {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	first := make(chan error, 1)
	c.loop.Go(func() {
		defer out.Close()
		for {
			cmd := c.command()
			cmd.Stdout, cmd.Stderr = out, out
			// A kit that is killed takes its children along; an interrupt at the terminal is for the kit alone.
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
			err := c.begin(cmd)
			select {
			case first <- err:
			default:
			}
			if err != nil {
				return
			}
			_ = cmd.Wait() // however it ended, it is started again
			c.mu.Lock()
			close(c.ended)
			stop := c.stopping
			c.mu.Unlock()
			if stop {
				return
			}
		}
	})
	return <-first
}

func (c *child) begin(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return errors.New(c.name + " is being stopped")
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.process, c.ended = cmd.Process, make(chan struct{})
	c.starts++
	return nil
}

// kill ends the process with SIGKILL and returns once it is dead; it is started again at once.
func (c *child) kill(ctx context.Context) error {
	c.mu.Lock()
	process, ended := c.process, c.ended
	c.mu.Unlock()
	if err := process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-ended:
		return nil
	}
}

// end asks it to end, for good, and waits.
func (c *child) end(ctx context.Context) {
	c.mu.Lock()
	c.stopping = true
	_ = c.process.Signal(syscall.SIGTERM) // it may have ended by itself
	ended := c.ended
	c.mu.Unlock()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	c.stop()
}

// stop ends it for good, at once.
func (c *child) stop() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.stopping = true
	if c.process != nil {
		_ = c.process.Kill() // it may have ended by itself
	}
	c.mu.Unlock()
	c.loop.Wait()
}

// startPlatform starts Temporal, the referee and opsworker, and waits until they work.
func (b *Bench) startPlatform(ctx context.Context) error {
	bin := func(name string) string { return filepath.Join(b.config.Dir, "bin", name) }
	b.temporal = &child{name: "temporal", command: func() *exec.Cmd {
		return exec.Command(bin("temporal"), "--data", b.path("temporal"), "--port", strconv.Itoa(b.config.port(17233)),
			"--ui-port", strconv.Itoa(b.config.port(18233)), "--metrics-port", strconv.Itoa(b.config.port(19333)), "--log-level", "error")
	}}
	socket := b.path("referee.sock")
	b.worker = &child{name: "opsworker", command: func() *exec.Cmd {
		cmd := exec.Command(bin("opsworker"))
		// The bench has no ledger of its own: rows wait in the spool, and the platform's ledger hears nothing of them.
		cmd.Env = append(os.Environ(), "HIVE_PROJECT_DIR="+b.config.dir(), "TEMPORAL_ADDRESS="+b.config.temporal(), "HIVE_LISTEN="+b.config.listen(),
			"HIVE_LEDGER_ADDRESS="+net.JoinHostPort("127.0.0.1", strconv.Itoa(b.config.port(15433))),
			"HIVE_CHAOS_REFEREE="+socket, "HIVE_INSTANCE=chaos"+strconv.Itoa(b.config.Number), "HIVE_LOG_DIR=")
		return cmd
	}}
	if err := b.temporal.start(b.path("temporal.out")); err != nil {
		return err
	}
	err := until(ctx, time.Minute, "Temporal", func(ctx context.Context) (err error) {
		b.Client, err = client.DialContext(ctx, client.Options{HostPort: b.config.temporal(), Namespace: "ops", Logger: quiet(), Identity: "chaos kit"})
		return err
	})
	if err != nil {
		return err
	}
	b.Referee = &kill.Referee{Kill: b.kill, Server: kill.Asking{Client: b.Client}}
	if err := b.Referee.Serve(ctx, socket); err != nil {
		return err
	}
	if err := b.worker.start(b.path("opsworker.out")); err != nil {
		return err
	}
	return b.ready(ctx)
}

func (b *Bench) kill(ctx context.Context, v kill.Victim) error {
	switch v {
	case kill.Temporal:
		return b.temporal.kill(ctx)
	case kill.OpsWorker:
		return b.worker.kill(ctx)
	case kill.Engine:
		if b.config.Engine != nil {
			return b.config.Engine.kill(ctx)
		}
	case kill.Database:
	}
	return fmt.Errorf("a bench has no %s to kill", v)
}

// ready waits until the engine and Temporal answer, and opsworker polls.
func (b *Bench) ready(ctx context.Context) error {
	if err := until(ctx, time.Minute, "the engine", func(ctx context.Context) error { _, err := b.api.Ping(ctx); return err }); err != nil {
		return err
	}
	asking := http.Client{Timeout: 2 * time.Second}
	return until(ctx, time.Minute, "opsworker", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.config.listen()+"/readyz", nil)
		if err != nil {
			return err
		}
		res, err := asking.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
}
