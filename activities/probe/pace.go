package probe

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

const (
	// requestMax bounds one request of a stream; the runbook's slow class takes 5 s.
	requestMax = 6 * time.Second
	// atOnce bounds the requests in flight; beyond it the one that is due failed,
	// for the door does not open any more.
	atOnce = 1024
)

// sent is one request of a stream, as it ended.
type sent struct {
	failed bool
	took   time.Duration
	at     time.Time
}

// pacer sends keep-alive requests at a rate that does not wait for answers, and never
// hides a second try.
type pacer struct {
	hand Hand
	urls []string
	rate int
	// post is the JSON body of POSTs; empty for GETs.
	post string
}

// run sends until ctx or the window ends (no window: ctx alone), then waits for
// what is in flight. Each request that ended goes to done, one at a time; every
// second goes to tick.
func (p pacer) run(ctx context.Context, window time.Duration, done func(sent), second func()) {
	transport := &http.Transport{
		TLSClientConfig: p.hand.TLS, DisableCompression: true, MaxIdleConnsPerHost: atOnce, IdleConnTimeout: time.Minute,
	}
	defer transport.CloseIdleConnections()
	if window > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, window)
		defer cancel()
	}
	results := make(chan sent, atOnce)
	var flying sync.WaitGroup
	var inFlight atomic.Int64
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for s := range results {
			done(s)
		}
	}()
	beats := time.NewTicker(time.Second)
	defer beats.Stop()
	start := time.Now()
	for n := 0; ; n++ {
		if !pause(ctx, start.Add(time.Duration(n)*time.Second/time.Duration(p.rate)), beats.C, second) {
			break
		}
		if inFlight.Load() >= atOnce {
			results <- sent{failed: true, at: time.Now()}
			continue
		}
		url := p.urls[n%len(p.urls)]
		inFlight.Add(1)
		flying.Go(func() {
			defer inFlight.Add(-1)
			results <- p.send(context.WithoutCancel(ctx), transport, url)
		})
	}
	flying.Wait()
	close(results)
	<-collected
}

// pause waits for a moment, and serves the seconds meanwhile; false when ctx ended.
func pause(ctx context.Context, until time.Time, seconds <-chan time.Time, second func()) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-seconds:
			second()
		case <-timer.C:
			return ctx.Err() == nil
		}
	}
}

// send sends one request on a kept connection: a GET, or a POST of the body with an
// idempotency key of its own. The library asks again by itself
// where a kept connection broke under a request: that request had failed, whatever
// the second one brought.
func (p pacer) send(ctx context.Context, transport *http.Transport, url string) sent {
	ctx, cancel := context.WithTimeout(ctx, requestMax)
	defer cancel()
	var written atomic.Int64
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(i httptrace.WroteRequestInfo) {
		if i.Err == nil {
			written.Add(1)
		}
	}})
	start := time.Now()
	ok := func() bool {
		req, err := p.newRequest(ctx, url)
		if err != nil {
			return false
		}
		res, err := transport.RoundTrip(req)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, io.LimitReader(res.Body, readMax))
		return err == nil && res.StatusCode < http.StatusBadRequest
	}()
	return sent{failed: !ok || written.Load() > 1, took: time.Since(start), at: time.Now()}
}

func (p pacer) newRequest(ctx context.Context, url string) (*http.Request, error) {
	if p.post == "" {
		return http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(p.post))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", "hive-probe-"+uuid.NewString())
		err = p.hand.authorize(req)
	}
	return req, err
}
