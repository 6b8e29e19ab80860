package maintenance

import (
	"context"

	"github.com/leanvibe/hive/workflows/runbook"
)

// databaseWorld answers the database steps of a test.
type databaseWorld struct {
	state runbook.DatabaseState
	bloat runbook.Bloat
	// answers by object; done where absent.
	answers map[string]runbook.Maintained
	cared   []string
}

func (d *databaseWorld) bind(r runbook.Registry, w *world) {
	runbook.ObserveDatabase.Bind(r, func(context.Context, runbook.DatabaseInput) (runbook.DatabaseState, error) { return d.state, nil })
	runbook.MeasureBloat.Bind(r, func(context.Context, runbook.DatabaseInput) (runbook.Bloat, error) { return d.bloat, nil })
	care := func(_ context.Context, in runbook.MaintainInput) (runbook.Maintained, error) {
		object := in.Table
		if in.Index != "" {
			object = in.Index
		}
		if err := w.act("care", in.Fence, object); err != nil {
			return runbook.Maintained{}, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		d.cared = append(d.cared, object)
		if a, ok := d.answers[object]; ok {
			return a, nil
		}
		return runbook.Maintained{Outcome: "done", Changed: true}, nil
	}
	runbook.VacuumTable.Bind(r, care)
	runbook.RebuildIndex.Bind(r, care)
	runbook.DropLeftover.Bind(r, care)
}
