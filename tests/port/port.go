// Package port reserves TCP ports for servers that tests start as processes and tell where to listen.
//
// A port that was only looked up (listen on any, close, pass the number on) is free until the server listens, and again
// each time that a test kills the server and starts it anew. The kernel then gives it to whoever asks for any port, of
// this test or of another package's that runs beside it: six Redis nodes met like that in one start of a hundred.
package port

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Take reserves a port of this machine until release is called.
func Take() (number int, release func(), err error) { return hold(0) }

// Reserve is Take for one test.
func Reserve(t testing.TB) int {
	t.Helper()
	number, release, err := Take()
	require.NoError(t, err)
	t.Cleanup(release)
	return number
}

// ReservePair reserves a port and the one that is so far above it, as Redis wants for its cluster's bus, for one test.
func ReservePair(t testing.TB, apart int) int {
	t.Helper()
	const tries = 200
	for range tries {
		number, release, err := Take()
		require.NoError(t, err)
		_, releaseAbove, err := hold(number + apart)
		if err != nil { // beyond the last port, or somebody's
			release()
			continue
		}
		t.Cleanup(func() { releaseAbove(); release() })
		return number
	}
	require.Fail(t, "no free pair of ports", "%d apart, after %d tries", apart, tries)
	return 0
}

// hold binds a socket to a port, or to any where wanted is 0, and does not listen on it. While it is there, nobody who
// asks for any port gets this one, and who asks for it by number and with SO_REUSEADDR, as every server does, gets it.
func hold(wanted int) (number int, release func(), err error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, os.NewSyscallError("socket", err)
	}
	release = func() { _ = syscall.Close(socket) } // nothing was written to it
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Port: wanted}); err != nil {
		release()
		return 0, nil, fmt.Errorf("port %d: %w", wanted, os.NewSyscallError("bind", err))
	}
	// After the bind: before it, two who want the same number would both get it.
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		release()
		return 0, nil, os.NewSyscallError("setsockopt", err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		release()
		return 0, nil, os.NewSyscallError("getsockname", err)
	}
	return bound.(*syscall.SockaddrInet4).Port, release, nil
}
