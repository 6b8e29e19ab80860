package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

const (
	queues = 8
	// answerMost is how long a client waits for one call: what is not answered by then is
	// an error that it sees.
	answerMost = 90 * time.Second
	inFlight   = 4000
	// attemptsMost is high: executions are lost all the time, and no task may die of it.
	attemptsMost = 100
)

// load submits tasks at a rate, whether or not they are answered, and executes them.
type load struct {
	*world
	run    string // begins keys, so that no two runs share one
	pad    []byte // makes payloads larger, so that small journals are full soon
	submit context.CancelFunc
	agents context.CancelFunc
	open   sync.WaitGroup // submits
	work   sync.WaitGroup // agents
}

// padding is how much is put to a payload where snapshots are to be taken.
const padding = 2 << 10

// startLoad submits o.rate tasks a second, and runs agents of all three kinds: one stream
// each, a fleet on one stream, and (in w) engines.
func (w *world) startLoad(ctx context.Context, o options) *load {
	l := &load{world: w, run: fmt.Sprintf("%x-", o.seed)}
	if o.journalMiB < journalWhole {
		l.pad = make([]byte, padding)
	}
	submitting, stopSubmit := context.WithCancel(ctx)
	working, stopAgents := context.WithCancel(ctx)
	l.submit, l.agents = stopSubmit, stopAgents
	c := client.New(w.tasks.url, nil)
	submitter := c.NewSubmitter(client.SubmitterConfig{Log: w.log})
	l.open.Go(func() { l.submits(submitting, c, submitter, o.rate, rand.New(rand.NewPCG(o.seed, 1))) })
	for i := range 3 {
		name := fmt.Sprint("single-", i+1)
		agent := c.NewAgent(l.agent(name, 6))
		l.work.Go(func() { l.check(name, agent.Run(working)) })
	}
	fleet := c.NewFleet(client.FleetConfig{Log: w.log, Refused: func(id string, err error) { l.failed("agent " + id + ": " + err.Error()) }})
	for i := range 6 {
		if err := fleet.Add(l.agent(fmt.Sprint("fleet-", i+1), 4)); err != nil {
			l.failed(err.Error())
		}
	}
	l.work.Go(func() { l.check("fleet", fleet.Run(working)) })
	return l
}

func (l *load) check(who string, err error) {
	if err != nil {
		l.failed(who + ": " + err.Error())
	}
}

// stopSubmits submits no more and waits for the answers to all.
func (l *load) stopSubmits() {
	l.submit()
	l.open.Wait()
}

// stopAgents ends the agents.
func (l *load) stopAgents() {
	l.agents()
	l.work.Wait()
}

func (l *load) submits(ctx context.Context, c *client.Client, s *client.Submitter, rate int, rng *rand.Rand) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	slots := make(chan struct{}, inFlight)
	var answers sync.WaitGroup
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			answers.Wait()
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerMost)
			defer cancel()
			l.check("submitter", s.Close(closing))
			return
		case <-tick.C:
		}
		select {
		case slots <- struct{}{}:
		default:
			continue // the client's own bound, not an error of the service
		}
		draft := l.draft(n, rng)
		answers.Go(func() {
			defer func() { <-slots }()
			l.one(context.WithoutCancel(ctx), c, s, n, draft)
		})
	}
}

// draft is the n-th: most are short, some sleep, some fail at first.
func (l *load) draft(n int, rng *rand.Rand) *hivev1.Draft {
	d := &hivev1.Draft{
		IdempotencyKey: l.run + fmt.Sprint(n), Queue: fmt.Sprint("queue-", n%queues), MaxAttempts: attemptsMost,
		Priority: uint32(rng.IntN(10)), Handler: "echo", Payload: append(fmt.Append(nil, l.run, n), l.pad...),
	}
	switch p := rng.IntN(100); {
	case p < 5:
		d.Handler, d.Payload = "sleep", fmt.Append(nil, time.Second+upTo(rng, 2*time.Second))
	case p < 30:
		d.Handler, d.Payload = "sleep", fmt.Append(nil, 20*time.Millisecond+upTo(rng, 200*time.Millisecond))
	case p < 35:
		d.Handler = "flaky" // engines do not have it
	}
	d.Capabilities = []string{d.Handler}
	return d
}

// one submits by call or by stream. One in twenty is submitted a second time, as by a
// client that forgot that it had: the same task must answer.
func (l *load) one(ctx context.Context, c *client.Client, s *client.Submitter, n int, d *hivev1.Draft) {
	ctx, cancel := context.WithTimeout(ctx, answerMost)
	defer cancel()
	tries := 1
	if n%20 == 0 {
		tries = 2
	}
	for try := range tries {
		rec := Submit{Key: d.GetIdempotencyKey(), Queue: d.GetQueue(), At: time.Now()}
		var err error
		if (n+try)%2 == 0 {
			var r client.Receipt
			r, err = s.Submit(ctx, d)
			rec.Task = r.TaskID
		} else {
			var r client.Submitted
			r, err = c.Submit(ctx, d)
			rec.Task = r.Task.GetId()
		}
		rec.Answered = time.Now()
		if err != nil {
			rec.Err = err.Error()
		}
		l.recorder.submit(rec)
	}
}

// agent is one that records what it does, and that reports even what it has lost, as an
// agent would that does not listen: that must be refused.
func (l *load) agent(id string, capacity int) client.AgentConfig {
	stubborn := newStubborn(l.tasks.url)
	return client.AgentConfig{
		ID: id, Capabilities: []string{"echo", "sleep", "flaky"}, Capacity: capacity, Grace: 5 * time.Second, Log: l.log,
		Handle: func(ctx context.Context, as *hivev1.Assignment) ([]byte, error) {
			x := as.GetExecution()
			rec := Handled{Task: x.GetTaskId(), Attempt: int(x.GetAttempt()), Agent: id, Begin: time.Now()}
			out, err := execute(ctx, as)
			rec.End = time.Now()
			l.handled(rec)
			if errors.Is(context.Cause(ctx), client.ErrLost) {
				stubborn.report(id, x)
			}
			return out, err
		},
	}
}

var errFlaky = errors.New("fails at first, as asked")

// execute does what the engines' handlers of the same names do.
func execute(ctx context.Context, as *hivev1.Assignment) ([]byte, error) {
	switch as.GetHandler() {
	case "sleep":
		d, err := time.ParseDuration(string(as.GetPayload()))
		if err != nil {
			return nil, client.Final(err)
		}
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case "flaky":
		if as.GetExecution().GetAttempt() == 1 {
			return nil, errFlaky
		}
	}
	return as.GetPayload(), nil
}

// newHTTP is a client's own connections.
func newHTTP() *http.Client { return &http.Client{Transport: client.NewTransport()} }
