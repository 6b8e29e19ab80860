package client

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

// counters answers how often it was asked.
type counters struct {
	hivev1connect.UnimplementedAssignmentServiceHandler
	asked atomic.Int64
}

func (c *counters) Stats(context.Context, *connect.Request[hivev1.StatsRequest]) (*connect.Response[hivev1.StatsResponse], error) {
	if c.asked.Add(1) == 1 {
		return nil, connect.NewError(connect.CodeCanceled, context.Canceled) // cut at a replica's end
	}
	return connect.NewResponse(&hivev1.StatsResponse{}), nil
}

// What a roll does to a call's connection is no answer.
func TestCall_GoesOnWhereItWasCut(t *testing.T) {
	service := &counters{}
	_, handler := hivev1connect.NewAssignmentServiceHandler(service)
	var connections atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if connections.Add(1) > 1 {
			handler.ServeHTTP(w, r)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil { // its end is a reset
			t.Error(err)
		}
		_ = conn.Close()
	}))
	defer srv.Close()
	transport := NewTransport()
	defer transport.CloseIdleConnections()
	c := New(srv.URL, &http.Client{Transport: transport})
	_, err := c.Stats(t.Context(), "")
	require.NoError(t, err)
	require.EqualValues(t, 2, service.asked.Load())
	require.EqualValues(t, 3, connections.Load())

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Stats(ended, "")
	require.Equal(t, connect.CodeCanceled, connect.CodeOf(err), "the caller's own end is one")
}
