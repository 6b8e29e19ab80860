package schedules

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// look is often enough that people hear of a missed date within a minute of the
	// end of its window.
	look = 30 * time.Second
	// lookMax bounds one look: a Temporal that answers slowly is asked again.
	lookMax = 20 * time.Second
)

// Keeper keeps the schedules while opsworker runs.
type Keeper struct {
	Temporal client.Client
	// Policy reads runbook.yaml as it is now.
	Policy func(context.Context) (runbook.Policy, error)
	// Procedures are what schedules may name.
	Procedures []Procedure
	// ProjectDir is the absolute project root.
	ProjectDir string
	Log        *slog.Logger
}

// Run looks now and twice a minute until the context ends. What fails is logged once
// and tried again; it never returns an error.
func (k Keeper) Run(ctx context.Context) error {
	kept := &keeper{Keeper: k, server: temporalServer{k.Temporal}}
	said := ""
	tick := time.NewTicker(look)
	defer tick.Stop()
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, lookMax)
		err := kept.once(bounded, time.Now())
		cancel()
		if now := text(err); now != said && ctx.Err() == nil {
			if said = now; err != nil {
				k.Log.Warn("the schedules cannot all be kept", "error", now)
			} else {
				k.Log.Info("the schedules are kept again")
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// keeper is a Keeper at work.
type keeper struct {
	Keeper
	server server
	marks  map[string]settled
}

// once sweeps what is there, then reconciles: a date is judged by the rule that it
// was due by.
func (k *keeper) once(ctx context.Context, now time.Time) error {
	swept := k.sweep(ctx, now)
	policy, err := k.Policy(ctx)
	if err != nil {
		return errors.Join(swept, err) // what is in Temporal goes on as it was
	}
	changes, err := reconcile(ctx, k.server, policy, k.Procedures, now)
	for _, c := range changes {
		k.Log.Info("reconciled a schedule", "schedule", c.Schedule, "what", c.What)
	}
	return errors.Join(swept, err)
}

func (k *keeper) sweep(ctx context.Context, now time.Time) error {
	if k.marks == nil {
		marks, err := readMarks(k.ProjectDir)
		if err != nil {
			return err
		}
		k.marks = marks
	}
	ids, err := k.server.list(ctx)
	if err != nil {
		return err
	}
	// A list lags: what was known before is asked for by name.
	ids = slices.Compact(slices.Sorted(slices.Values(append(ids, slices.Collect(maps.Keys(k.marks))...))))
	marks := maps.Clone(k.marks)
	var failed []error
	for _, id := range ids {
		e, found, err := k.server.find(ctx, id)
		switch {
		case err != nil:
			failed = append(failed, err)
		case !found || !e.ours:
			delete(marks, id)
		case e.in.Schedule.ID == "": // written anew by somebody; it is put back first
		default:
			m, err := sweep(ctx, k.server, e, marks[id], now)
			marks[id] = m
			failed = append(failed, err)
		}
	}
	if !maps.EqualFunc(marks, k.marks, settled.same) {
		failed = append(failed, writeMarks(k.ProjectDir, marks))
	}
	k.marks = marks
	return errors.Join(failed...)
}
