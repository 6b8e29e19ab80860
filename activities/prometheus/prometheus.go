// Package prometheus is the hand on Prometheus: it asks queries and reads whether
// targets are scraped and rules evaluated. No sample, and a sample that is no
// number, are "not found": whoever judges must not take them for zero.
package prometheus

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// askMax bounds one step, below the steps' own timeout, so that the error names
	// Prometheus and not a deadline.
	askMax = 4 * time.Second
	// atOnce bounds the queries that run side by side.
	atOnce = 4
)

// Hand asks Prometheus. Its zero value is ready.
type Hand struct{}

func connect(url string) (api.Client, v1.API, error) {
	client, err := api.NewClient(api.Config{Address: url})
	if err != nil {
		return nil, nil, runbook.Fail(runbook.Refused, "%q is not the URL of a Prometheus", url)
	}
	return client, v1.NewAPI(client), nil
}

// Query answers runbook.QueryMetrics. A query that is wrong is an answer of its
// own; a Prometheus that is away fails the step.
func (Hand) Query(ctx context.Context, in runbook.QueriesInput) (runbook.Samples, error) {
	out := runbook.Samples{At: time.Now(), Samples: make([]runbook.Sample, len(in.Queries))}
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	_, prometheus, err := connect(in.URL)
	if err != nil {
		return out, err
	}
	away := make([]error, len(in.Queries))
	free := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, query := range in.Queries {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			out.Samples[i], away[i] = ask(ctx, prometheus, query, out.At)
		})
	}
	wg.Wait()
	for _, err := range away {
		if err != nil {
			return out, classify(err, in.URL)
		}
	}
	return out, nil
}

// ask asks one query; the error is for what concerns all queries.
func ask(ctx context.Context, prometheus v1.API, query string, at time.Time) (runbook.Sample, error) {
	s := runbook.Sample{Query: query}
	value, _, _, err := prometheus.Query(ctx, query, at)
	if err != nil {
		if why, about := aboutQuery(err); about {
			s.Err = why
			return s, nil
		}
		return s, err
	}
	v, found, why := sampleOf(value)
	s.Value, s.Found, s.Err = v, found, why
	return s, nil
}

// sampleOf takes the one number out of an answer.
func sampleOf(value model.Value) (v float64, found bool, why string) {
	switch x := value.(type) {
	case *model.Scalar:
		v = float64(x.Value)
	case model.Vector:
		switch len(x) {
		case 0:
			return 0, false, ""
		case 1:
			v = float64(x[0].Value)
		default:
			return 0, false, fmt.Sprintf("gives %d samples where one is needed: aggregate them, for example with sum(…)", len(x))
		}
	default:
		return 0, false, fmt.Sprintf("gives a %s where one sample is needed", value.Type())
	}
	switch {
	case math.IsNaN(v):
		return 0, false, ""
	case math.IsInf(v, 0):
		return 0, false, "is infinite: something is divided by zero"
	}
	return v, true, ""
}

// Observe answers runbook.ObserveMetrics.
func (Hand) Observe(ctx context.Context, in runbook.MetricsInput) (runbook.MetricsState, error) {
	out := runbook.MetricsState{TargetsDown: []string{}, RulesFailed: []string{}}
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	client, prometheus, err := connect(in.URL)
	if err != nil {
		return out, err
	}
	if out.Ready, err = ready(ctx, client); err != nil {
		return out, classify(err, in.URL)
	}
	if !out.Ready {
		return out, nil // its API answers 503 until its data are replayed
	}
	targets, err := prometheus.Targets(ctx)
	if err != nil {
		return out, classify(err, in.URL)
	}
	for _, t := range targets.Active {
		name := string(t.Labels["job"]) + " at " + string(t.Labels["instance"])
		switch t.Health {
		case v1.HealthGood:
			out.TargetsUp++
		case v1.HealthBad:
			out.TargetsDown = append(out.TargetsDown, name+": "+t.LastError)
		default:
			out.TargetsDown = append(out.TargetsDown, name+": not scraped yet")
		}
	}
	rules, err := prometheus.Rules(ctx, nil)
	if err != nil {
		return out, classify(err, in.URL)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			out.Rules++
			if name, why := failing(r); why != "" {
				out.RulesFailed = append(out.RulesFailed, name+": "+why)
			}
		}
	}
	return out, nil
}

func ready(ctx context.Context, client api.Client) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, client.URL("/-/ready", nil).String(), nil)
	if err != nil {
		return false, err
	}
	res, _, err := client.Do(ctx, req) //nolint:bodyclose // the API's client has read and closed it
	return err == nil && res.StatusCode == http.StatusOK, err
}

// failing says why a rule could not be evaluated the last time, or "".
func failing(r any) (name, why string) {
	var health v1.RuleHealth
	switch x := r.(type) {
	case v1.AlertingRule:
		name, health, why = x.Name, x.Health, x.LastError
	case v1.RecordingRule:
		name, health, why = x.Name, x.Health, x.LastError
	}
	if health != v1.RuleHealthBad {
		return name, ""
	}
	if why == "" {
		why = "its last evaluation failed"
	}
	return name, why
}
