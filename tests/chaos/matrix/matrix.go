// Package matrix kills at every step: each step type that writes at three points and each that reads at one, opsworker
// and Temporal, in every procedure. Every run must end as the run without kills did.
//
//	scenarios.go  the list of procedures    matrix.go  runs over the benches
//	steps.go      which steps write         judge.go   a run beside the one without kills
//	cells.go      kills, put into runs      table.go   out/chaos.json and the table
package matrix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/leanvibe/hive/tests/chaos/bench"
	"github.com/leanvibe/hive/tests/chaos/kill"
)

// Config is what the command line says.
type Config struct {
	// Dir is out/chaos of the project; File is out/chaos.json.
	Dir, File string
	// Images are those of the mini stack's stores, proxy and monitoring.
	Images map[string]string
	// Benches is how many mini stacks work side by side.
	Benches int
	Seed    uint64
	// All makes only the kills that the file lacks of this commit.
	All bool
	// Limit ends the kills: no run is begun later.
	Limit time.Duration
	// Only are names of scenarios; empty for all of them.
	Only []string
	// Step and Point narrow the kills down; empty for all.
	Step  string
	Point string
	// Commit is written into each row.
	Commit string
	Out    io.Writer
}

type matrix struct {
	Config
	mu         sync.Mutex
	rows       []Row
	references map[int]bench.Result
	began      time.Time
	left       int
	runs       int
	troubles   []error
}

// Run makes the kills and writes the file as it goes. The error says how many rows are not as they must be.
func Run(ctx context.Context, config Config) ([]Row, error) {
	m := &matrix{Config: config, references: map[int]bench.Result{}, began: time.Now()}
	known, err := Read(config.File)
	if err != nil {
		return nil, err
	}
	m.rows = slices.DeleteFunc(known, func(r Row) bool { return r.Commit != config.Commit })
	benches, err := m.open(ctx)
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
		defer cancel()
		for _, b := range benches {
			if err := b.Close(closing); err != nil {
				fmt.Fprintf(config.Out, "bench %d was not wholly removed: %v\n", b.Number(), err)
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	if err := m.refer(ctx, benches); err != nil {
		return nil, err
	}
	todo, err := m.todo()
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(config.Out, "%d runs with %d kills to make, seed %d\n", len(todo), count(todo), config.Seed)
	m.work(ctx, benches, todo)
	return m.rows, errors.Join(errors.Join(m.troubles...), m.verdict())
}

func count(all []batch) (n int) {
	for _, b := range all {
		n += len(b.cells)
	}
	return n
}

func (m *matrix) open(ctx context.Context) ([]*bench.Bench, error) {
	var all []*bench.Bench
	var errs []error
	var each sync.WaitGroup
	for n := range m.Benches {
		each.Go(func() {
			b, err := bench.Open(ctx, bench.Config{Number: n, Dir: m.Dir, Images: m.Images, Out: m.Out})
			m.mu.Lock()
			defer m.mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			all = append(all, b)
		})
	}
	each.Wait()
	return all, errors.Join(errs...)
}

// chosen says whether a scenario is asked for.
func (m *matrix) chosen(at int) bool {
	return len(m.Only) == 0 || slices.Contains(m.Only, Scenarios[at].Name)
}

// refer makes the runs without kills, one a scenario.
func (m *matrix) refer(ctx context.Context, benches []*bench.Bench) error {
	var all []batch
	for at := range Scenarios {
		if m.chosen(at) {
			all = append(all, batch{scenario: at})
		}
	}
	m.each(ctx, benches, all, func(ctx context.Context, b *bench.Bench, one batch) error {
		r, err := m.run(ctx, b, one)
		if err != nil {
			return err
		}
		r = unnumbered(r, b.Number())
		if r.Traffic.Failed > 0 || r.Traffic.Requests == 0 {
			return fmt.Errorf("%s without a kill: %d of %d requests failed (%s): nothing can be compared with it",
				Scenarios[one.scenario].Name, r.Traffic.Failed, r.Traffic.Requests, r.Traffic.First)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.references[one.scenario] = r
		fmt.Fprintf(m.Out, "%s without a kill: %s in %s, %d kinds of steps, %d requests %s\n",
			Scenarios[one.scenario].Name, r.Outcome, r.Took, len(r.Met), r.Traffic.Requests, r.Reason)
		return save(filepath.Join(m.Dir, "references", Scenarios[one.scenario].Name+".json"), r)
	})
	return errors.Join(m.troubles...)
}

// todo are the kills that are asked for and have no row yet.
func (m *matrix) todo() ([]batch, error) {
	random := rand.New(rand.NewPCG(m.Seed, 1))
	all, err := cells(m.references, random)
	if err != nil {
		return nil, err
	}
	done := map[string]bool{}
	for _, r := range m.rows {
		done[r.key()] = m.All
	}
	all = slices.DeleteFunc(all, func(c cell) bool {
		return done[m.row(c).key()] || m.Step != "" && c.order.Step != m.Step || m.Point != "" && string(c.order.Point) != m.Point
	})
	return batches(all, random), nil
}

func (m *matrix) row(c cell) Row {
	return Row{
		Procedure: c.order.Procedure, Step: c.order.Step, Point: c.order.Point, Victim: c.order.Victim, Commit: m.Commit, Seed: m.Seed,
		Expected: m.references[c.scenario].Outcome,
	}
}

// work makes the runs until the limit.
func (m *matrix) work(ctx context.Context, benches []*bench.Bench, todo []batch) {
	m.each(ctx, benches, todo, func(ctx context.Context, b *bench.Bench, one batch) error {
		if m.Limit > 0 && time.Since(m.began) > m.Limit {
			m.mu.Lock()
			m.left += len(one.cells)
			m.mu.Unlock()
			return nil
		}
		good, err := m.kill(ctx, b, one)
		if err != nil || good || len(one.cells) == 1 {
			return err
		}
		// Whose kill was it? Each once more, alone.
		harmless := true
		for _, c := range one.cells {
			good, err := m.kill(ctx, b, batch{one.scenario, []cell{c}})
			if err != nil {
				return err
			}
			harmless = harmless && good
		}
		if harmless {
			return fmt.Errorf("%s did not come out right with all of %v, though it did with each of them alone", Scenarios[one.scenario].Name, one.orders())
		}
		return nil
	})
}

// each hands the batches out to the benches, one at a time each.
func (m *matrix) each(ctx context.Context, benches []*bench.Bench, all []batch, do func(context.Context, *bench.Bench, batch) error) {
	next := make(chan batch, len(all))
	for _, b := range all {
		next <- b
	}
	close(next)
	var workers sync.WaitGroup
	for _, b := range benches {
		workers.Go(func() {
			for one := range next {
				if ctx.Err() != nil {
					return
				}
				if err := do(ctx, b, one); err != nil {
					m.mu.Lock()
					m.troubles = append(m.troubles, err)
					m.mu.Unlock()
					fmt.Fprintf(m.Out, "bench %d: %v\n", b.Number(), err)
				}
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		m.troubles = append(m.troubles, ctx.Err())
	}
}

// run makes one run from the same start as all others.
func (m *matrix) run(ctx context.Context, b *bench.Bench, one batch) (bench.Result, error) {
	s := Scenarios[one.scenario]
	if err := b.Reset(ctx, s.Start); err != nil {
		return bench.Result{}, err
	}
	return b.Run(ctx, func(ctx context.Context, c clientOf) (runOf, error) { return s.Run(ctx, c, b.Number()) }, one.orders(), nil)
}

// kill makes one run with kills, judges it, and writes its rows.
func (m *matrix) kill(ctx context.Context, b *bench.Bench, one batch) (good bool, err error) {
	r, err := m.run(ctx, b, one)
	if err != nil {
		return false, fmt.Errorf("%s with %v: %w", Scenarios[one.scenario].Name, one.orders(), err)
	}
	m.mu.Lock()
	m.runs++
	name := fmt.Sprintf("%03d", m.runs)
	m.mu.Unlock()
	j := judge(unnumbered(r, b.Number()), m.references[one.scenario])
	evidence := struct {
		Scenario string       `json:"scenario"`
		Orders   []kill.Order `json:"orders"`
		Verdict  judgement    `json:"verdict"`
		Result   bench.Result `json:"result"`
	}{Scenarios[one.scenario].Name, one.orders(), j, r}
	if err := save(filepath.Join(m.Dir, "runs", name+".json"), evidence); err != nil {
		return false, err
	}
	good = j.good() && len(r.Taken) == len(one.cells) && r.Trouble == ""
	if !good {
		if err := b.Keep(ctx, r, filepath.Join(m.Dir, "histories", name+".json")); err != nil {
			return false, err
		}
	}
	m.tell(name, b, one, r, j, good)
	if !good && len(one.cells) > 1 {
		return false, nil // each is made again alone, and has its row then
	}
	return good, m.keep(one, r, j, name)
}

func (m *matrix) tell(name string, b *bench.Bench, one batch, r bench.Result, j judgement, good bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mark := "ok"
	if !good {
		mark = "NOT OK"
	}
	fmt.Fprintf(m.Out, "run %s, bench %d: %s, %d of %d kills: %s in %s, %d of %d requests failed: %s\n",
		name, b.Number(), Scenarios[one.scenario].Name, len(r.Taken), len(one.cells), r.Outcome, r.Took, r.Traffic.Failed, r.Traffic.Requests, mark)
	if good {
		return
	}
	for _, o := range one.orders() {
		state := "made"
		if !slices.Contains(r.Taken, o) {
			state = "not met"
		}
		fmt.Fprintf(m.Out, "    %s (%s)\n", o, state)
	}
	for _, line := range j.lines() {
		fmt.Fprintf(m.Out, "    %s\n", line)
	}
	if r.Reason != "" || r.Trouble != "" || r.Traffic.First != "" {
		fmt.Fprintf(m.Out, "    reason: %s; trouble: %s; first failed request: %s\n", r.Reason, r.Trouble, r.Traffic.First)
	}
}

// keep writes the rows of a run's kills.
func (m *matrix) keep(one batch, r bench.Result, j judgement, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range one.cells {
		row := m.row(c)
		row.Outcome, row.CensusEqual, row.FailedRequests, row.DuplicateEffects, row.Run = r.Outcome, j.censusEqual(), r.Traffic.Failed, j.duplicates(), name
		if !slices.Contains(r.Taken, c.order) {
			row.Outcome = "not killed: the run did not meet the step"
		}
		m.rows = slices.DeleteFunc(m.rows, func(old Row) bool { return old.key() == row.key() })
		m.rows = append(m.rows, row)
	}
	return write(m.File, m.rows)
}

// verdict is an error where a row is not as it must be, or nothing was killed.
func (m *matrix) verdict() error {
	bad := 0
	for _, r := range m.rows {
		if !r.Good() {
			bad++
		}
	}
	if m.left > 0 {
		fmt.Fprintf(m.Out, "%d kills are left for another time: make chaos ALL=1 adds them\n", m.left)
	}
	switch {
	case m.runs == 0 && !m.All:
		return errors.New("nobody was killed, so nothing is proved")
	case bad > 0:
		return fmt.Errorf("%d of %d kills changed how a run ended; see out/chaos/runs", bad, len(m.rows))
	}
	return nil
}
