package bootstrap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"golang.org/x/sync/errgroup"

	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/workflows/runbook"
)

// waiter waits for containers to be healthy.
type waiter struct {
	api      client.APIClient
	dir      string
	progress *Progress
	// limit bounds the wait for one group.
	limit time.Duration
}

// awaited is a container, and how besides its HEALTHCHECK it is asked.
type awaited struct {
	id, name, address string
	probe             *runbook.Probe
}

// all waits for every one.
func (w waiter) all(ctx context.Context, group []awaited) error {
	ctx, cancel := context.WithTimeout(ctx, w.limit)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for _, a := range group {
		g.Go(func() error { return w.one(ctx, a) })
	}
	return g.Wait()
}

func (w waiter) one(ctx context.Context, a awaited) error {
	const look = 200 * time.Millisecond
	t := w.progress.begin(a.name)
	defer t.quit()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	why := "not looked at yet"
	own := docker.OwnCheck{API: w.api}
	for {
		c, err := w.api.ContainerInspect(ctx, a.id)
		if err == nil {
			if why = unhealthy(ctx, c, a, &own); why == "" {
				return nil
			}
			t.at("%s", why)
		} else if ctx.Err() == nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		select {
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return ctx.Err()
			}
			return w.late(ctx, a, why)
		case <-ticker.C:
		}
	}
}

// unhealthy says what is not well yet, or "".
func unhealthy(ctx context.Context, c container.InspectResponse, a awaited, own *docker.OwnCheck) string {
	state := c.State
	starting := state.Health != nil && state.Health.Status == container.Starting
	switch {
	case !state.Running || state.Restarting:
		return fmt.Sprintf("%s, exit code %d%s", state.Status, state.ExitCode, killedFor(state))
	case starting:
		// The engine's first verdict comes after an interval; its check can be run at once.
		if why := own.Unhealthy(ctx, c); why != "" {
			return "starting: " + why
		}
	case state.Health != nil && state.Health.Status != container.Healthy:
		text := state.Health.Status
		if n := len(state.Health.Log); n > 0 && state.Health.Log[n-1].ExitCode != 0 {
			text += ": " + strings.TrimSpace(state.Health.Log[n-1].Output)
		}
		return text
	}
	if a.probe == nil || a.address == "" {
		return ""
	}
	if err := askOnce(ctx, a.address, *a.probe); err != nil {
		return err.Error()
	}
	return ""
}

func killedFor(state *container.State) string {
	if state.OOMKilled {
		return ", killed for memory"
	}
	return ""
}

// askOnce asks a container once on its own address.
func askOnce(ctx context.Context, address string, probe runbook.Probe) error {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	at := net.JoinHostPort(address, strconv.Itoa(probe.Port))
	if probe.HTTP == "" {
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "tcp", at)
		if err != nil {
			return err
		}
		return c.Close()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+probe.HTTP, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", probe.HTTP, answer.StatusCode)
	}
	return nil
}

// late is the error for a deadline: what is not well, and the end of what the
// container wrote.
func (w waiter) late(ctx context.Context, a awaited, why string) error {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	text := fmt.Sprintf("%s is not healthy after %s: %s", a.name, w.limit, mask(w.dir, why))
	logs, err := w.api.ContainerLogs(ctx, a.id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: "8"})
	if err == nil {
		defer logs.Close()
		const most = 256 << 10
		var said bytes.Buffer
		_, _ = stdcopy.StdCopy(&said, &said, io.LimitReader(logs, most))
		if said.Len() > 0 {
			text += "; the end of its log:\n" + mask(w.dir, ending(said.String()))
		}
	}
	return errors.New(text)
}

// ending is the last lines, each as long as a person reads.
func ending(log string) string {
	const lines, width = 8, 400
	all := strings.Split(strings.TrimSpace(log), "\n")
	all = all[max(0, len(all)-lines):]
	for i, line := range all {
		if runes := []rune(line); len(runes) > width {
			all[i] = string(runes[:width]) + "…"
		}
	}
	return strings.Join(all, "\n")
}

var secretField = regexp.MustCompile(`(?i)((?:password|passwd|secret|token|authorization|credential)[a-z_-]*"?\s*[:=]\s*"?)[^"\s,&;}]+`)

// mask takes out what must not be seen: the values of our own secrets, and what
// looks like one.
func mask(dir, text string) string {
	files, _ := filepath.Glob(filepath.Join(dir, secretsDir, "*"))
	for _, file := range files {
		raw, err := os.ReadFile(file)
		const least = 6
		if value := strings.TrimSpace(string(raw)); err == nil && len(value) >= least {
			text = strings.ReplaceAll(text, value, "•••")
		}
	}
	return secretField.ReplaceAllString(text, "${1}•••")
}
