package main

import (
	"context"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// agentArgument makes the harness's own program an agent: one that can be stopped and
// go on later, not knowing of it.
const agentArgument = "agent"

// runAgent is that agent. It does not listen to what it has lost: it finishes, and then
// reports also by a call of its own, so that the server has late results to refuse.
func runAgent(url, id string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	late := newStubborn(url)
	return client.New(url, nil).NewAgent(client.AgentConfig{
		ID: id, Capabilities: []string{"echo", "sleep"}, Capacity: 8, Grace: time.Second, Log: slog.Default(),
		Handle: func(ctx context.Context, as *hivev1.Assignment) ([]byte, error) {
			began := time.Now()
			out, err := execute(context.WithoutCancel(ctx), as)
			if time.Since(began) > lease || ctx.Err() != nil {
				late.report(id, as.GetExecution())
			}
			return out, err
		},
	}).Run(ctx)
}
