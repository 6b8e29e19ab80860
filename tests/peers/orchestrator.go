package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/migrations/app"
)

const (
	hiveQueue  = "peers"
	hiveAgents = 20
	// hiveCapacity lets as many tasks be in hand as the window of the load has: so have the peers.
	hiveCapacity = windowTasks / hiveAgents
)

func orchestratorSpec() Spec {
	return Spec{
		Name: "orchestrator", About: "our universal-orchestrator as this checkout has it, submit, match, execute, result; archive to PostgreSQL on; 20 agents on one stream",
		Room: Tasks, Part: Ours, Batch: 500, Lanes: 4, New: func() Peer { return &orchestrator{} },
	}
}

type orchestrator struct {
	dir      string // of the replicas' token
	postgres *postgresServer
	service  *service
	client   *client.Client
}

// Start starts PostgreSQL, Redis and the orchestrator.
func (p *orchestrator) Start(ctx context.Context, env Env) (err error) {
	if p.postgres, err = startPostgres(ctx, env.Durability); err != nil {
		return err
	}
	if err := app.Up(ctx, p.postgres.dsn()); err != nil {
		return err
	}
	if p.dir, err = os.MkdirTemp("", "peers-token"); err != nil {
		return err
	}
	token := filepath.Join(p.dir, "token")
	if err := os.WriteFile(token, []byte(rand.Text()), 0o600); err != nil {
		return err
	}
	if p.service, err = startService(ctx, env, "orchestrator", "HIVE_POSTGRES_DSN="+p.postgres.dsn(), "HIVE_LEASE="+leaseTerm.String(),
		"HIVE_PEER_LISTEN=127.0.0.1:0", "HIVE_PEER_TOKEN_FILE="+token, "HIVE_TASK_MIB=512", "HIVE_JOURNAL_MIB=64"); err != nil {
		return err
	}
	p.client = client.New("http://"+p.service.base, nil)
	return nil
}

// Submit stores a batch in one call.
func (p *orchestrator) Submit(ctx context.Context, _ int, batch []Task) error {
	drafts := make([]*hivev1.Draft, len(batch))
	for i, t := range batch {
		drafts[i] = &hivev1.Draft{IdempotencyKey: string(t.Payload[:stampSize]), Queue: hiveQueue, Handler: "note", Payload: t.Payload}
	}
	outcomes, err := p.client.SubmitBatch(ctx, drafts)
	if err != nil {
		return err
	}
	if len(outcomes) != len(batch) {
		return fmt.Errorf("%d outcomes for %d drafts", len(outcomes), len(batch))
	}
	for _, o := range outcomes {
		if o.GetRefused() != "" {
			return fmt.Errorf("refused: %s: %s", o.GetRefused(), o.GetReason())
		}
	}
	return nil
}

// Consume runs the agents.
func (p *orchestrator) Consume(ctx context.Context, sink Sink) error {
	fleet := p.client.NewFleet(client.FleetConfig{Refused: func(_ string, err error) { sink.Fail(err) }, Log: quiet()})
	for i := range hiveAgents {
		w := &hiveAgent{sink: sink}
		err := fleet.Add(client.AgentConfig{
			ID: fmt.Sprint("agent", i), Capacity: hiveCapacity, Handle: w.handle, Done: w.done, Grace: stopMax,
		})
		if err != nil {
			return err
		}
	}
	return fleet.Run(ctx)
}

// hiveAgent keeps one agent's books. The client reports each execution's end
// without its name, so an accepted result is booked on any execution in hand: as
// each begins once and ends once, all of them are booked exactly once in the end,
// and one that ends badly fails the run.
type hiveAgent struct {
	sink Sink

	mu     sync.Mutex
	inHand []uint64
}

func (w *hiveAgent) handle(_ context.Context, a *hivev1.Assignment) ([]byte, error) {
	id := w.sink.Begin(a.GetPayload())
	w.mu.Lock()
	w.inHand = append(w.inHand, id)
	w.mu.Unlock()
	return nil, nil //nolint:nilnil // an empty result is what the peers have, too
}

func (w *hiveAgent) done(err error) {
	if err != nil {
		w.sink.Fail(fmt.Errorf("a result was not accepted: %w", err))
		return
	}
	w.mu.Lock()
	id := w.inHand[0]
	w.inHand = w.inHand[1:]
	w.mu.Unlock()
	w.sink.Done(id)
}

// Left is what the counters say is neither completed nor refused; a task
// that was executed twice or died counts, too.
func (p *orchestrator) Left(ctx context.Context) (int64, error) {
	stats, err := p.client.Stats(ctx, hiveQueue)
	if err != nil {
		return 0, err
	}
	t := stats.GetTotal()
	return int64(t.GetSubmitted()) - int64(t.GetCompleted()), nil
}

// Stop ends orchestrator, Redis and PostgreSQL.
func (p *orchestrator) Stop() error {
	return errors.Join(p.service.stop(), p.postgres.stop(), os.RemoveAll(p.dir))
}
