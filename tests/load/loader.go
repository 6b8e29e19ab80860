package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Loader is running traffic. Start makes one, Stop ends it and reconciles.
type Loader struct {
	config  Config
	wire    *wire
	ledger  *ledger
	mix     *mix
	sockets *sockets
	held    *heldTask

	started time.Time
	phase   atomic.Value // Phase
	expect  atomic.Value // expectation

	stop     context.CancelFunc
	running  sync.WaitGroup // dispatcher, snapshots, held task
	inFlight sync.WaitGroup // requests
}

// expectation is the version that every answer must carry from a moment on.
type expectation struct {
	version string
	since   time.Time
}

// Start checks that the stack answers, opens connections and WebSockets, and begins. The traffic ends with ctx or Stop.
func Start(ctx context.Context, config Config) (*Loader, error) { return begin(ctx, config, Before) }

// begin is Start in a phase: from the first request on, which is due at once.
func begin(ctx context.Context, config Config, phase Phase) (*Loader, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	token, err := config.token()
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	l := &Loader{config: config, wire: newWire(config, token), ledger: newLedger(), mix: &mix{config: config}}
	l.held = &heldTask{config: config, wire: l.wire, mix: l.mix}
	l.phase.Store(phase)
	l.expect.Store(expectation{})
	if err := l.prepare(ctx); err != nil {
		l.wire.close()
		return nil, err
	}
	run, stop := context.WithCancel(ctx)
	l.stop = stop
	l.started = time.Now()
	l.running.Go(func() { l.dispatch(run) })
	l.running.Go(func() { l.held.renew(run) })
	if config.Progress != nil {
		l.running.Go(func() { l.report(run) })
	}
	return l, nil
}

// prepare has everything ready before the clock starts, so that the first second measures the server.
func (l *Loader) prepare(ctx context.Context) error {
	checked, cancel := context.WithTimeout(ctx, l.config.Timeout)
	defer cancel()
	if _, err := fetchCounters(checked, l.wire, l.config.queue()); err != nil {
		return fmt.Errorf("no load put on: %w; bring the stack up first: hive up", err)
	}
	if err := l.wire.warm(checked); err != nil {
		return fmt.Errorf("%s: %w", l.config.BaseURL, err)
	}
	if l.config.Slow > 0 {
		if err := l.held.submit(checked); err != nil {
			return err
		}
	}
	s, err := openSockets(ctx, l.config, l.wire.token)
	if err != nil {
		return err
	}
	l.sockets = s
	return nil
}

// Mark opens a phase: requests due from now on belong to it.
func (l *Loader) Mark(p Phase) {
	l.phase.Store(p)
}

// Expect says that every answer to a request due from now on must carry this version.
func (l *Loader) Expect(version string) {
	l.expect.Store(expectation{version: version, since: time.Now()})
}

// Stop ends the traffic, waits for what is under way, reconciles both ledgers and returns the totals. An error means
// that there is no verdict; what the verdict is, the result says (see Result.Err).
func (l *Loader) Stop(ctx context.Context) (*Result, error) {
	l.stop()
	l.running.Wait()
	duration := time.Since(l.started)
	l.inFlight.Wait()
	sockets := l.sockets.finish(ctx)
	defer l.wire.close()
	server, err := l.settle(ctx)
	if err != nil {
		return nil, fmt.Errorf("the server's side of the ledger: %w", err)
	}
	checked, err := l.checkTasks(ctx)
	if err != nil {
		return nil, fmt.Errorf("the server's side of the ledger: %w", err)
	}
	return l.result(duration, server, checked, sockets), nil
}

// Run puts the load on for a duration, without phases: all of it counts as During.
func Run(ctx context.Context, config Config, duration time.Duration) (*Result, error) {
	l, err := begin(ctx, config, During)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(duration):
	case <-ctx.Done():
	}
	// An interrupted run is still reconciled: its figures are the user's to see.
	return l.Stop(context.WithoutCancel(ctx))
}

// dispatch starts each request at its moment. Falling behind changes nothing: a late start counts into the latency.
func (l *Loader) dispatch(ctx context.Context) {
	interval := time.Second / time.Duration(l.config.Rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := int64(0); ; n++ {
		due := l.started.Add(time.Duration(n) * interval)
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
		} else if ctx.Err() != nil {
			return
		}
		phase, _ := l.phase.Load().(Phase)
		l.inFlight.Go(func() { l.ledger.add(l.send(n, due, phase)) })
	}
}

// send makes one request and judges its answer. Requests are not cut short by Stop: each gets its own deadline.
func (l *Loader) send(n int64, due time.Time, phase Phase) entry {
	class, r := l.mix.next(n)
	limit := l.config.Timeout
	if class == Slow {
		limit += l.config.SlowFor
	}
	ctx, cancel := context.WithDeadline(context.Background(), due.Add(limit))
	defer cancel()
	e := entry{class: class, phase: phase, key: r.key, due: due, lag: time.Since(due)}
	a, err := l.wire.do(ctx, r)
	e.latency = time.Since(due)
	e.status, e.instance, e.version = a.status, a.instance, a.version
	if err != nil {
		e.status, e.fault = 0, err.Error()
		return e
	}
	l.judge(&e, r, a)
	return e
}

// judge decides whether an answer counts as failed, from what it says and not only from its status.
func (l *Loader) judge(e *entry, r request, a answer) {
	if a.status != http.StatusOK && (e.class != Submit || a.status != http.StatusCreated) {
		e.fault = fmt.Sprintf("status %d", a.status)
		return
	}
	switch e.class {
	case Submit:
		e.task = taskID(a.body)
		if e.task == "" {
			e.fault = "acknowledged without a task id"
			return
		}
		l.mix.acknowledged(e.task)
	case Read, Slow:
		if id := taskID(a.body); id == "" || !bytes.Contains([]byte(r.target), []byte(id)) {
			e.fault = fmt.Sprintf("asked for %s, got task %q", r.target, id)
		}
	case Stats:
		if !json.Valid(a.body) {
			e.fault = "counters that are not JSON"
		}
	}
}

// taskID reads the id out of {"task":{"id":…}}; empty when there is none.
func taskID(body []byte) string {
	var reply struct {
		Task struct {
			ID string `json:"id"`
		} `json:"task"`
	}
	if json.Unmarshal(body, &reply) != nil {
		return ""
	}
	return reply.Task.ID
}

func (l *Loader) report(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			l.config.Progress(l.ledger.snapshot(now.Sub(l.started)))
		}
	}
}
