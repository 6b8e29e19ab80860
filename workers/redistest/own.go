package redistest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Server is a Redis of one test's own that may be killed: each write is on disk
// before it is answered (appendfsync always).
type Server struct{ server }

// Own starts a server that ends with the test.
func Own(t testing.TB) *Server {
	t.Helper()
	s := &Server{server{aof: true}}
	t.Cleanup(s.stop)
	require.NoError(t, s.start())
	return s
}

// Addr answers the server's address; it stays the same after a kill.
func (s *Server) Addr() string { return s.addr }

// Kill ends the server as a crash does, and starts it again on what is on its
// disk. It does not wait until the server answers.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Kill())
	_ = s.cmd.Wait() // killed, as asked
	require.NoError(t, s.launch())
}
