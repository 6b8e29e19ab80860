package assignment

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/home"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/peer"
	"github.com/leanvibe/hive/workers/assignment/placement"
	"github.com/leanvibe/hive/workers/assignment/route"
	"github.com/leanvibe/hive/workers/assignment/wire"
)

// maxWait bounds a long poll: below the proxies' usual read timeout of 60 s.
const maxWait = 30 * time.Second

// Finder looks tasks up that no partition keeps any more.
type Finder interface {
	Find(ctx context.Context, id partition.TaskID) (partition.Task, error)
}

// service is what REST and Connect share.
type service struct {
	name    string // of this replica among the others
	lease   time.Duration
	router  *route.Router
	keeper  *placement.Keeper
	home    *home.Home
	peers   func(address string) *peer.Client
	archive Finder
	metrics *metrics
	log     *slog.Logger

	// draining is closed when streams are to end; open counts those that have not.
	full     *fullness
	draining chan struct{}
	drain    sync.Once
	open     sync.WaitGroup
	streamMu sync.Mutex
	sessions map[string]*agentStream
}

// readMost bounds the reading of a task that was just stored, for its answer.
const readMost = 500 * time.Millisecond

// submit validates and stores one draft and answers it as it stands now.
func (s *service) submit(ctx context.Context, in *hivev1.Draft) (partition.Task, bool, error) {
	out, err := s.submitBatch(ctx, []*hivev1.Draft{in})
	if err == nil {
		err = out[0].Err
	}
	if err != nil {
		return partition.Task{}, false, err
	}
	// It is durable: a partition that moves just now must not hold the answer up.
	soon, cancel := context.WithTimeout(ctx, readMost)
	defer cancel()
	task, err := s.get(soon, out[0].Task.String())
	if err != nil && out[0].Duplicate {
		return partition.Task{}, true, &partition.BusyError{Reason: "the key names a task that cannot be read now: " + err.Error(), RetryAfter: time.Second}
	}
	if err != nil {
		// It is stored; only its newest state could not be read.
		s.log.Warn("read after submit failed", "task", out[0].Task, "error", err)
		draft, invalid := draftOf(in, time.Now())
		if invalid != nil {
			return partition.Task{}, false, invalid
		}
		task = partition.Task{Draft: *draft, Phase: partition.Waiting}
		task.ID = out[0].Task
	}
	return task, out[0].Duplicate, nil
}

// submitBatch stores what is valid of a batch, in one change of each partition that it
// touches; each draft has its own outcome. That a partition could not be reached is the
// outcome of its drafts.
func (s *service) submitBatch(ctx context.Context, in []*hivev1.Draft) ([]partition.Submitted, error) {
	if len(in) < 1 || len(in) > MaxBatch {
		return nil, invalid("drafts", "must be 1 to %d, are %d", MaxBatch, len(in))
	}
	if err := s.full.err(); err != nil {
		s.metrics.count("refused", len(in))
		return nil, err
	}
	out := make([]partition.Submitted, len(in))
	now := time.Now()
	parts := newParts[*partition.Draft](s.router.Partitions)
	for i, d := range in {
		draft, err := draftOf(d, now)
		if err != nil {
			out[i].Err = err
			continue
		}
		n := s.router.OfQueue(draft.Queue)
		route.Stamp(&draft.ID, n)
		parts.add(n, i, draft)
	}
	parts.each(func(n int, places []int, drafts []*partition.Draft) {
		stored, err := route.Ask(ctx, s.router, n, func(ctx context.Context, o route.Owner) ([]partition.Submitted, error) {
			return o.Submit(ctx, drafts)
		})
		for i, place := range places {
			if err != nil {
				out[place].Err = err
				continue
			}
			out[place] = stored[i]
		}
	})
	for i := range out {
		s.metrics.submitted(&out[i])
	}
	return out, nil
}

// get answers a task from its partition or the archive.
func (s *service) get(ctx context.Context, text string) (partition.Task, error) {
	return s.find(ctx, text, func(ctx context.Context, o route.Owner, id partition.TaskID) (partition.Task, error) {
		return o.Get(ctx, id)
	})
}

// wait answers the task when it has finished, or as it stands after the timeout.
func (s *service) wait(ctx context.Context, text string, timeout time.Duration) (partition.Task, error) {
	over := time.Now().Add(min(timeout, maxWait))
	return s.find(ctx, text, func(ctx context.Context, o route.Owner, id partition.TaskID) (partition.Task, error) {
		limited, cancel := context.WithDeadline(ctx, over)
		defer cancel()
		return o.Await(limited, id)
	})
}

func (s *service) find(ctx context.Context, text string, ask func(context.Context, route.Owner, partition.TaskID) (partition.Task, error)) (partition.Task, error) {
	id, n, err := s.place(text)
	if err == nil {
		var task partition.Task
		task, err = route.Ask(ctx, s.router, n, func(ctx context.Context, o route.Owner) (partition.Task, error) { return ask(ctx, o, id) })
		if !errors.Is(err, partition.ErrNotFound) {
			return task, err
		}
		return s.archive.Find(ctx, id)
	}
	return partition.Task{}, err
}

// place answers a task's id and its partition.
func (s *service) place(text string) (partition.TaskID, int, error) {
	id, ok := wire.ID(text)
	if !ok {
		return id, 0, partition.ErrNotFound
	}
	n, ok := s.router.OfTask(id)
	if !ok {
		return id, 0, partition.ErrNotFound
	}
	return id, n, nil
}

// change asks for a change of one task and answers it as it stands after.
func (s *service) change(ctx context.Context, text string, do func(context.Context, route.Owner, partition.TaskID) error) (partition.Task, error) {
	id, n, err := s.place(text)
	if err != nil {
		return partition.Task{}, err
	}
	return route.Ask(ctx, s.router, n, func(ctx context.Context, o route.Owner) (partition.Task, error) {
		if err := do(ctx, o, id); err != nil {
			return partition.Task{}, err
		}
		return o.Get(ctx, id)
	})
}

// cancel takes back a waiting task.
func (s *service) cancel(ctx context.Context, id string) (partition.Task, error) {
	return s.change(ctx, id, func(ctx context.Context, o route.Owner, id partition.TaskID) error { return o.Cancel(ctx, id) })
}

// redrive puts a dead letter back.
func (s *service) redrive(ctx context.Context, id string) (partition.Task, error) {
	return s.change(ctx, id, func(ctx context.Context, o route.Owner, id partition.TaskID) error { return o.Redrive(ctx, id) })
}

// explain says in English where a task stands; one that only the archive has is finished.
func (s *service) explain(ctx context.Context, text string) (string, partition.Phase, error) {
	id, n, err := s.place(text)
	if err != nil {
		return "", 0, err
	}
	task, err := s.get(ctx, text)
	if err != nil {
		return "", 0, err
	}
	said, err := route.Ask(ctx, s.router, n, func(ctx context.Context, o route.Owner) (string, error) { return o.Explain(ctx, id) })
	if errors.Is(err, partition.ErrNotFound) {
		return "It is " + task.Phase.String() + ", and only the archive has it.", task.Phase, nil
	}
	return said, task.Phase, err
}

// report ends executions, of any agents; each has its own outcome, in order.
func (s *service) report(ctx context.Context, in []*hivev1.CompleteRequest) []reported {
	out := make([]reported, len(in))
	parts := newParts[partition.Report](s.router.Partitions)
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
	parts.each(func(n int, places []int, reports []partition.Report) {
		verdicts, err := route.Ask(ctx, s.router, n, func(ctx context.Context, o route.Owner) ([]partition.Verdict, error) {
			return o.Report(ctx, reports)
		})
		for i, place := range places {
			if err != nil {
				out[place].err = err
				continue
			}
			out[place].verdict = verdicts[i]
			s.judged(&reports[i], &verdicts[i])
		}
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
	parts := newParts[partition.Execution](s.router.Partitions)
	for i, x := range wire.ExecutionsOf(in) {
		if n, ok := s.router.OfTask(x.Task); ok {
			parts.add(n, i, x)
		}
	}
	var mu sync.Mutex
	var released int
	var failed error
	parts.each(func(n int, _ []int, list []partition.Execution) {
		count, err := route.Ask(ctx, s.router, n, func(ctx context.Context, o route.Owner) (int, error) { return o.Release(ctx, agent, list) })
		mu.Lock()
		defer mu.Unlock()
		released += count
		failed = errors.Join(failed, err)
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

// stats answers the sum and each queue's counters, by name.
func (s *service) stats(ctx context.Context, queue string) (partition.Stats, []partition.Stats, error) {
	total := partition.Stats{Queue: queue}
	var all [][]partition.Stats
	var err error
	ask := func(ctx context.Context, o route.Owner) ([]partition.Stats, error) { return o.Stats(ctx) }
	switch {
	case queue == "":
		all, err = route.All(ctx, s.router, ask)
	case !namePattern.MatchString(queue):
		return total, nil, invalid("queue", nameForm)
	default:
		var one []partition.Stats
		one, err = route.Ask(ctx, s.router, s.router.OfQueue(queue), ask)
		all = [][]partition.Stats{one}
	}
	if err != nil {
		return total, nil, err
	}
	var out []partition.Stats
	for _, list := range all {
		for _, q := range list {
			if queue == "" || q.Queue == queue {
				out = append(out, q)
				total.Add(&q)
			}
		}
	}
	slices.SortFunc(out, func(a, b partition.Stats) int { return strings.Compare(a.Queue, b.Queue) })
	return total, out, nil
}
