package docker

import (
	"context"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/leanvibe/hive/workflows/runbook"
)

// stopped is how far a stop has come. It is on the disk, so that the attempt after
// a killed worker neither signals twice nor gives the grace time twice.
type stopped struct {
	// Signalled is when the stop signal was sent.
	Signalled time.Time `json:"signalled,omitzero"`
	// Killed: the grace time was over, and it was killed.
	Killed bool `json:"killed,omitempty"`
}

const (
	// engineGrace is the engine's own default.
	engineGrace = 10 * time.Second
	// killTime is how long a killed container may take to be gone.
	killTime = 30 * time.Second
	killed   = "SIGKILL"
	// settleTime is how long the engine may take to notice that a process ended.
	settleTime = 5 * time.Second
)

// StopReplica answers runbook.StopReplica. A running replica is not ended with
// `docker stop`: it forgets the signal on older engines, and does not tell whether
// it had to kill.
func (h Hand) StopReplica(ctx context.Context, in runbook.ReplicaInput) (runbook.Stopped, error) {
	var out runbook.Stopped
	start := time.Now()
	file, err := documentFile(in.Run, in.Name)
	if err != nil {
		return out, err
	}
	c, err := h.find(ctx, in)
	if err != nil || c == nil { // what is gone is stopped
		return out, err
	}
	d, ok, err := h.kept(file, c.ID)
	if err != nil {
		return out, err
	}
	if !up(c.State) {
		return runbook.Stopped{Changed: retried(ctx) && ok, Killed: ok && d.Stop.Killed, ExitCode: c.State.ExitCode}, nil
	}
	if !ok {
		d = document{Container: *c}
		if err := h.write(file, d); err != nil {
			return out, err
		}
	}
	if !c.HostConfig.RestartPolicy.IsNone() {
		if err := h.restart(ctx, c, container.RestartPolicy{Name: container.RestartPolicyDisabled}); err != nil {
			return out, err
		}
	}
	if c.State.Restarting { // it crashes in a loop: there is no process to signal, only the next start to call off
		err = classify(h.API.ContainerStop(ctx, c.ID, container.StopOptions{}), in.Name)
	} else {
		err = h.end(ctx, c, in, file, &d)
	}
	if err != nil {
		return out, err
	}
	ended, err := h.API.ContainerInspect(ctx, c.ID)
	if err != nil && !errdefs.IsNotFound(err) {
		return out, classify(err, in.Name)
	}
	out = runbook.Stopped{Changed: true, Killed: d.Stop.Killed, Took: runbook.Duration(time.Since(start).Round(time.Millisecond))}
	if err == nil {
		out.ExitCode = ended.State.ExitCode
	}
	return out, nil
}

// end signals, waits for the grace time and only then kills.
func (h Hand) end(ctx context.Context, c *container.InspectResponse, in runbook.ReplicaInput, file string, d *document) error {
	if d.Stop.Signalled.IsZero() {
		signal := c.Config.StopSignal
		if signal == "" {
			signal = "SIGTERM"
		}
		if err := h.signal(ctx, c.ID, in.Name, signal); err != nil {
			return err
		}
		d.Stop.Signalled = time.Now()
		if err := h.write(file, d); err != nil {
			return err
		}
	}
	gone, err := h.awaitEnd(ctx, c.ID, in.Name, d.Stop.Signalled.Add(grace(c, in)))
	if gone || err != nil {
		return err
	}
	d.Stop.Killed = true
	if err := h.write(file, d); err != nil {
		return err
	}
	if err := h.signal(ctx, c.ID, in.Name, killed); err != nil {
		return err
	}
	gone, err = h.awaitEnd(ctx, c.ID, in.Name, time.Now().Add(killTime))
	if err == nil && !gone {
		return runbook.Fail(runbook.Busy, "%s was killed and is still there after %s: a process in it waits for the kernel", in.Name, killTime)
	}
	return err
}

func grace(c *container.InspectResponse, in runbook.ReplicaInput) time.Duration {
	if in.Grace > 0 {
		return in.Grace.D()
	}
	if c.Config.StopTimeout != nil {
		return time.Duration(*c.Config.StopTimeout) * time.Second
	}
	return engineGrace
}

// signal sends a signal; a container that has ended meanwhile needs none.
func (h Hand) signal(ctx context.Context, id, name, signal string) error {
	err := h.API.ContainerKill(ctx, id, signal)
	if err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	if c, look := h.API.ContainerInspect(ctx, id); look == nil && !up(c.State) {
		return nil
	}
	return classify(err, name)
}

// awaitEnd waits until the container has no process, or the moment has come.
func (h Hand) awaitEnd(ctx context.Context, id, name string, until time.Time) (bool, error) {
	defer beating(ctx)()
	bounded, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	ended, failed := h.API.ContainerWait(bounded, id, container.WaitConditionNotRunning)
	select {
	case <-ended:
		return true, nil
	case err := <-failed:
		switch {
		case errdefs.IsNotFound(err):
			return true, nil
		case ctx.Err() != nil:
			return false, ctx.Err()
		case bounded.Err() != nil:
			return false, nil
		default:
			return false, classify(err, name)
		}
	}
}

// restart sets the restart policy. A process that has just ended, and whose end the
// engine has not noticed yet, makes it refuse for that moment.
func (h Hand) restart(ctx context.Context, c *container.InspectResponse, policy container.RestartPolicy) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for until := time.Now().Add(settleTime); ; {
		_, err := h.API.ContainerUpdate(ctx, c.ID, container.UpdateConfig{RestartPolicy: policy})
		if err == nil || !strings.Contains(err.Error(), "cannot update a stopped container") || time.Now().After(until) {
			return classify(err, nameOf(*c))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// StartReplica answers runbook.StartReplica. The restart policy comes from the
// document that the stop has kept; where there is none, no run has taken it away.
func (h Hand) StartReplica(ctx context.Context, in runbook.ReplicaInput) (runbook.Replica, error) {
	var none runbook.Replica
	c, err := h.find(ctx, in)
	if err != nil {
		return none, err
	}
	if c == nil {
		return none, runbook.Fail(runbook.Missing, "%s is not there any more, so it cannot be started again", in.Name)
	}
	file, err := documentFile(in.Run, in.Name)
	if err != nil {
		return none, err
	}
	d, ok, err := h.kept(file, c.ID)
	if err == nil && !ok {
		d, ok, err = h.keptByAnyRun(in.Name, c.ID)
	}
	if err != nil {
		return none, err
	}
	changed := retried(ctx)
	if !up(c.State) {
		if err := h.API.ContainerStart(ctx, c.ID, container.StartOptions{}); err != nil {
			return none, startFailure(err, in.Name)
		}
		changed = true
	}
	if ok {
		if was := d.Container.HostConfig.RestartPolicy; was != c.HostConfig.RestartPolicy {
			if err := h.restart(ctx, c, was); err != nil {
				return none, err
			}
			changed = true
		}
		if d.Stop != (stopped{}) { // a later stop of this run signals again
			d.Stop = stopped{}
			if err := h.write(file, d); err != nil {
				return none, err
			}
		}
	}
	out, err := h.replica(ctx, c.ID, numberOf(c))
	out.Changed = changed
	return out, err
}

// RemoveReplica answers runbook.RemoveReplica.
func (h Hand) RemoveReplica(ctx context.Context, in runbook.ReplicaInput) (runbook.Changed, error) {
	c, err := h.find(ctx, in)
	if err != nil || c == nil {
		return runbook.Changed{Changed: retried(ctx)}, err
	}
	if up(c.State) {
		return runbook.Changed{}, runbook.Fail(runbook.Unsafe, "%s is %s: only a stopped replica is removed", in.Name, c.State.Status)
	}
	defer beating(ctx)()
	return runbook.Changed{Changed: true}, h.remove(ctx, *c)
}

// remove removes a container that has no process, with its anonymous volumes. The
// engine itself refuses one that was started since.
func (h Hand) remove(ctx context.Context, c container.InspectResponse) error {
	name := nameOf(c)
	err := h.API.ContainerRemove(ctx, c.ID, container.RemoveOptions{RemoveVolumes: true})
	if err == nil || errdefs.IsNotFound(err) {
		return nil
	}
	if !errdefs.IsConflict(err) {
		return classify(err, name)
	}
	now, look := h.API.ContainerInspect(ctx, c.ID)
	switch {
	case errdefs.IsNotFound(look):
		return nil
	case look == nil && up(now.State):
		return runbook.Fail(runbook.Unsafe, "%s was started meanwhile: only a stopped replica is removed", name)
	default: // somebody is removing it already
		return classify(err, name)
	}
}

// find inspects the replica, by ID where it is known and by name else; nil where it
// is gone. One of another service is Unsafe: the name has come to mean another.
func (h Hand) find(ctx context.Context, in runbook.ReplicaInput) (*container.InspectResponse, error) {
	key := in.ID
	if key == "" {
		key = in.Name
	}
	if key == "" {
		return nil, runbook.Fail(runbook.Refused, "no replica is named")
	}
	c, err := h.API.ContainerInspect(ctx, key)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, classify(err, in.Name)
	}
	if got := c.Config.Labels[labelService]; in.Service != "" && got != in.Service {
		return nil, runbook.Fail(runbook.Unsafe, "%s is a container of service %q and not of %q", nameOf(c), got, in.Service)
	}
	return &c, nil
}
