package assignment

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/route"
	"github.com/leanvibe/hive/workers/assignment/wire"
)

// report ends executions, of any agents; each has its own outcome, in order.
func (s *service) report(ctx context.Context, in []*hivev1.CompleteRequest) []reported {
	out := make([]reported, len(in))
	parts := newParts[partition.Report](s.router.Partitions, len(in))
	for i, r := range in {
		if out[i].err = checkReport(r); out[i].err != nil {
			continue
		}
		report := wire.ReportOf(r)
		n, ok := s.router.OfTask(report.Task)
		if !ok {
			out[i].verdict = partition.Verdict{Reason: "no such task is kept"}
			continue
		}
		parts.add(n, i, report)
	}
	parts.each(func(n int, places []int, reports []partition.Report) route.Pending {
		begin := func(p *partition.Partition) func(context.Context) ([]partition.Verdict, error) {
			return p.BeginReport(reports)
		}
		do := func(ctx context.Context, o route.Owner) ([]partition.Verdict, error) { return o.Report(ctx, reports) }
		return route.Begin(ctx, s.router, n, begin, do, func(verdicts []partition.Verdict, err error) {
			for i, place := range places {
				if err != nil {
					out[place].err = err
					continue
				}
				out[place].verdict = verdicts[i]
				s.judged(&reports[i], &verdicts[i])
			}
		})
	})
	return out
}

// reported is what became of one report.
type reported struct {
	verdict partition.Verdict
	err     error
}

func (s *service) judged(r *partition.Report, v *partition.Verdict) {
	switch {
	case !v.Accepted:
		s.metrics.count("late_refused", 1)
		s.log.Warn("late result refused", "agent", r.Agent, "task", r.Task, "attempt", r.Attempt, "reason", v.Reason)
	case v.Duplicate:
	case r.Error != "" || r.Final:
		s.metrics.count("failed", 1)
	default:
		s.metrics.count("completed", 1)
	}
}

// beatMost bounds a heartbeat at one partition: it must not wait for one that moves until
// the agent has fallen silent at the others.
const beatMost = 2 * time.Second

// heartbeat renews what agents hold, everywhere, and answers what each does not hold any
// more. err says that some partition was not reached; the others were.
func (s *service) heartbeat(ctx context.Context, in []*hivev1.HeartbeatRequest) (lost [][]partition.Execution, err error) {
	lost = make([][]partition.Execution, len(in))
	beats := make([][]partition.Beat, s.router.Partitions)
	for n := range beats {
		beats[n] = make([]partition.Beat, len(in))
	}
	for i, b := range in {
		var c fieldCheck
		checkAgent(&c, b.GetAgentId())
		checkExecutions(&c, "held", b.GetHeld())
		if err := c.err(); err != nil {
			return nil, err
		}
		for n := range beats {
			beats[n][i].Agent = b.GetAgentId()
		}
		for _, x := range wire.ExecutionsOf(b.GetHeld()) {
			if n, ok := s.router.OfTask(x.Task); ok {
				beats[n][i].Held = append(beats[n][i].Held, x)
			} else {
				lost[i] = append(lost[i], x)
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, beatMost)
	defer cancel()
	var mu sync.Mutex
	var calls sync.WaitGroup
	for n := range beats {
		calls.Go(func() {
			answers, failed := route.Ask(ctx, s.router, n, func(ctx context.Context, o route.Owner) ([][]partition.Execution, error) {
				return o.Heartbeat(ctx, beats[n])
			})
			mu.Lock()
			defer mu.Unlock()
			for i, gone := range answers {
				lost[i] = append(lost[i], gone...)
			}
			if failed != nil && len(beats[n]) > 0 {
				err = failed
			}
		})
	}
	calls.Wait()
	return lost, err
}

// release gives executions back and answers how many were held.
func (s *service) release(ctx context.Context, agent string, in []*hivev1.Execution) (int, error) {
	var c fieldCheck
	checkAgent(&c, agent)
	checkExecutions(&c, "executions", in)
	if err := c.err(); err != nil {
		return 0, err
	}
	parts := newParts[partition.Execution](s.router.Partitions, len(in))
	for i, x := range wire.ExecutionsOf(in) {
		if n, ok := s.router.OfTask(x.Task); ok {
			parts.add(n, i, x)
		}
	}
	var mu sync.Mutex
	var released int
	var failed error
	parts.each(func(n int, _ []int, list []partition.Execution) route.Pending {
		return route.Pending{Wait: func() {
			count, err := route.Ask(ctx, s.router, n, func(ctx context.Context, o route.Owner) (int, error) { return o.Release(ctx, agent, list) })
			mu.Lock()
			defer mu.Unlock()
			released += count
			failed = errors.Join(failed, err)
		}}
	})
	s.metrics.count("released", released)
	return released, failed
}

// agents answers who is attached or holds something, by name.
func (s *service) agents(ctx context.Context) ([]partition.AgentInfo, error) {
	all, err := route.All(ctx, s.router, func(ctx context.Context, o route.Owner) ([]partition.AgentInfo, error) { return o.Agents(ctx) })
	if err != nil {
		return nil, err
	}
	byName := map[string]*partition.AgentInfo{}
	for _, list := range all {
		for _, a := range list {
			sum := byName[a.ID]
			if sum == nil {
				byName[a.ID] = &a
				continue
			}
			sum.Running += a.Running
			if a.Seen > sum.Seen || sum.Home == "" {
				sum.AgentSpec, sum.Home = a.AgentSpec, a.Home
			}
			sum.Seen = max(sum.Seen, a.Seen)
		}
	}
	out := make([]partition.AgentInfo, 0, len(byName))
	for _, a := range byName {
		out = append(out, *a)
	}
	slices.SortFunc(out, func(a, b partition.AgentInfo) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}
