package maintenance

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/runbook"
)

// RunDatabaseMaintenance is DatabaseMaintenance's body.
func RunDatabaseMaintenance(ctx workflow.Context, in DatabaseMaintenanceInput) (runbook.Report, error) {
	return flow.Conduct(ctx, flow.Frame{Name: DatabaseMaintenance.Name, Options: in.Options, Files: files(DatabaseMaintenance.ID(in))},
		func(ctx workflow.Context, r *flow.Run) error {
			db := r.Policy.Database
			if !db.Declared() {
				return runbook.Fail(runbook.Refused, "the policy names no database: add a database section to runbook.yaml (service, name, user), and its password to the file that database.password_file names")
			}
			until := workflow.Now(ctx).Add(in.Window.Or(db.Window.D()))
			if !in.Plan {
				if err := r.Take(ctx, flow.Procedure(DatabaseMaintenance.Name), flow.Database(db.Name)); err != nil {
					return err
				}
			}
			r.Phase(ctx, "measuring tables and indexes")
			of := runbook.DatabaseInput{Project: r.Stack.Project, Database: db}
			state, err := flow.Do(ctx, r, runbook.ObserveDatabase, db.Name, of)
			if err != nil {
				return err
			}
			bloat, err := flow.Do(ctx, r, runbook.MeasureBloat, db.Name, of)
			if err != nil {
				return err
			}
			steps, findings := decideDatabase(db, state, bloat)
			r.FindAll(findings)
			r.FindAll(bloatReport(bloat))
			for _, problem := range bloat.Problems {
				r.Find(runbook.Warning, db.Name, "not measured, so not judged: "+problem)
			}
			if err := r.Decided(ctx, changesOf(steps)); err != nil {
				return err
			}
			if len(steps) == 0 {
				return nil
			}
			r.Silence(ctx, flow.Database(db.Name), map[string]string{"service": db.Service})
			r.Phase(ctx, "caring for the database")
			return careFor(ctx, r, of, steps, until)
		})
}

func changesOf(steps []databaseStep) []runbook.Change {
	var out []runbook.Change
	for _, s := range steps {
		out = append(out, s.Change)
	}
	return out
}

// careFor does one object at a time, until the window ends; what is not done then
// waits for the next run.
func careFor(ctx workflow.Context, r *flow.Run, of runbook.DatabaseInput, steps []databaseStep, until time.Time) error {
	for i, s := range steps {
		if !workflow.Now(ctx).Before(until) {
			return carriedOver(ctx, r, steps[i:])
		}
		done, err := care(ctx, r, of, s, until)
		if err != nil {
			return err
		}
		note(r, s, done)
		if done.Outcome == "stopped" {
			return carriedOver(ctx, r, steps[i+1:])
		}
	}
	return nil
}

func care(ctx workflow.Context, r *flow.Run, of runbook.DatabaseInput, s databaseStep, until time.Time) (runbook.Maintained, error) {
	in := runbook.MaintainInput{
		Fence: r.Fence(flow.Database(of.Database.Name)), DatabaseInput: of, Schema: s.Schema, Table: s.Table, Index: s.Index,
		Until: until, Session: r.ID() + "/" + s.Change.Target,
	}
	switch s.Kind {
	case careVacuum:
		return flow.Do(ctx, r, runbook.VacuumTable, s.Change.Target, in)
	case careIndex:
		return flow.Do(ctx, r, runbook.RebuildIndex, s.Change.Target, in)
	case careDrop:
		return flow.Do(ctx, r, runbook.DropLeftover, s.Change.Target, in)
	default:
		return runbook.Maintained{}, fmt.Errorf("%s: no such care", s.Kind)
	}
}

// note writes what became of an object into the report.
func note(r *flow.Run, s databaseStep, done runbook.Maintained) {
	why := done.Why
	if b := done.Blocker; b != nil {
		why = fmt.Sprintf("%s in the way: pid %d of %s (%s), %s old: %.80s", or(why, "a transaction"), b.PID, b.User, or(b.Application, "no application name"),
			b.Age.D().Round(time.Second), b.Text)
	}
	switch done.Outcome {
	case "skipped":
		r.Skipped(s.Kind, s.Change.Target, why)
		r.Find(runbook.Warning, s.Change.Target, "skipped: "+why)
		r.Differ(s.Kind, s.Change.Target, "planned, but skipped: "+why)
	case "stopped":
		r.Skipped(s.Kind, s.Change.Target, or(why, "the window ended"))
	default:
		said := done.Outcome
		if done.BytesBefore > 0 && s.Index != "" {
			said = fmt.Sprintf("%s, %d → %d bytes", said, done.BytesBefore, done.BytesAfter)
		}
		if done.DensityTo > 0 {
			said += fmt.Sprintf(", leaf density %.0f %%", done.DensityTo)
		}
		r.Note(s.Kind, s.Change.Target, said)
	}
}

// carriedOver names what the window left no time for.
func carriedOver(ctx workflow.Context, r *flow.Run, steps []databaseStep) error {
	const why = "the window ended; it waits for the next run"
	for _, s := range steps {
		r.Skip(ctx, s.Kind, s.Change.Target, why)
		r.Differ(s.Kind, s.Change.Target, why)
	}
	if len(steps) > 0 {
		r.Find(runbook.Warning, r.Policy.Database.Name, fmt.Sprintf("%d objects: %s", len(steps), why))
	}
	return nil
}
