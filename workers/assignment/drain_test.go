package assignment

import (
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
	"github.com/leanvibe/hive/workers/process"
)

// A stream that comes while the replica drains is refused at once, though its body never ends.
func TestDrain_RefusesStreams(t *testing.T) {
	r := newWorld(t, away).start("one", func(c *process.Config, _ *Config) { c.DrainMin = time.Second }).ready(t)
	began := make(chan struct{})
	c := hivev1connect.NewAssignmentServiceClient(&http.Client{Transport: client.NewStreamTransport()}, r.url, connect.WithGRPC())
	open := c.Work(t.Context())
	require.NoError(t, open.Send(&hivev1.WorkRequest{}))
	_, err := open.Receive()
	require.NoError(t, err)
	go func() { r.stop(); close(began) }()
	<-began
	for { // keep-alives, and then the goodbye
		m, err := open.Receive()
		require.NoError(t, err)
		if m.GetGoodbye() != nil {
			break
		}
	}
	late := c.Work(t.Context())
	_ = late.Send(&hivev1.WorkRequest{}) // the answer may be there first
	_, err = late.Receive()
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err), "%v", err)
	require.NoError(t, open.CloseRequest())
	require.NoError(t, <-r.done)
	r.done <- nil
}
