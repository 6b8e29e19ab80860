package proxy

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	generationHeader = "X-Hive-Generation"
	// ourPath is asked for the generation; nginx.conf keeps it out of the log, and
	// no measurement counts it. A proxy without it answers as it likes, with the
	// header all the same.
	ourPath = "/.hive/"
	askMax  = 2 * time.Second
	// inARow answers on fresh connections must carry the new generation: right
	// after a reload the old workers may still accept one.
	inARow    = 5
	askEvery  = 40 * time.Millisecond
	serveMax  = 20 * time.Second
	headerMax = 9 // digits
)

// served asks nginx, on a connection of its own, which generation it serves.
func (h Hand) served(ctx context.Context, proxy runbook.ProxyPolicy) (int, error) {
	bounded, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: h.TLS}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(bounded, http.MethodGet, strings.TrimSuffix(proxy.URL, "/")+ourPath+"generation", nil)
	if err != nil {
		return 0, runbook.FailCause(runbook.Refused, err, "%s cannot be asked", proxy.URL)
	}
	res, err := transport.RoundTrip(req)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, classify(err, "the proxy at "+proxy.URL)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 4<<10)) // the header is all that was asked for
	text := res.Header.Get(generationHeader)
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || len(text) > headerMax {
		return 0, runbook.Fail(runbook.Refused, "the answer of %s carries no generation (%s: %.40q): nginx.conf must include %s and add the header to every answer", proxy.URL, generationHeader, text, generationFile)
	}
	return n, nil
}

// awaitServed waits until nginx's answers carry the generation, or a later one.
func (h Hand) awaitServed(ctx context.Context, proxy runbook.ProxyPolicy, generation int) error {
	bounded, cancel := context.WithTimeout(ctx, serveMax)
	defer cancel()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	row, last := 0, "nothing"
	for {
		switch n, err := h.served(bounded, proxy); {
		case ctx.Err() != nil:
			return ctx.Err()
		case bounded.Err() != nil: // the question was cut short and says nothing
		case err != nil:
			row, last = 0, runbook.Reason(err)
		case n < generation:
			row, last = 0, "generation "+strconv.Itoa(n)
		default:
			row++
		}
		if row == inARow {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-bounded.Done():
			return runbook.Fail(runbook.Unreachable, "nginx was told to reload, but %s after that it does not serve generation %d steadily (last seen: %s); its error log says why", serveMax, generation, last)
		case <-tick.C:
		}
	}
}
