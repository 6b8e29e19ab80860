package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// program is a child process of ours that may be harmed and started again. The kernel
// kills it when the harness dies, however that dies.
type program struct {
	name string
	path string
	args []string
	env  []string
	log  string // file that gets its output

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

// children are all programs that were ever started, so that one call ends them.
var children struct {
	sync.Mutex
	list []*program
}

func newProgram(dir, name, path string, args, env []string) *program {
	p := &program{name: name, path: path, args: args, env: env, log: filepath.Join(dir, name+".log")}
	children.Lock()
	children.list = append(children.list, p)
	children.Unlock()
	return p
}

// endAll kills what still runs.
func endAll() {
	children.Lock()
	list := children.list
	children.list = nil
	children.Unlock()
	for _, p := range list {
		p.kill()
	}
}

// start starts it, for the first time or again.
func (p *program) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: a Ctrl-C at the terminal is the harness's to handle.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended stands in its log
		close(exited)
	}()
	p.mu.Lock()
	p.cmd, p.exited = cmd, exited
	p.mu.Unlock()
	return nil
}

// signal sends to the process's group; to one that has ended it does nothing.
func (p *program) signal(s syscall.Signal) {
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	select {
	case <-exited:
	default:
		_ = syscall.Kill(-cmd.Process.Pid, s) // it may just have ended
	}
}

// kill is SIGKILL, and waits for the end.
func (p *program) kill() {
	p.signal(syscall.SIGKILL)
	p.mu.Lock()
	exited := p.exited
	p.mu.Unlock()
	if exited != nil {
		<-exited
	}
}

// terminate is SIGTERM, and answers when it has ended.
func (p *program) terminate(within time.Duration) error {
	p.signal(syscall.SIGTERM)
	p.mu.Lock()
	exited := p.exited
	p.mu.Unlock()
	select {
	case <-exited:
		return nil
	case <-time.After(within):
		return fmt.Errorf("%s did not end within %s of SIGTERM", p.name, within)
	}
}

// freePorts asks the system for n ports of an address that nobody uses.
func freePorts(host string, n int) ([]int, error) {
	var ports []int
	var errs error
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, err
		}
		defer func() { errs = errors.Join(errs, l.Close()) }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, errs
}
