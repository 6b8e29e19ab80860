package probe

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// workerDeadline bounds an awaited state that names no deadline.
const workerDeadline = 2 * time.Minute

// Drain answers runbook.DrainWorker.
func (h Hand) Drain(ctx context.Context, in runbook.WorkerInput) (runbook.WorkerState, error) {
	return h.tell(ctx, in, "/control/drain", func(s runbook.WorkerState) bool { return s.Draining })
}

// Resume answers runbook.ResumeWorker.
func (h Hand) Resume(ctx context.Context, in runbook.WorkerInput) (runbook.WorkerState, error) {
	return h.tell(ctx, in, "/control/resume", func(s runbook.WorkerState) bool { return !s.Draining })
}

// tell gives an order and looks whether it was taken, which its answer alone does
// not prove.
func (h Hand) tell(ctx context.Context, in runbook.WorkerInput, path string, taken func(runbook.WorkerState) bool) (runbook.WorkerState, error) {
	if _, err := h.control(ctx, in, http.MethodPost, path); err != nil {
		return runbook.WorkerState{}, err
	}
	s, err := h.control(ctx, in, http.MethodGet, "/control/status")
	if err != nil {
		return s, err
	}
	if s.Met = taken(s); !s.Met {
		return s, runbook.Fail(runbook.NotYet, "%s was told %s and says draining = %t", in.Name, path, s.Draining)
	}
	return s, nil
}

// AwaitTaskTaken answers runbook.AwaitTaskTaken.
func (h Hand) AwaitTaskTaken(ctx context.Context, in runbook.WorkerInput) (runbook.WorkerState, error) {
	return h.await(ctx, in, func(s runbook.WorkerState) bool { return s.TasksTaken >= 1 })
}

// AwaitIdle answers runbook.AwaitIdle. A worker that does not answer is not idle:
// nobody knows what it holds.
func (h Hand) AwaitIdle(ctx context.Context, in runbook.WorkerInput) (runbook.WorkerState, error) {
	return h.await(ctx, in, func(s runbook.WorkerState) bool { return s.InFlight == 0 })
}

func (h Hand) await(ctx context.Context, in runbook.WorkerInput, met func(runbook.WorkerState) bool) (runbook.WorkerState, error) {
	deadline := time.Now().Add(in.Deadline.Or(workerDeadline))
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var last runbook.WorkerState
	for {
		beat(ctx, nil)
		s, err := h.control(ctx, in, http.MethodGet, "/control/status")
		switch {
		case ctx.Err() != nil:
			return last, ctx.Err()
		case err == nil:
			last = s
			if met(s) {
				last.Met = true
				return last, nil
			}
		case runbook.KindOf(err) != runbook.Unreachable:
			return last, err
		}
		if time.Now().After(deadline) {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-tick.C:
		}
	}
}

// control asks one control endpoint; each answers the worker's state.
func (h Hand) control(ctx context.Context, in runbook.WorkerInput, method, path string) (runbook.WorkerState, error) {
	var s runbook.WorkerState
	if err := webURL(in.URL); err != nil {
		return s, err
	}
	ctx, cancel := context.WithTimeout(ctx, askDefault)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: h.TLS}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, in.URL+path, nil)
	if err != nil {
		return s, runbook.FailCause(runbook.Refused, err, "%s", in.Name)
	}
	if err := h.authorize(req); err != nil {
		return s, err
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return s, classify(ctx, err, in.Name)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, readMax))
	switch {
	case err != nil:
		return s, classify(ctx, err, in.Name)
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusMethodNotAllowed:
		return s, runbook.Fail(runbook.Missing, "%s does not serve %s: is its service of role worker?", in.Name, path)
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return s, runbook.Fail(runbook.Refused, "%s answers %d to %s: compare %s with the tokens that the service was given (docs/access.md)",
			in.Name, res.StatusCode, path, TokenFile)
	case res.StatusCode != http.StatusOK:
		return s, runbook.Fail(runbook.Unreachable, "%s answers %d to %s", in.Name, res.StatusCode, path)
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, runbook.Fail(runbook.Corrupt, "%s answers %s with something else than its state: %.80q", in.Name, path, mask(string(body)))
	}
	s.Met = false
	return s, nil
}
