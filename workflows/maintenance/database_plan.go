package maintenance

import (
	"fmt"
	"sort"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// deadRowsLeast and deadRowsShare say when a table is worth a vacuum: autovacuum
	// starts at 20 % (autovacuum_vacuum_scale_factor), a quiet hour may do with half.
	deadRowsLeast = 1000
	deadRowsShare = 0.1
	// changedRowsShare says when statistics are stale: PostgreSQL's own threshold
	// (autovacuum_analyze_scale_factor).
	changedRowsShare = 0.1
	// freezeAgeLeast comes before the forced autovacuum at 200 million
	// (autovacuum_freeze_max_age), which would come at an hour of its own choice.
	freezeAgeLeast = 150_000_000
	// rebuildSpace is how much free disk a rebuild needs, as a multiple of the index:
	// the new copy, and what is written while it is built.
	rebuildSpace = 2
)

// databaseStep is one object's care, in the order of the plan.
type databaseStep struct {
	Kind   string
	Schema string
	Table  string
	Index  string
	Change runbook.Change
}

// The kinds of database care are the wire names of the steps that do them.
var (
	careVacuum = runbook.VacuumTable.Name
	careIndex  = runbook.RebuildIndex.Name
	careDrop   = runbook.DropLeftover.Name
)

// decideDatabase decides what the database needs: leftovers dropped first (they
// cost writes and free disk), then vacuums, largest need first, then rebuilds of
// the indexes that are bloated and no others.
func decideDatabase(policy runbook.DatabasePolicy, state runbook.DatabaseState, bloat runbook.Bloat) ([]databaseStep, []runbook.Finding) {
	var steps []databaseStep
	for _, i := range state.Leftovers {
		steps = append(steps, dropStep(i))
	}
	for _, t := range bloat.Tables {
		if why := needsVacuum(t); why != "" {
			steps = append(steps, databaseStep{Kind: careVacuum, Schema: t.Schema, Table: t.Name,
				Change: change(careVacuum, runbook.VacuumTable.Effect, t.Schema+"."+t.Name, "vacuum and analyze "+t.Schema+"."+t.Name, why)})
		}
	}
	rebuilds, findings := decideRebuilds(policy, bloat)
	return append(steps, rebuilds...), findings
}

func dropStep(i runbook.IndexState) databaseStep {
	return databaseStep{Kind: careDrop, Schema: i.Schema, Table: i.Table, Index: i.Name,
		Change: change(careDrop, runbook.DropLeftover.Effect, i.Schema+"."+i.Name,
			"drop invalid index "+i.Schema+"."+i.Name, "left by a build that was ended: it costs writes and serves no reads")}
}

// needsVacuum says why a table needs care, or "".
func needsVacuum(t runbook.TableState) string {
	rows := float64(t.LiveRows)
	switch {
	case t.FreezeAge >= freezeAgeLeast:
		return fmt.Sprintf("its oldest row is %d transactions old", t.FreezeAge)
	case t.DeadRows >= deadRowsLeast && float64(t.DeadRows) > deadRowsShare*rows:
		return fmt.Sprintf("%d dead rows beside %d live ones", t.DeadRows, t.LiveRows)
	case t.NeverVacuum && t.LiveRows+t.DeadRows > 0:
		return "never vacuumed"
	case t.NeverAnalyze && t.LiveRows > 0:
		return "never analyzed: the planner guesses"
	case t.ChangedRows >= deadRowsLeast && float64(t.ChangedRows) > changedRowsShare*rows:
		return fmt.Sprintf("%d rows changed since its statistics", t.ChangedRows)
	default:
		return ""
	}
}

func decideRebuilds(policy runbook.DatabasePolicy, bloat runbook.Bloat) ([]databaseStep, []runbook.Finding) {
	var steps []databaseStep
	var findings []runbook.Finding
	for _, i := range bloat.Indexes {
		if !bloated(policy, i) {
			continue
		}
		said := fmt.Sprintf("%.0f %% leaf density, below %.0f %%, at %d bytes", i.LeafDensity, policy.MinLeafDensity, i.Bytes)
		target := i.Schema + "." + i.Name
		switch {
		case !i.Rebuildable:
			findings = append(findings, runbook.Finding{Severity: runbook.Warning, Target: target, What: "bloated (" + said + ") and not rebuildable without blocking queries"})
		case bloat.FreeBytes >= 0 && bloat.FreeBytes < rebuildSpace*i.Bytes:
			findings = append(findings, runbook.Finding{Severity: runbook.Warning, Target: target,
				What: fmt.Sprintf("bloated (%s), but only %d bytes are free on the disk and a rebuild needs %d", said, bloat.FreeBytes, rebuildSpace*i.Bytes)})
		default:
			steps = append(steps, databaseStep{Kind: careIndex, Schema: i.Schema, Table: i.Table, Index: i.Name,
				Change: change(careIndex, runbook.RebuildIndex.Effect, target, "rebuild index "+target+" concurrently", said)})
		}
	}
	return steps, findings
}

// bloated judges valid indexes whose density was measured; an invalid one is a
// leftover, and one that cannot be measured is never guessed at.
func bloated(policy runbook.DatabasePolicy, i runbook.IndexState) bool {
	return i.Valid && i.LeafDensity >= 0 && i.LeafDensity < policy.MinLeafDensity && i.Bytes >= policy.MinIndexBytes
}

// bloatReport is the runbook's top ten, with what its query could not show: how
// full the pages are.
func bloatReport(bloat runbook.Bloat) []runbook.Finding {
	const top = 10
	tables := append([]runbook.TableState(nil), bloat.Tables...)
	sort.SliceStable(tables, func(a, b int) bool { return tables[a].Bytes > tables[b].Bytes })
	indexes := append([]runbook.IndexState(nil), bloat.Indexes...)
	sort.SliceStable(indexes, func(a, b int) bool { return indexes[a].Bytes > indexes[b].Bytes })
	var out []runbook.Finding
	for i, t := range tables {
		if i == top {
			break
		}
		out = append(out, runbook.Finding{Severity: runbook.Good, Target: t.Schema + "." + t.Name,
			What: fmt.Sprintf("table, %d bytes, %d live rows, %d dead", t.Bytes, t.LiveRows, t.DeadRows)})
	}
	for i, x := range indexes {
		if i == top {
			break
		}
		density := "density not measurable (" + x.Method + ")"
		if x.LeafDensity >= 0 {
			density = fmt.Sprintf("leaf density %.0f %%", x.LeafDensity)
		}
		out = append(out, runbook.Finding{Severity: runbook.Good, Target: x.Schema + "." + x.Name,
			What: fmt.Sprintf("index, %d bytes, %s", x.Bytes, density)})
	}
	return out
}
