// Package probe is the hand that asks from outside, as a client does: over HTTP or
// TCP, once, until something holds, or all the while a change runs. It also speaks
// to the control endpoints of the services of role worker.
package probe

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// askDefault bounds a question that names no timeout.
	askDefault = 2 * time.Second
	// pollEvery is the pause between two looks at an awaited condition.
	pollEvery = 250 * time.Millisecond
	bodyMax   = 2 << 10
	readMax   = 1 << 20
)

// Hand asks. Its zero value is ready.
type Hand struct {
	// TLS is for questions over https; nil trusts what the machine trusts.
	TLS *tls.Config
	// ProjectDir is where TokenFile lies; empty: no token is sent.
	ProjectDir string
}

// Ask answers runbook.Ask. Whatever comes back, or does not, is an answer.
func (h Hand) Ask(ctx context.Context, in runbook.AskInput) (runbook.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, in.Timeout.Or(askDefault))
	defer cancel()
	start := time.Now()
	var out runbook.Answer
	var err error
	if address, ok := strings.CutPrefix(in.URL, "tcp://"); ok {
		err = dial(ctx, address)
	} else if bad := webURL(in.URL); bad != nil {
		return out, bad
	} else {
		out, err = h.get(ctx, in.URL)
	}
	out.Took = runbook.Duration(time.Since(start))
	if err != nil {
		out.Err = reason(ctx, err, in.Timeout.Or(askDefault))
	}
	return out, nil
}

// askedAtOnce bounds the questions that are open at a time.
const askedAtOnce = 64

// AskAll answers runbook.AskAll.
func (h Hand) AskAll(ctx context.Context, in runbook.AskAllInput) (runbook.Answers, error) {
	out := runbook.Answers{Answers: make([]runbook.Answer, len(in.Questions))}
	var group errgroup.Group
	group.SetLimit(askedAtOnce)
	for i, q := range in.Questions {
		group.Go(func() error {
			beat(ctx, nil)
			var err error
			out.Answers[i], err = h.Ask(ctx, q)
			return err
		})
	}
	return out, group.Wait()
}

func webURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return runbook.Fail(runbook.Refused, "%q cannot be asked: write for example http://10.231.16.4:8081/readyz or tcp://10.231.0.20:5432", mask(address))
	}
	return nil
}

func dial(ctx context.Context, address string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// get asks on a connection of its own: on a kept one the library would ask a
// second time where the first broke, and nobody would know.
func (h Hand) get(ctx context.Context, address string) (runbook.Answer, error) {
	var out runbook.Answer
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: h.TLS, DisableCompression: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return out, err
	}
	res, err := transport.RoundTrip(req) // follows no redirect: where it points is not what was asked
	if err != nil {
		return out, err
	}
	defer res.Body.Close()
	out = runbook.Answer{
		Status: res.StatusCode, Instance: res.Header.Get("X-Hive-Instance"), Version: res.Header.Get("X-Hive-Version"),
		Upstream: res.Header.Get("X-Hive-Upstream"),
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, bodyMax))
	out.Body = mask(strings.ToValidUTF8(string(body), "�"))
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(res.Body, readMax))
	}
	return out, err
}

func beat(ctx context.Context, details any) {
	if activity.IsActivity(ctx) {
		activity.RecordHeartbeat(ctx, details)
	}
}
