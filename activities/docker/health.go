package docker

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// tailMax bounds the log that an answer quotes, in bytes, tailLines in lines.
	tailMax   = 1 << 10
	tailLines = "20"
	// deadlineDefault is for a service that says nothing.
	deadlineDefault = time.Minute
	// exitKilled is the exit code of a process that SIGKILL ended: 128 + 9.
	exitKilled = 137
)

// AwaitHealthy answers runbook.AwaitHealthy. It is asked of a replica that the run
// has started, so every restart that the engine counts is one too many. Until the
// engine has judged the replica, its HEALTHCHECK is run from here.
func (h Hand) AwaitHealthy(ctx context.Context, in runbook.AwaitHealthyInput) (runbook.Health, error) {
	start := began(ctx)
	deadline := start.Add(in.Deadline.Or(deadlineDefault))
	var since time.Time // of health without a break
	var again bool      // a kill was seen once
	own := OwnCheck{API: h.API}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		c, err := h.API.ContainerInspect(ctx, in.ID)
		out := runbook.Health{Took: runbook.Duration(time.Since(start).Round(time.Millisecond))}
		switch {
		case errdefs.IsNotFound(err):
			out.Why = "it was removed"
			return out, nil
		case err != nil:
			return out, classify(err, in.Name)
		}
		out.Restarts = c.RestartCount
		if out.Why = broken(c); out.Why != "" {
			// That it was for memory the engine may learn only after the exit: a kill is looked at twice.
			if again || c.State.OOMKilled || c.State.ExitCode != exitKilled {
				out.Why = h.withTail(ctx, c, out.Why)
				return out, nil
			}
			again = true
		}
		last := unhealthy(c, in.Healthcheck)
		if in.Healthcheck && undecided(c) {
			last = own.Unhealthy(ctx, c)
		}
		now := time.Now() // a check may have taken long
		if last != "" {
			since = time.Time{}
		} else if since.IsZero() {
			since = now
		}
		switch {
		case !since.IsZero() && now.Sub(since) >= in.MinHealthy.D():
			out.Healthy = true
			return out, nil
		case now.After(deadline) && last == "":
			out.Why = fmt.Sprintf("healthy for %s only within %s, not for %s", now.Sub(since).Round(time.Millisecond), in.Deadline, in.MinHealthy)
			return out, nil
		case now.After(deadline):
			out.Why = h.withTail(ctx, c, fmt.Sprintf("not healthy within %s: %s", in.Deadline.Or(deadlineDefault), last))
			return out, nil
		}
		beat(ctx)
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-tick.C:
		}
	}
}

// WatchReplica answers runbook.WatchReplica. It is asked of a replica that the run
// has started, so every restart that the engine counts is one too many. The
// engine's events tell of a child that was killed for memory while the container
// lives on; they are listened to and not relied on.
func (h Hand) WatchReplica(ctx context.Context, in runbook.WatchReplicaInput) (runbook.Health, error) {
	start := began(ctx)
	end := start.Add(in.Window.D())
	listening, cancel := context.WithCancel(ctx)
	defer cancel()
	told, deaf := h.API.Events(listening, events.ListOptions{
		Since:   fmt.Sprint(start.Unix()),
		Filters: filters.NewArgs(filters.Arg("container", in.ID), filters.Arg("event", string(events.ActionOOM))),
	})
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	oom := false
	for {
		c, err := h.API.ContainerInspect(ctx, in.ID)
		out := runbook.Health{Took: runbook.Duration(time.Since(start).Round(time.Millisecond))}
		switch {
		case errdefs.IsNotFound(err):
			out.Why = "it was removed"
			return out, nil
		case err != nil:
			return out, classify(err, in.Name)
		}
		out.Restarts, out.Why = c.RestartCount, broken(c)
		switch {
		case out.Why != "":
		case oom:
			out.Why = "a process of it was killed for memory"
		case c.State.Health != nil && c.State.Health.Status == container.Unhealthy:
			out.Why = unhealthy(c, true)
		case !time.Now().Before(end):
			out.Healthy = true
			return out, nil
		}
		if out.Why != "" {
			out.Why = h.withTail(ctx, c, out.Why)
			return out, nil
		}
		beat(ctx)
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-told:
			oom = true
		case <-deaf: //nolint:errcheck // a stream that breaks off is why it is not relied on: the looks go on
			deaf = nil
		case <-tick.C:
		}
	}
}

// broken says what ended or restarted the replica, or "".
func broken(c container.InspectResponse) string {
	s := c.State
	code := s.ExitCode
	switch {
	case s.OOMKilled && !s.Running:
		return fmt.Sprintf("killed for memory (exit code %d)", code)
	case s.Running && c.RestartCount > 0: // the engine has forgotten how it ended
		return fmt.Sprintf("restarted %d times", c.RestartCount)
	case s.Status == container.StateRestarting, c.RestartCount > 0:
		return fmt.Sprintf("restarted %d times, last exit code %d", c.RestartCount, code)
	case s.Status == container.StateExited, s.Status == container.StateDead, s.Status == container.StateRemoving:
		return fmt.Sprintf("%s with code %d", s.Status, code)
	default:
		return ""
	}
}

// unhealthy says why the replica is not healthy now, or "".
func unhealthy(c container.InspectResponse, asked bool) string {
	switch {
	case c.State.Status != container.StateRunning:
		return "it is " + c.State.Status
	case !asked:
		return ""
	case c.State.Health == nil || c.State.Health.Status == container.NoHealthcheck:
		return "it has no HEALTHCHECK"
	case c.State.Health.Status == container.Healthy:
		return ""
	default:
		why := c.State.Health.Status
		if log := c.State.Health.Log; len(log) > 0 {
			probe := log[len(log)-1]
			why += fmt.Sprintf(" (its check answers %d: %s)", probe.ExitCode, clip(maskEnv(strings.TrimSpace(probe.Output), c.Config.Env), tailMax/4))
		}
		return why
	}
}

// undecided says that the replica runs and the engine has not judged it yet.
func undecided(c container.InspectResponse) bool {
	return c.State.Status == container.StateRunning && c.State.Health != nil && c.State.Health.Status == container.Starting
}

// withTail adds the end of the replica's log, masked; the whole is at most 1 KiB.
func (h Hand) withTail(ctx context.Context, c container.InspectResponse, why string) string {
	const between = "; its log ends: "
	text, err := h.tail(ctx, c)
	if err != nil {
		return why + "; its log cannot be read: " + clip(plain(err).Error(), tailMax/4)
	}
	if text == "" {
		return why + "; it logged nothing"
	}
	return why + between + clip(text, tailMax-len(why)-len(between))
}

// tail asks for both streams: the engine counts lines before it filters.
func (h Hand) tail(ctx context.Context, c container.InspectResponse) (string, error) {
	r, err := h.API.ContainerLogs(ctx, c.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true, Tail: tailLines})
	if err != nil {
		return "", err
	}
	defer r.Close()
	var out bytes.Buffer
	if c.Config.Tty {
		_, err = out.ReadFrom(r)
	} else {
		_, err = stdcopy.StdCopy(&out, &out, r)
	}
	return maskEnv(strings.TrimSpace(strings.ToValidUTF8(out.String(), "�")), c.Config.Env), err
}

// clip keeps the end of a text, which is where a failure is.
func clip(text string, most int) string {
	const cut = "…"
	if most <= len(cut) {
		return ""
	}
	if len(text) <= most {
		return text
	}
	text = text[len(text)-most+len(cut):]
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return cut + text
}
