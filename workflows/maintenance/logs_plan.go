package maintenance

import (
	"fmt"
	"sort"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// mostLogs bounds the files of one run, so that a directory of years does not
// outgrow a run's history; the rest is next run's.
const mostLogs = 400

// logStep is what to do with one file.
type logStep struct {
	Compress  bool
	Path      string
	OlderThan runbook.Duration
	Change    runbook.Change
}

// decideLogs decides per file by its age on the host's own clock: a file that is
// written to is never touched, one from the future is not old.
func decideLogs(policy runbook.LogPolicy, logs runbook.LogFiles) ([]logStep, []runbook.Finding) {
	files := append([]runbook.LogFile(nil), logs.Files...)
	sort.SliceStable(files, func(a, b int) bool { return files[a].Path < files[b].Path })
	var steps []logStep
	var findings []runbook.Finding
	for _, f := range files {
		step, finding := decideLog(policy, f, logs.Now.Sub(f.Modified))
		if step != nil {
			steps = append(steps, *step)
		}
		if finding != nil {
			findings = append(findings, *finding)
		}
	}
	if len(steps) > mostLogs {
		findings = append(findings, runbook.Finding{Severity: runbook.Warning, Target: policy.Directory,
			What: fmt.Sprintf("%d files wait for the next run: one run does %d", len(steps)-mostLogs, mostLogs)})
		steps = steps[:mostLogs]
	}
	return steps, findings
}

func decideLog(policy runbook.LogPolicy, f runbook.LogFile, age time.Duration) (*logStep, *runbook.Finding) {
	days := fmt.Sprintf("%.1f days old", age.Hours()/24)
	switch {
	case f.Partial:
		// removed by the compression of the file it belongs to, which is repeated
		return nil, &runbook.Finding{Severity: runbook.Good, Target: f.Path, What: "left by a compression that was ended; the next one of its file replaces it"}
	case f.Compressed && age > policy.DeleteAfter.D():
		return &logStep{Path: f.Path, OlderThan: policy.DeleteAfter,
			Change: change(runbook.DeleteLog.Name, runbook.DeleteLog.Effect, f.Path, "delete "+f.Path, days)}, nil
	case f.Compressed || age <= policy.CompressAfter.D():
		return nil, nil
	case f.Open:
		return nil, &runbook.Finding{Severity: runbook.Good, Target: f.Path, What: days + ", but still written to: left alone"}
	default:
		return &logStep{Compress: true, Path: f.Path, OlderThan: policy.CompressAfter,
			Change: change(runbook.CompressLog.Name, runbook.CompressLog.Effect, f.Path, "compress "+f.Path, days)}, nil
	}
}

// decideReclaim turns the engine's explicit list into changes, in its order.
func decideReclaim(list runbook.ReclaimList) []runbook.Change {
	var out []runbook.Change
	for _, item := range list.Items {
		out = append(out, change(runbook.RemoveReclaimable.Name, runbook.RemoveReclaimable.Effect, item.Kind+" "+item.Name,
			"remove "+item.Kind+" "+item.Name, item.Reason))
	}
	return out
}

// unlimitedLogs names the containers whose engine log nobody bounds.
func unlimitedLogs(census runbook.Census) []runbook.Finding {
	var out []runbook.Finding
	for _, c := range census.Containers {
		if c.State == "running" && !c.LogLimited {
			out = append(out, runbook.Finding{Severity: runbook.Warning, Target: c.Name,
				What: "its container log has no limit; set logging.options max-size and max-file, the next RollingRestart applies them"})
		}
	}
	return out
}
