package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

// balancer stands before the replicas of one service as nginx does: each request goes to
// the next one that is ready, and to another where one refuses the connection or answers
// 503, as proxy_next_upstream says.
type balancer struct {
	url    string
	server *http.Server
	wire   *wire // nil: nothing is read along
	one    *http.Transport
	two    *http.Transport
	next   atomic.Uint64
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu    sync.Mutex
	known []string        // addresses
	ready map[string]bool // by address
}

const (
	// triesMost is proxy_next_upstream_tries.
	triesMost = 3
	// bodyMost bounds what is kept of a request so that another replica can have it.
	bodyMost   = 16 << 20
	checkEvery = 100 * time.Millisecond
	checkMost  = 3 * time.Second
)

func startBalancer(ctx context.Context, w *wire) (*balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: time.Second}
	b := &balancer{
		url: "http://" + l.Addr().String(), wire: w, ready: map[string]bool{},
		one: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 256, IdleConnTimeout: 30 * time.Second, DisableCompression: true},
		two: &http.Transport{DialContext: dialer.DialContext, DisableCompression: true, Protocols: new(http.Protocols)},
	}
	b.two.Protocols.SetUnencryptedHTTP2(true)
	b.two.HTTP2 = &http.HTTP2Config{SendPingTimeout: 2 * time.Second, PingTimeout: 3 * time.Second}
	quiet := log.New(io.Discard, "", 0)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: r.In.Host}) // RoundTrip says which replica
			r.Out.Host = r.In.Host
		},
		Transport: b, FlushInterval: -1, ErrorLog: quiet,
		ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, _ error) { rw.WriteHeader(http.StatusBadGateway) },
	}
	b.server = &http.Server{Handler: proxy, Protocols: new(http.Protocols), ErrorLog: quiet}
	b.server.Protocols.SetHTTP1(true)
	b.server.Protocols.SetUnencryptedHTTP2(true)
	b.server.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 10_000}
	ctx, b.stop = context.WithCancel(ctx)
	b.done.Go(func() { _ = b.server.Serve(l) }) // ends with close
	b.done.Go(func() { b.check(ctx) })
	return b, nil
}

func (b *balancer) close() {
	b.stop()
	_ = b.server.Close() // what is under way is cut, as intended
	b.done.Wait()
	b.one.CloseIdleConnections()
	b.two.CloseIdleConnections()
}

// set says which replicas there are.
func (b *balancer) set(addrs ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known = addrs
}

// check asks each replica whether it is ready.
func (b *balancer) check(ctx context.Context) {
	client := &http.Client{Timeout: checkMost, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	var asking sync.Map
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b.mu.Lock()
		list := b.known
		b.mu.Unlock()
		for _, addr := range list {
			if _, busy := asking.LoadOrStore(addr, true); busy {
				continue
			}
			b.done.Go(func() {
				ok := isReady(ctx, client, addr)
				b.mu.Lock()
				b.ready[addr] = ok
				b.mu.Unlock()
				asking.Delete(addr)
			})
		}
	}
}

func isReady(ctx context.Context, client *http.Client, addr string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// isUp tells whether a replica was ready when it was asked last.
func (b *balancer) isUp(addr string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready[addr]
}

// choose answers the next ready replica that was not tried; where none is ready, any.
func (b *balancer) choose(tried map[string]bool) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, must := range []bool{true, false} {
		var list []string
		for _, addr := range b.known {
			if !tried[addr] && (b.ready[addr] || !must) {
				list = append(list, addr)
			}
		}
		if len(list) > 0 {
			return list[b.next.Add(1)%uint64(len(list))]
		}
	}
	return ""
}

// body is a request's body that tells whether it was begun to be read.
type body struct {
	io.ReadCloser
	begun atomic.Bool
}

// Read reads.
func (b *body) Read(p []byte) (int, error) {
	b.begun.Store(true)
	return b.ReadCloser.Read(p)
}

var errNoReplica = errors.New("no replica is known")

// RoundTrip sends the request to a replica.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	transport := b.one
	if r.ProtoMajor == 2 {
		transport = b.two
	}
	// The whole request is kept where there is an end to it: all but the streams.
	var whole []byte
	stream := r.ProtoMajor == 2
	if !stream && r.Body != nil && r.Body != http.NoBody {
		var err error
		if whole, err = io.ReadAll(io.LimitReader(r.Body, bodyMost)); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	said := newTalk(b.wire)
	tried := map[string]bool{}
	lastErr := errNoReplica
	var last *http.Response
	for range triesMost {
		addr := b.choose(tried)
		if addr == "" {
			break
		}
		tried[addr] = true
		if last != nil {
			_ = last.Body.Close()
			last = nil
		}
		out := r.Clone(r.Context())
		out.URL.Host = addr
		begun := &body{ReadCloser: r.Body}
		if b.wire != nil && r.URL.Path == hivev1connect.AssignmentServiceWorkProcedure {
			begun.ReadCloser = &along{ReadCloser: r.Body, frame: said.up}
		}
		switch {
		case whole != nil:
			out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(whole)), int64(len(whole))
		case stream && r.Body != nil:
			out.Body = begun
		}
		resp, err := transport.RoundTrip(out)
		if err != nil {
			lastErr = err
			b.down(addr, err)
			if begun.begun.Load() || r.Context().Err() != nil {
				return nil, err
			}
			continue
		}
		if resp.StatusCode == http.StatusServiceUnavailable && !begun.begun.Load() {
			last = resp
			continue
		}
		if b.wire != nil {
			b.wire.response(resp, r.URL.Path, whole, said)
		}
		return resp, nil
	}
	if last != nil {
		return last, nil
	}
	return nil, lastErr
}

// down keeps requests from a replica until it is ready again.
func (b *balancer) down(addr string, err error) {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		b.mu.Lock()
		b.ready[addr] = false
		b.mu.Unlock()
	}
}
