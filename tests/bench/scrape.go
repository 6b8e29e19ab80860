package main

import (
	"context"
	"math"
	"net/http"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scraped is what the server says of itself at one instant.
type scraped struct {
	at          time.Time
	cpu, memory float64
	families    map[string]*dto.MetricFamily
}

func (s *server) scrape(ctx context.Context) (*scraped, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	out := &scraped{at: time.Now()}
	if out.families, err = parser.TextToMetricFamilies(resp.Body); err != nil {
		return nil, err
	}
	if f := out.families["process_cpu_seconds_total"]; f != nil {
		out.cpu = f.GetMetric()[0].GetCounter().GetValue()
	}
	if f := out.families["process_resident_memory_bytes"]; f != nil {
		out.memory = f.GetMetric()[0].GetGauge().GetValue()
	}
	return out, nil
}

// buckets are how many were at most so long, between two scrapes.
type buckets []struct {
	upTo  float64
	count float64
}

func (s *scraped) since(before *scraped, name string) buckets {
	var out buckets
	then := map[float64]float64{}
	for _, b := range histogramOf(before, name) {
		then[b.GetUpperBound()] = float64(b.GetCumulativeCount())
	}
	for _, b := range histogramOf(s, name) {
		out = append(out, struct{ upTo, count float64 }{b.GetUpperBound(), float64(b.GetCumulativeCount()) - then[b.GetUpperBound()]})
	}
	return out
}

func histogramOf(s *scraped, name string) []*dto.Bucket {
	f := s.families[name]
	if f == nil || len(f.GetMetric()) == 0 {
		return nil
	}
	return f.GetMetric()[0].GetHistogram().GetBucket()
}

// quantile interpolates within a bucket, as Prometheus does; NaN where nothing was counted.
func (b buckets) quantile(q float64) float64 {
	if len(b) == 0 || b[len(b)-1].count == 0 {
		return math.NaN()
	}
	rank := q * b[len(b)-1].count
	i := slices.IndexFunc(b, func(e struct{ upTo, count float64 }) bool { return e.count >= rank })
	low, below := 0.0, 0.0
	if i > 0 {
		low, below = b[i-1].upTo, b[i-1].count
	}
	if math.IsInf(b[i].upTo, 1) {
		return low
	}
	return low + (b[i].upTo-low)*(rank-below)/(b[i].count-below)
}
