package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
)

const (
	// checkEvery is how often OwnCheck runs a check at most.
	checkEvery = time.Second
	// checkTime bounds a check that names no timeout: the engine's own default.
	checkTime = 30 * time.Second
	// checkSaid is how much of what a check says is read, in bytes.
	checkSaid = 4 << 10
)

// OwnCheck runs a container's HEALTHCHECK command by exec, as the engine itself
// would, and answers at once. The engine gives its first verdict only after an
// interval, and each check starts a process: with it the interval can be long and
// a new replica is known within a second or two. It tells too where the engine's
// health monitor has died and its last word stands for ever. One OwnCheck serves
// one container, from one goroutine.
type OwnCheck struct {
	API client.APIClient

	asked time.Time
	why   string
	// hanging is a check that did not end in its time; no second one is started beside it.
	hanging string
}

// Unhealthy says why the container does not pass its own check now, or "". A
// verdict is kept for a second.
func (o *OwnCheck) Unhealthy(ctx context.Context, c container.InspectResponse) string {
	if now := time.Now(); o.asked.IsZero() || now.Sub(o.asked) >= checkEvery {
		o.why = o.run(ctx, c)
		o.asked = now
	}
	return o.why
}

func (o *OwnCheck) run(ctx context.Context, c container.InspectResponse) string {
	command := checkCommand(c.Config)
	if len(command) == 0 {
		return "it has no HEALTHCHECK"
	}
	if o.hanging != "" {
		if state, err := o.API.ContainerExecInspect(ctx, o.hanging); err == nil && state.Running {
			return "its check hangs"
		}
		o.hanging = ""
	}
	limit := c.Config.Healthcheck.Timeout
	if limit <= 0 {
		limit = checkTime
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	made, err := o.API.ContainerExecCreate(bounded, c.ID, container.ExecOptions{Cmd: command, AttachStdout: true, AttachStderr: true})
	if err != nil {
		return "its check cannot be run: " + clip(plain(err).Error(), tailMax/4)
	}
	said, err := o.said(bounded, made.ID)
	code := 0
	if err == nil {
		code, err = o.exit(bounded, made.ID)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		o.hanging = made.ID
		return fmt.Sprintf("its check did not end within %s", limit)
	case err != nil:
		return "its check cannot be run: " + clip(plain(err).Error(), tailMax/4)
	case code != 0:
		return fmt.Sprintf("its check answers %d: %s", code, clip(maskEnv(strings.TrimSpace(said), c.Config.Env), tailMax/4))
	}
	return ""
}

// exit waits for the exit code, which the engine may know a moment after the end
// of the output.
func (o *OwnCheck) exit(ctx context.Context, exec string) (int, error) {
	const look = 20 * time.Millisecond
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		state, err := o.API.ContainerExecInspect(ctx, exec)
		if err != nil || !state.Running {
			return state.ExitCode, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
	}
}

// said runs the check to its end; of what it says the beginning is kept.
func (o *OwnCheck) said(ctx context.Context, exec string) (string, error) {
	stream, err := o.API.ContainerExecAttach(ctx, exec, container.ExecAttachOptions{})
	if err != nil {
		return "", err
	}
	defer stream.Close()
	// The attached connection knows nothing of ctx.
	stop := context.AfterFunc(ctx, stream.Close)
	defer stop()
	text := limited{left: checkSaid}
	_, err = stdcopy.StdCopy(&text, &text, stream.Reader)
	if ctx.Err() != nil {
		return text.String(), ctx.Err()
	}
	return text.String(), err
}

// limited keeps the first bytes and swallows the rest: a check that talks for long must still be read to its end.
type limited struct {
	strings.Builder
	left int
}

var _ io.Writer = (*limited)(nil)

func (l *limited) Write(p []byte) (int, error) {
	n, _ := l.Builder.Write(p[:min(len(p), l.left)]) // a strings.Builder does not fail
	l.left -= n
	return len(p), nil
}

// checkCommand is the HEALTHCHECK as the engine runs it, or nil where there is none.
func checkCommand(c *container.Config) []string {
	if c == nil || c.Healthcheck == nil || len(c.Healthcheck.Test) < 2 {
		return nil
	}
	test := c.Healthcheck.Test
	switch test[0] {
	case "CMD":
		return test[1:]
	case "CMD-SHELL":
		shell := []string(c.Shell)
		if len(shell) == 0 {
			shell = []string{"/bin/sh", "-c"}
		}
		return slices.Concat(shell, test[1:])
	}
	return nil
}
