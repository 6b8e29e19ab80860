package main

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A program that was stopped is ended too, and one that has ended is started again.
func TestProgram(t *testing.T) {
	p := newProgram(t.TempDir(), "sleeper", "sleep", []string{"600"}, nil)
	p.kill() // it never ran
	require.NoError(t, p.start())
	p.signal(syscall.SIGSTOP)
	p.kill()
	require.NoError(t, p.start())
	require.NoError(t, p.terminate(30*time.Second))
	require.NoError(t, p.start())
	endAll()
	select {
	case <-p.exited:
	default:
		require.Fail(t, "it runs on")
	}
}
