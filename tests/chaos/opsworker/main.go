// Command opsworker is the product's opsworker with the chaos kit's killer outside of its own interceptors; the kit
// builds and starts it. HIVE_CHAOS_REFEREE is the unix socket of the referee.
package main

import (
	"context"

	"go.temporal.io/sdk/interceptor"

	"github.com/leanvibe/hive/tests/chaos/kill"
	"github.com/leanvibe/hive/workers/operations"
	"github.com/leanvibe/hive/workers/process"
)

func main() {
	process.Main("opsworker", "chaos", operations.Listen, func(ctx context.Context, p *process.Process) error {
		config, err := operations.FromEnv()
		if err != nil {
			return err
		}
		config.Interceptors = []interceptor.WorkerInterceptor{kill.New(process.String("HIVE_CHAOS_REFEREE", "referee.sock"))}
		return config.Setup(ctx, p)
	})
}
