package client

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// A connection that breaks in the middle of a call, as at a proxy's reload, is no answer:
// the call is made again.
func TestCall_AgainAfterAReset(t *testing.T) {
	var calls atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) > 1 {
			w.Header().Set("Content-Type", "application/proto")
			return // an empty message: an answer of zeros
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}))
	t.Cleanup(srv.Close)
	c := New(srv.URL, nil)
	_, err := call(t.Context(), c.rpc.Complete, &hivev1.CompleteRequest{AgentId: "a"})
	require.NoError(t, err)
	require.EqualValues(t, 2, calls.Load())
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
