package main

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// work is the call that a stream of agents is.
const work = "/hive.v1.AssignmentService/Work"

// door stands between engines and an orchestrator, where a proxy would: it counts the
// calls and breaks streams.
type door struct {
	*httptest.Server

	mu    sync.Mutex
	calls map[string]int
}

func newDoor(t *testing.T, to *service) *door {
	t.Helper()
	target, err := url.Parse(to.url)
	require.NoError(t, err)
	d := &door{calls: map[string]int{}}
	plain := new(http.Protocols)
	plain.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: plain}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport, FlushInterval: -1,
		// A reset, as a broken connection is; a status would be the server's word.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	d.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.calls[r.URL.Path]++
		d.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	d.Config.Protocols = plain
	d.Start()
	t.Cleanup(func() {
		d.CloseClientConnections()
		d.Close()
		transport.CloseIdleConnections()
	})
	return d
}

// seen answers the calls so far, by path.
func (d *door) seen() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.calls)
}
