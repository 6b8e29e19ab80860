package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// install says how to get what is missing.
const install = "run tests/servers.sh of the checkout once"

// startMax bounds the start of a server, stopMax its end.
const (
	startMax = 60 * time.Second
	stopMax  = 20 * time.Second
)

// process is one server of a contender, with its directory.
type process struct {
	dir  string
	cmd  *exec.Cmd
	out  bytes.Buffer
	gone chan struct{}
}

// launch starts a command; what it prints is kept for errors.
func launch(dir string, cmd *exec.Cmd) (*process, error) {
	s := &process{dir: dir, cmd: cmd, gone: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = &s.out
	}
	cmd.Stderr = &s.out
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	go func() {
		_ = cmd.Wait() // how it ended is told by what it printed
		close(s.gone)
	}()
	return s, nil
}

// ready polls until the probe succeeds.
func (s *process) ready(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.gone:
			return fmt.Errorf("%s ended at its start: %s", s.cmd.Path, s.out.String())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", s.cmd.Path, err)
		case <-tick.C:
		}
	}
}

// stop asks the process to end, ends it if it does not, and removes its files.
func (s *process) stop() error {
	if s == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	patience := time.NewTimer(stopMax)
	defer patience.Stop()
	select {
	case <-s.gone:
	case <-patience.C:
		_ = s.cmd.Process.Kill()
		<-s.gone
	}
	return os.RemoveAll(s.dir)
}

// joinStop stops a peer that could not start and keeps the reason.
func joinStop(err error, p Peer) error { return errors.Join(err, p.Stop()) }

// freePorts asks the system for n ports that nobody uses.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func local(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
