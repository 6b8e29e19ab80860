package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	metricCPU     = "process_cpu_seconds_total"
	metricMemory  = "process_resident_memory_bytes"
	metricDecided = "leanvibe_task_assignment_duration_ms"
	metricDurable = "leanvibe_task_durable_duration_ms"
	metricSched   = "go_sched_latencies_seconds"
)

// scraped is what the server says of itself at one instant.
type scraped struct {
	at          time.Time
	cpu, memory float64 // seconds since its start, bytes
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
	return readMetrics(resp.Body)
}

// readMetrics takes the text of /metrics apart. Without the process's own figures it is an
// error: what is missing would read as 0, and meet every bar.
func readMetrics(text io.Reader) (*scraped, error) {
	out := &scraped{at: time.Now()}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	var err error
	if out.families, err = parser.TextToMetricFamilies(text); err != nil {
		return nil, fmt.Errorf("/metrics: %w", err)
	}
	cpu, err := out.metric(metricCPU)
	if err != nil {
		return nil, err
	}
	memory, err := out.metric(metricMemory)
	if err != nil {
		return nil, err
	}
	out.cpu, out.memory = cpu.GetCounter().GetValue(), memory.GetGauge().GetValue()
	if out.memory <= 0 {
		return nil, fmt.Errorf("%s in /metrics is %g: a process that answers has memory", metricMemory, out.memory)
	}
	return out, nil
}

// metric answers the first of a family: those that are read have no labels.
func (s *scraped) metric(name string) (*dto.Metric, error) {
	list := s.families[name].GetMetric()
	if len(list) == 0 {
		return nil, fmt.Errorf("%s is missing from /metrics", name)
	}
	return list[0], nil
}

// busy answers how much of all cores the server has used between two scrapes, in percent.
func (s *scraped) busy(before *scraped) (float64, error) {
	used := s.cpu - before.cpu
	if used <= 0 {
		return 0, fmt.Errorf("%s in /metrics has not grown under load", metricCPU)
	}
	return 100 * used / s.at.Sub(before.at).Seconds() / float64(runtime.NumCPU()), nil
}

// buckets are how many were at most so long, between two scrapes; the last counts all, and
// it is not 0.
type buckets []struct {
	upTo  float64
	count float64
}

func (s *scraped) since(before *scraped, name string) (buckets, error) {
	was, err := before.metric(name)
	if err != nil {
		return nil, err
	}
	is, err := s.metric(name)
	if err != nil {
		return nil, err
	}
	then := map[float64]float64{}
	for _, b := range was.GetHistogram().GetBucket() {
		then[b.GetUpperBound()] = float64(b.GetCumulativeCount())
	}
	var out buckets
	for _, b := range is.GetHistogram().GetBucket() {
		out = append(out, struct{ upTo, count float64 }{b.GetUpperBound(), float64(b.GetCumulativeCount()) - then[b.GetUpperBound()]})
	}
	if len(out) == 0 || out[len(out)-1].count <= 0 {
		return nil, fmt.Errorf("%s in /metrics has counted nothing between the two looks at it", name)
	}
	return out, nil
}

// quantile interpolates within a bucket, as Prometheus does.
func (b buckets) quantile(q float64) float64 {
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
