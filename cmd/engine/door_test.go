package main

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
)

// work is the call that a stream of agents is.
const work = "/hive.v1.AssignmentService/Work"

// door stands between engines and an orchestrator, where a proxy would: it counts the
// calls and breaks streams.
type door struct {
	url string

	mu    sync.Mutex
	calls map[string]int
	open  map[*http.Request]context.CancelFunc
}

func newDoor(t *testing.T, to *service) *door {
	t.Helper()
	target, err := url.Parse(to.url)
	require.NoError(t, err)
	d := &door{calls: map[string]int{}, open: map[*http.Request]context.CancelFunc{}}
	transport := client.NewStreamTransport()
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport, FlushInterval: -1,
		// A reset, as a broken connection is; a status would be the server's word.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, leave := d.enter(r)
		defer leave()
		proxy.ServeHTTP(w, r)
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(func() {
		d.breakStreams()
		server.CloseClientConnections()
		server.Close()
		transport.CloseIdleConnections()
	})
	d.url = server.URL
	return d
}

// enter counts a call, which breakStreams can break from now on.
func (d *door) enter(r *http.Request) (*http.Request, func()) {
	ctx, cut := context.WithCancel(r.Context())
	r = r.WithContext(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[r.URL.Path]++
	d.open[r] = cut
	return r, func() {
		cut()
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.open, r)
	}
}

// breakStreams cuts what is open and answers how many calls there have been.
func (d *door) breakStreams() (calls int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, cut := range d.open {
		cut()
	}
	return d.calls[work]
}

// seen answers the calls so far, by path.
func (d *door) seen() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.calls)
}
