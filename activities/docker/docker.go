// Package docker is the hand on the container engine: it counts, creates, watches,
// stops and removes the containers of one Compose project, and looks after its
// images. What it makes carries Compose's own labels and configuration hash, so
// that plain `docker compose` takes it for its own; what Compose can say and this
// hand cannot translate is refused by name and never dropped.
package docker

import (
	"context"
	"path/filepath"
	"time"

	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
	"go.temporal.io/sdk/activity"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Hand acts on the engine for one project.
type Hand struct {
	// API is the engine, as Open answers it.
	API client.APIClient
	// ProjectDir is the absolute project root.
	ProjectDir string
	// ComposeFiles answers the absolute paths of the stack's files, in the order in
	// which they are merged: the labels of replicas name them.
	ComposeFiles func() ([]string, error)
	// Turns spreads the engine's heavy work; the zero value lets all of it happen at once.
	Turns Turns
}

// Open returns a client of the engine that DOCKER_HOST names, or of the local one,
// speaking the newest API version that both know. It asks nothing yet.
func Open() (*client.Client, error) {
	api, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return nil, runbook.FailCause(runbook.Refused, err, "DOCKER_HOST or DOCKER_CERT_PATH names no engine")
	}
	return api, nil
}

func (h Hand) path(relative string) string { return filepath.Join(h.ProjectDir, relative) }

// since says whether the engine speaks at least that version of its API.
func (h Hand) since(ctx context.Context, version string) bool {
	h.API.NegotiateAPIVersion(ctx)
	return versions.GreaterThanOrEqualTo(h.API.ClientVersion(), version)
}

const (
	// beatEvery is well below the steps' heartbeat timeout of 10 s.
	beatEvery = 2 * time.Second
	// lookEvery is how often a state that nobody announces is looked at.
	lookEvery = 250 * time.Millisecond
	// atOnce bounds the questions that the engine is asked at the same time.
	atOnce = 16
	// tidyTime is for taking back a half-made thing after the run was cancelled.
	tidyTime = 10 * time.Second
)

// retried says that an earlier attempt of this act may have worked.
func retried(ctx context.Context) bool {
	return activity.IsActivity(ctx) && activity.GetInfo(ctx).Attempt > 1
}

// began is when the first attempt of this step was scheduled; a deadline counts
// from there, so that a killed worker does not lengthen it.
func began(ctx context.Context) time.Time {
	if activity.IsActivity(ctx) {
		return activity.GetInfo(ctx).ScheduledTime
	}
	return time.Now()
}

func beat(ctx context.Context) {
	if activity.IsActivity(ctx) {
		activity.RecordHeartbeat(ctx)
	}
}

// beating heartbeats until the returned call; an engine that thinks for long is no
// reason to be taken for dead.
func beating(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(beatEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				beat(ctx)
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// tidying is a context for taking something back although the run has ended.
func tidying(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
}
