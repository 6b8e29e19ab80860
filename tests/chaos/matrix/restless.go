package matrix

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/leanvibe/hive/tests/chaos/bench"
	"github.com/leanvibe/hive/tests/chaos/kill"
)

const (
	// restMin and restMax are the random time between a cure and the next kill.
	restMin = time.Second
	restMax = 9 * time.Second
)

// longest is the scenario that everything happens in.
const longest = "week"

// Restless runs the longest scenario on a mini stack whose engine dies too: at random moments of it, like opsworker and
// Temporal. It must be called in a network namespace of its own, see bench.Enter.
func Restless(ctx context.Context, config Config, runs, kills int) (rows []Row, err error) {
	m := &matrix{Config: config, references: map[int]bench.Result{}, began: time.Now()}
	engine, err := bench.StartEngine(ctx, config.Dir, config.Images, config.Out)
	closing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer func() {
		bounded, done := context.WithTimeout(closing, time.Minute)
		defer done()
		err = errors.Join(err, engine.Stop(bounded))
	}()
	if err != nil {
		return nil, err
	}
	b, err := bench.Open(ctx, bench.Config{Number: 0, Dir: config.Dir, Images: config.Images, Engine: engine, Out: config.Out})
	if err != nil {
		return nil, err
	}
	defer func() {
		bounded, done := context.WithTimeout(closing, 2*time.Minute)
		defer done()
		err = errors.Join(err, b.Close(bounded))
	}()
	at := slices.IndexFunc(Scenarios, func(s Scenario) bool { return s.Name == longest })
	reference, err := m.run(ctx, b, batch{scenario: at})
	if err != nil {
		return nil, err
	}
	reference = unnumbered(reference, 0)
	fmt.Fprintf(config.Out, "%s without a kill: %s in %s, %d of %d requests failed %s\n",
		Scenarios[at].Name, reference.Outcome, reference.Took, reference.Traffic.Failed, reference.Traffic.Requests, reference.Reason)
	random := rand.New(rand.NewPCG(config.Seed, 3))
	for n, left := 1, kills; n <= runs && ctx.Err() == nil && (config.Limit == 0 || time.Since(m.began) < config.Limit); n++ {
		made, r, err := m.restless(ctx, b, at, rand.New(rand.NewPCG(random.Uint64(), random.Uint64())), (left+runs-n)/(runs-n+1))
		if err != nil {
			return rows, err
		}
		left -= len(made)
		j := judge(unnumbered(r, 0), reference)
		name := fmt.Sprintf("engine-%02d", n)
		evidence := struct {
			Kills   []kill.Victim `json:"kills"`
			Verdict judgement     `json:"verdict"`
			Result  bench.Result  `json:"result"`
		}{made, j, r}
		if err := save(filepath.Join(config.Dir, "runs", name+".json"), evidence); err != nil {
			return rows, err
		}
		fmt.Fprintf(config.Out, "%s: %d kills %v: %s in %s, %d of %d requests failed %s: %s\n",
			name, len(made), made, r.Outcome, r.Took, r.Traffic.Failed, r.Traffic.Requests, r.Traffic.First, word(j.good()))
		if !j.good() {
			for _, line := range j.lines() {
				fmt.Fprintf(config.Out, "    %s\n", line)
			}
			fmt.Fprintf(config.Out, "    reason: %s\n", r.Reason)
			if err := b.Keep(ctx, r, filepath.Join(config.Dir, "histories", name+".json")); err != nil {
				return rows, err
			}
		}
		for i, victim := range made {
			rows = append(rows, Row{
				Procedure: "WeeklyMaintenance", Step: "on the mini stack", Point: Random, Victim: victim, Outcome: r.Outcome, Expected: reference.Outcome,
				CensusEqual: j.censusEqual(), FailedRequests: r.Traffic.Failed, DuplicateEffects: j.duplicates(), Commit: config.Commit,
				Seed: config.Seed, Run: fmt.Sprintf("%s#%d", name, i+1),
			})
		}
	}
	return rows, ctx.Err()
}

func word(good bool) string {
	if good {
		return "ok"
	}
	return "NOT OK"
}

// restless is one run in which somebody dies every few seconds, until the number of kills is reached.
func (m *matrix) restless(ctx context.Context, b *bench.Bench, at int, random *rand.Rand, kills int) (made []kill.Victim, r bench.Result, err error) {
	s := Scenarios[at]
	if err := b.Reset(ctx, s.Start); err != nil {
		return nil, r, err
	}
	var mu sync.Mutex
	victims := []kill.Victim{kill.Engine, kill.OpsWorker, kill.Temporal}
	r, err = b.Run(ctx, func(ctx context.Context, c clientOf) (runOf, error) { return s.Run(ctx, c, b.Number()) }, nil, func(running context.Context) {
		for range kills {
			gap, victim := restMin+time.Duration(random.Int64N(int64(restMax-restMin))), victims[random.IntN(len(victims))]
			select {
			case <-running.Done():
				return
			case <-time.After(gap):
			}
			if b.Kill(running, victim) == nil {
				mu.Lock()
				made = append(made, victim)
				mu.Unlock()
			}
			if b.Ready(running) != nil {
				return // the run has ended meanwhile
			}
		}
	})
	return made, r, err
}
