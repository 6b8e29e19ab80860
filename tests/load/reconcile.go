package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// checkers is how many tasks are looked up side by side after the run.
const checkers = 16

// counters are the server's ledger of one queue, as GET /v1/stats answers it.
type counters struct {
	Queue string `json:"queue"`
	ServerSide
}

// fetchCounters reads the server's ledger of one queue.
func fetchCounters(ctx context.Context, w *wire, queue string) (counters, error) {
	a, err := w.do(ctx, request{method: http.MethodGet, target: "/v1/stats?queue=" + url.QueryEscape(queue)})
	if err != nil {
		return counters{}, fmt.Errorf("GET /v1/stats: %w", err)
	}
	if a.status != http.StatusOK {
		return counters{}, fmt.Errorf("GET /v1/stats: status %d: %.200s", a.status, a.body)
	}
	var c counters
	if err := json.Unmarshal(a.body, &c); err != nil {
		return counters{}, fmt.Errorf("GET /v1/stats: %w: %.200s", err, a.body)
	}
	if c.Queue != queue {
		return counters{}, fmt.Errorf("GET /v1/stats: asked for queue %s, got %.200s", queue, a.body)
	}
	return c, nil
}

// settle waits until the server has nothing of this run left to do, and returns its counters then. Tasks that never end
// are no error here: the counters of the last look are returned, and the reconciliation names them.
func (l *Loader) settle(ctx context.Context) (counters, error) {
	ctx, cancel := context.WithTimeout(ctx, l.config.Settle)
	defer cancel()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	var last counters
	var failure error
	seen := false
	for {
		bounded, done := context.WithTimeout(ctx, l.config.Timeout)
		now, err := fetchCounters(bounded, l.wire, l.config.queue())
		done()
		if err == nil {
			last, seen = now, true
			if now.Waiting+now.Running == 0 {
				return now, nil
			}
		} else if ctx.Err() == nil {
			failure = err
		}
		select {
		case <-ctx.Done():
			if !seen {
				return counters{}, errors.Join(errors.New("no counters within the settling time"), failure)
			}
			return last, nil
		case <-ticker.C:
		}
	}
}

// taskCheck is what the look at each acknowledged task found.
type taskCheck struct {
	looked int64
	lost   []string // acknowledged, and absent, unfinished or somebody else's
}

// checkTasks looks every acknowledged task up. Keys that were given the same task count as lost: one of them has none.
func (l *Loader) checkTasks(ctx context.Context) (taskCheck, error) {
	var check taskCheck
	var mu sync.Mutex
	var failure error
	work := make(chan entry)
	var group sync.WaitGroup
	for range checkers {
		group.Go(func() {
			for e := range work {
				lost, err := l.lookUp(ctx, e)
				mu.Lock()
				check.looked++
				failure = errors.Join(failure, err)
				if lost != "" {
					check.lost = append(check.lost, lost)
				}
				mu.Unlock()
			}
		})
	}
	owner := map[string]string{}
	var shared []string
	for _, e := range l.ledger.entries {
		if e.class != Submit || e.fault != "" {
			continue
		}
		if first, taken := owner[e.task]; taken {
			shared = append(shared, fmt.Sprintf("%s: was given task %s of key %s", e.key, e.task, first))
			continue
		}
		owner[e.task] = e.key
		work <- e
	}
	close(work)
	group.Wait()
	check.lost = append(check.lost, shared...)
	return check, failure
}

// storedTask is the part of GET /v1/tasks/{id} that the reconciliation needs.
type storedTask struct {
	Task struct {
		ID    string `json:"id"`
		Key   string `json:"idempotency_key"`
		State string `json:"state"`
		Error string `json:"error"`
	} `json:"task"`
}

// lookUp says why a task counts as lost, or "". An error is a question that stayed without an answer.
func (l *Loader) lookUp(ctx context.Context, e entry) (string, error) {
	var a answer
	var err error
	for range 3 { // questions, not traffic: they may be asked again
		bounded, cancel := context.WithTimeout(ctx, l.config.Timeout)
		a, err = l.wire.do(bounded, request{method: http.MethodGet, target: "/v1/tasks/" + e.task})
		cancel()
		if err == nil && a.status < http.StatusInternalServerError {
			break
		}
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("task %s: %w", e.task, err)
	case a.status == http.StatusNotFound:
		return fmt.Sprintf("%s: acknowledged as task %s, which the server does not know", e.key, e.task), nil
	case a.status != http.StatusOK:
		return "", fmt.Errorf("task %s: status %d", e.task, a.status)
	}
	var stored storedTask
	if err := json.Unmarshal(a.body, &stored); err != nil {
		return "", fmt.Errorf("task %s: %w", e.task, err)
	}
	switch {
	case stored.Task.Key != e.key:
		return fmt.Sprintf("%s: acknowledged as task %s, which belongs to key %q", e.key, e.task, stored.Task.Key), nil
	case stored.Task.State != "completed":
		return fmt.Sprintf("%s: task %s ended as %q %s", e.key, e.task, stored.Task.State, stored.Task.Error), nil
	}
	return "", nil
}
