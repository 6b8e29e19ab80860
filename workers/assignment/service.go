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

	standing standing

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
		task = partition.Task{Phase: partition.Waiting}
		if invalid := checkDraft(&task.Draft, in, time.Now()); invalid != nil {
			return partition.Task{}, false, invalid
		}
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
	size := 0
	for _, d := range in {
		size += len(d.GetPayload())
	}
	if err := s.full.admit(size); err != nil {
		s.metrics.count("refused", len(in))
		return nil, err
	}
	out := make([]partition.Submitted, len(in))
	now := time.Now()
	parts := newParts[*partition.Draft](s.router.Partitions, len(in))
	all := make([]partition.Draft, len(in))
	for i, d := range in {
		draft := &all[i]
		if out[i].Err = checkDraft(draft, d, now); out[i].Err != nil {
			continue
		}
		n := s.router.OfQueue(draft.Queue)
		route.Stamp(&draft.ID, n)
		parts.add(n, i, draft)
	}
	parts.each(func(n int, places []int, drafts []*partition.Draft) route.Pending {
		begin := func(p *partition.Partition) func(context.Context) ([]partition.Submitted, error) {
			return p.BeginSubmit(drafts)
		}
		do := func(ctx context.Context, o route.Owner) ([]partition.Submitted, error) {
			if _, here := o.(route.Local); !here {
				s.metrics.count("forwarded", len(drafts))
			}
			return o.Submit(ctx, drafts)
		}
		return route.Begin(ctx, s.router, n, begin, do, func(stored []partition.Submitted, err error) {
			for i, place := range places {
				if err != nil {
					out[place].Err = err
					continue
				}
				out[place] = stored[i]
			}
		})
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

// stats answers the sum and each queue's counters, by name.
func (s *service) stats(ctx context.Context, queue string) (partition.Stats, []partition.Stats, error) {
	total := partition.Stats{Queue: queue}
	var all [][]partition.Stats
	var err error
	ask := func(ctx context.Context, o route.Owner) ([]partition.Stats, error) { return o.Stats(ctx) }
	switch {
	case queue == "":
		all, err = route.All(ctx, s.router, ask)
	case !isName(queue):
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
