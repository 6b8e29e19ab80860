package client

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

// patience bounds what must come true, on a machine that may stand still for a while.
const patience = 60 * time.Second

// serve serves a fake, and answers a client of it.
func serve(t testing.TB, h hivev1connect.AssignmentServiceHandler, options ...Option) *Client {
	t.Helper()
	url := listen(t, h)
	transport := NewStreamTransport()
	t.Cleanup(transport.CloseIdleConnections)
	return New(url, nil, append([]Option{WithStreams(&http.Client{Transport: transport})}, options...)...)
}

// listen serves a fake over HTTP/2 without TLS, and answers its URL.
func listen(t testing.TB, h hivev1connect.AssignmentServiceHandler) string {
	t.Helper()
	_, handler := hivev1connect.NewAssignmentServiceHandler(h)
	srv := httptest.NewUnstartedServer(handler)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL
}

var silent = slog.New(slog.DiscardHandler)

// oneIn is true once in n times; never for n = 0.
func oneIn(n int) bool { return n > 0 && rand.N(n) == 0 }
