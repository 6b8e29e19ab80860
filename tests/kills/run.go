package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/leanvibe/hive/api/client"
)

// options are the flags.
type options struct {
	bin, dir   string
	kills      int
	rate       int
	journalMiB int
	wait       int
	seed       uint64
	verbose    bool
}

const (
	progressMost = 2 * time.Minute
	settleMost   = 2 * time.Minute
	mailMost     = 30 * time.Second
)

// run harms one victim as often as was asked, and judges.
func run(ctx context.Context, v victim, o options) (Row, error) {
	rng := rand.New(rand.NewPCG(o.seed, uint64(len(v.name))))
	dir := filepath.Join(o.dir, v.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Row{}, err
	}
	file, err := os.Create(filepath.Join(dir, "harness.log"))
	if err != nil {
		return Row{}, err
	}
	defer file.Close()
	log := slog.New(slog.NewTextHandler(file, nil))

	want := wants{bin: o.bin, dir: dir, orchestrators: 2, spares: v.spares, journalMiB: o.journalMiB, wait: o.wait, views: v.views, agent: v.agent, behind: v.behind, log: log}
	if v.spares > 0 {
		want.orchestrators = 1
	}
	w, err := newWorld(ctx, want)
	if err != nil {
		return Row{}, fmt.Errorf("%w\n%s", err, tailsOf(w))
	}
	defer w.close()
	l := w.startLoad(ctx, o)
	defer l.stopAgents()
	defer l.stopSubmits()
	m, err := w.startMail(ctx, fmt.Sprintf("%x-", o.seed))
	if err != nil {
		return Row{}, err
	}
	defer m.stopReads()
	defer m.stopSends()

	harms, stuck := w.harmAll(ctx, v, o, rng)
	if ctx.Err() != nil {
		return Row{}, errInterrupted
	}
	w.phase("settling")
	over := time.Now()
	l.stopSubmits()
	m.stopSends()
	if err := w.settle(ctx); err != nil {
		w.failed(err.Error())
	}
	l.stopAgents()
	m.stopReads()
	evidence, err := w.evidence(ctx)
	if ctx.Err() != nil {
		return Row{}, errInterrupted
	}
	if err != nil {
		return Row{}, fmt.Errorf("%w\n%s", err, w.tails(10))
	}
	row := newRow(v, o, evidence, harms, w.phases, over)
	if stuck != nil {
		row.Stuck = stuck.Error()
	}
	return row, nil
}

var errInterrupted = errors.New("interrupted: nothing was judged")

func tailsOf(w *world) string {
	if w == nil {
		return ""
	}
	return w.tails(5)
}

// harm is one kill.
type harm struct {
	at   time.Time
	what string
}

// harmAll waits for the load to flow, harms at random moments, and each time waits for
// the load to flow again. It ends early when it does not.
func (w *world) harmAll(ctx context.Context, v victim, o options, rng *rand.Rand) (harms []harm, err error) {
	if err := w.flows(ctx, "at the start"); err != nil {
		return nil, err
	}
	for n := range o.kills {
		if err := pause(ctx, 200*time.Millisecond+upTo(rng, 1300*time.Millisecond)); err != nil {
			return harms, err
		}
		at := time.Now()
		what, err := v.harm(ctx, w, rng)
		harms = append(harms, harm{at, what})
		w.log.Info("harmed", "n", n+1, "what", what, "error", err)
		if o.verbose {
			fmt.Printf("%s  %s %d/%d: %s (%s)\n", clock(at), v.name, n+1, o.kills, what, time.Since(at).Round(time.Millisecond))
		}
		if err != nil {
			return harms, fmt.Errorf("after kill %d (%s): %w", n+1, what, err)
		}
		if err := w.flows(ctx, fmt.Sprintf("after kill %d (%s)", n+1, what)); err != nil {
			return harms, err
		}
	}
	return harms, nil
}

// flows waits until submits of every queue, results and messages go on.
func (w *world) flows(ctx context.Context, when string) error {
	a, b, c := w.progress()
	now := time.Now()
	return until(ctx, progressMost, "the load flows "+when, func() bool {
		x, y, z := w.progress()
		return x > a+20 && y > b+10 && z > c+5 && w.since(now) == queues
	})
}

// settle waits until nothing is left to be done.
func (w *world) settle(ctx context.Context) error {
	c := client.New(w.tasks.url, nil)
	err := until(ctx, settleMost, "every task is finished", func() bool {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		s, err := c.Stats(limited, "")
		return err == nil && s.GetTotal().GetWaiting() == 0 && s.GetTotal().GetRunning() == 0
	})
	if err != nil {
		return err
	}
	return until(ctx, mailMost, "every stored message has come", func() bool { return w.undelivered() == 0 })
}

// evidence gathers what is judged.
func (w *world) evidence(ctx context.Context) (Evidence, error) {
	e := Evidence{Records: w.take()}
	var err error
	if e.Journal, e.Whole, err = w.journal(ctx); err != nil {
		return e, err
	}
	e.Final = w.finals(ctx, e.Submits)
	return e, nil
}

const (
	// askers is how many ask at a time.
	askers = 16
	// finalsMost bounds all questions: who is not answered by then counts as lost.
	finalsMost = 10 * time.Minute
)

// finals asks the service for every task that was acknowledged.
func (w *world) finals(ctx context.Context, submits []Submit) map[string]Final {
	ctx, cancel := context.WithTimeout(ctx, finalsMost)
	defer cancel()
	c := client.New(w.tasks.url, nil)
	ids := make(chan string)
	out := map[string]Final{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for range askers {
		asking.Go(func() {
			for id := range ids {
				f := final(ctx, c, id)
				mu.Lock()
				out[id] = f
				mu.Unlock()
			}
		})
	}
	asked := map[string]bool{}
	for _, s := range submits {
		if s.Err == "" && !asked[s.Task] {
			asked[s.Task] = true
			ids <- s.Task
		}
	}
	close(ids)
	asking.Wait()
	return out
}

const finalMost = 30 * time.Second

func final(ctx context.Context, c *client.Client, id string) Final {
	ctx, cancel := context.WithTimeout(ctx, finalMost)
	defer cancel()
	t, err := c.Get(ctx, id)
	if err != nil {
		return Final{Err: err.Error()}
	}
	return finalOf(t)
}
