package whole

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/tests/chaos/kill"
	"github.com/leanvibe/hive/workers/operations/follow"
)

// Kill is one that was made.
type Kill struct {
	Victim kill.Victim `json:"victim"`
	// Phase is what the run said it was at, last it was asked.
	Phase string    `json:"phase"`
	At    time.Time `json:"at"`
}

const (
	platform = "hive-platform"
	// gapMin and gapMax are the random time between two kills, counted from the first one's cure.
	gapMin = 2 * time.Second
	gapMax = 18 * time.Second
	// upMin is how long a victim must have been up before it dies again: the engine waits ever longer before it
	// restarts what keeps dying at once.
	upMin = 11 * time.Second
)

var services = map[kill.Victim]string{kill.OpsWorker: "opsworker", kill.Temporal: "temporal", kill.Database: "ledger"}

// killWhile kills at random moments until the run has ended or the number is reached.
func (w *whole) killWhile(ctx context.Context, random *rand.Rand, kills int, run client.WorkflowRun) []Kill {
	var out []Kill
	victims := []kill.Victim{kill.OpsWorker, kill.Temporal, kill.Database}
	phase := "at its beginning"
	for len(out) < kills {
		gap, victim := gapMin+time.Duration(random.Int64N(int64(gapMax-gapMin))), victims[random.IntN(len(victims))]
		if !w.pause(ctx, gap, run) {
			return out
		}
		if p, err := follow.Ask(ctx, w.temporal, run.GetID(), run.GetRunID()); err == nil {
			phase = p.Phase
		}
		if err := w.kill(ctx, victim); err != nil {
			fmt.Fprintf(w.Out, "%s was not killed: %v\n", victim, err)
			continue
		}
		out = append(out, Kill{victim, phase, time.Now()})
	}
	return out
}

// pause waits; false when the run ended meanwhile.
func (w *whole) pause(ctx context.Context, long time.Duration, run client.WorkflowRun) bool {
	over := time.NewTimer(long)
	defer over.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-over.C:
			return true
		case <-tick.C:
			d, err := w.temporal.DescribeWorkflowExecution(ctx, run.GetID(), run.GetRunID())
			if err == nil && d.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
				return false
			}
		}
	}
}

// kill ends the victim's process with SIGKILL from outside, as the kernel would, once it has been up for long enough.
// (Told to kill a container, the engine would not start it again.)
func (w *whole) kill(ctx context.Context, victim kill.Victim) error {
	list, err := w.api.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(
		filters.Arg("label", projectLabel+"="+platform), filters.Arg("label", "com.docker.compose.service="+services[victim]))})
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return fmt.Errorf("%d containers of %s run", len(list), services[victim])
	}
	return until(ctx, 2*time.Minute, string(victim)+"'s being up", func(ctx context.Context) error {
		c, err := w.api.ContainerInspect(ctx, list[0].ID)
		if err != nil {
			return err
		}
		started, err := time.Parse(time.RFC3339Nano, c.State.StartedAt)
		if err != nil {
			return err
		}
		if !c.State.Running || c.State.Pid <= 1 || time.Since(started) < upMin {
			return errors.New("it has only just been started")
		}
		return syscall.Kill(c.State.Pid, syscall.SIGKILL)
	})
}
