package health

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/leanvibe/hive/workflows/flow"
	"github.com/leanvibe/hive/workflows/runbook"
	"github.com/leanvibe/hive/workflows/schedule"
)

// ReadinessCheckInput asks for the check; there is nothing to choose.
type ReadinessCheckInput struct {
	runbook.Options
}

// Validate implements runbook.Validator.
func (in ReadinessCheckInput) Validate() error { return in.Options.Validate() }

// ReadinessCheck is the runbook's production_readiness_check, with everything
// measured: it only looks, and it succeeds when nothing bars.
var ReadinessCheck = runbook.Procedure[ReadinessCheckInput, runbook.Report]{
	Name:    "ReadinessCheck",
	ID:      func(ReadinessCheckInput) string { return "readiness-check" },
	Summary: "Is the stack ready? Census, health, database, Redis, Prometheus, alerts, disk, memory, baselines",
	Example: `{}`,
}

// RunReadinessCheck is ReadinessCheck's body.
func RunReadinessCheck(ctx workflow.Context, in ReadinessCheckInput) (runbook.Report, error) {
	return flow.Conduct(ctx, flow.Frame{Name: ReadinessCheck.Name, Options: in.Options},
		func(ctx workflow.Context, r *flow.Run) error {
			if err := r.Decided(ctx, nil); err != nil {
				return err
			}
			r.Phase(ctx, "looking at everything at once")
			checks, err := look(ctx, r)
			if err != nil {
				return err
			}
			for _, c := range checks {
				r.Find(c.Verdict, c.Name, c.What)
			}
			if len(r.Policy.Baselines) > 0 {
				r.Find(runbook.Good, "baselines", BandDecision)
			}
			r.Page(ctx, table(checks))
			if !Ready(checks) {
				return fmt.Errorf("not ready: %s", Reason(checks))
			}
			return nil
		})
}

// sight is what one kind of look found, in the order of the report.
type sight struct {
	checks []Check
}

// look takes all observations side by side. One that cannot be made is a check
// without data, never the end of the others.
func look(ctx workflow.Context, r *flow.Run) ([]Check, error) {
	sights := make([]sight, 9)
	err := flow.Together(ctx, 0,
		func(ctx workflow.Context) error { return lookAtContainers(ctx, r, &sights[0]) },
		func(ctx workflow.Context) error { return lookThroughProxy(ctx, r, &sights[1]) },
		func(ctx workflow.Context) error {
			if !r.Policy.Database.Declared() {
				return sights[2].add(ctx, notDeclared("database"))
			}
			state, err := flow.Do(ctx, r, runbook.ObserveDatabase, r.Policy.Database.Name,
				runbook.DatabaseInput{Project: r.Stack.Project, Database: r.Policy.Database})
			return sights[2].add(ctx, judgeDatabase(r.Policy.Database, state, err))
		},
		func(ctx workflow.Context) error {
			if !r.Policy.Cache.Declared() {
				return sights[3].add(ctx, notDeclared("cache"))
			}
			state, err := flow.Do(ctx, r, runbook.ObserveCache, "redis",
				runbook.CacheInput{Project: r.Stack.Project, Cache: r.Policy.Cache})
			return sights[3].add(ctx, judgeCache(r.Policy.Cache, state, err))
		},
		func(ctx workflow.Context) error {
			if r.Policy.Metrics.Prometheus == "" {
				return sights[4].add(ctx, notDeclared("metrics.prometheus"))
			}
			state, err := flow.Do(ctx, r, runbook.ObserveMetrics, "prometheus", runbook.MetricsInput{URL: r.Policy.Metrics.Prometheus})
			return sights[4].add(ctx, judgeMetrics(state, err))
		},
		func(ctx workflow.Context) error {
			if r.Policy.Metrics.Alertmanager == "" {
				return sights[5].add(ctx, notDeclared("metrics.alertmanager"))
			}
			state, err := flow.Do(ctx, r, runbook.ListAlerts, "alertmanager", runbook.AlertsInput{URL: r.Policy.Metrics.Alertmanager})
			return sights[5].add(ctx, judgeAlerts(state, err))
		},
		func(ctx workflow.Context) error {
			found, err := flow.Do(ctx, r, runbook.MeasureHost, "host", runbook.ResourcesInput{Directories: []string{".", r.Policy.Logs.Directory}})
			return sights[6].add(ctx, judgeHost(r.Policy.Readiness, found, err)...)
		},
		func(ctx workflow.Context) error {
			if r.Policy.Metrics.Prometheus == "" {
				return ctx.Err() // the policy has no baselines then
			}
			samples, err := flow.Do(ctx, r, runbook.QueryMetrics, "baselines", runbook.QueriesInput{
				MetricsInput: runbook.MetricsInput{URL: r.Policy.Metrics.Prometheus}, Queries: baselineQueries(r.Policy.Baselines),
			})
			return sights[7].add(ctx, gradeBaselines(r.Policy.Baselines, samples, err)...)
		},
		func(ctx workflow.Context) error { return lookAtSchedules(ctx, r, &sights[8]) },
	)
	var all []Check
	for _, s := range sights {
		all = append(all, s.checks...)
	}
	return all, err
}

// add keeps checks; only a run that was asked to stop ends the look.
func (s *sight) add(ctx workflow.Context, checks ...Check) error {
	s.checks = append(s.checks, checks...)
	return ctx.Err()
}

// lookAtContainers counts what runs, asks each replica, and compares both with the
// proxy's address files.
func lookAtContainers(ctx workflow.Context, r *flow.Run, s *sight) error {
	census, err := flow.Do(ctx, r, runbook.TakeCensus, r.Stack.Project, runbook.CensusInput{Project: r.Stack.Project})
	if err != nil {
		return s.add(ctx, unseen("census", err))
	}
	images, err := localImages(ctx, r)
	if err != nil {
		return err
	}
	var proxy runbook.ProxyState
	var proxied error
	var asked []Check
	err = flow.Together(ctx, 0,
		func(ctx workflow.Context) (err error) {
			asked, err = ask(ctx, r, "replicas", replicaQuestions(r.Stack, census))
			return err
		},
		func(ctx workflow.Context) error {
			if !r.Policy.Proxy.Declared() {
				return ctx.Err()
			}
			proxy, proxied = flow.Do(ctx, r, runbook.ObserveProxy, r.Policy.Proxy.Service,
				runbook.ProxyInput{Project: r.Stack.Project, Proxy: r.Policy.Proxy})
			return ctx.Err()
		})
	front := notDeclared("proxy")
	if r.Policy.Proxy.Declared() {
		front = judgeProxy(r.Stack, census, proxy, proxied)
	}
	s.checks = append(censusChecks(r.Stack, census, images), append(asked, front)...)
	return err
}

// lookAtSchedules judges how far the calendars reach. A stack without schedules is
// run by hand, which is no fault.
func lookAtSchedules(ctx workflow.Context, r *flow.Run, s *sight) error {
	if len(r.Policy.Schedules) == 0 {
		return ctx.Err()
	}
	state, err := flow.Do(ctx, r, runbook.ObserveSchedules, "schedules", runbook.SchedulesInput{Schedules: r.Policy.Schedules})
	verdict, what := schedule.JudgeReach(r.Policy.Schedules, state, err)
	return s.add(ctx, Check{Name: "schedules", Verdict: verdict, What: what, Required: true})
}

// localImages are the image IDs that the services' tags name here; a tag that
// cannot be resolved is not judged.
func localImages(ctx workflow.Context, r *flow.Run) (map[string]string, error) {
	found := map[string]string{}
	var parts []func(workflow.Context) error
	seen := map[string]bool{}
	for _, svc := range r.Stack.Services {
		if seen[svc.Image] {
			continue
		}
		seen[svc.Image] = true
		parts = append(parts, func(ctx workflow.Context) error {
			resolved, err := flow.Do(ctx, r, runbook.ResolveImage, svc.Image, runbook.ResolveImageInput{Image: svc.Image, Local: true})
			if err == nil && resolved.LocalID != "" {
				found[svc.Image] = resolved.LocalID
			}
			return ctx.Err()
		})
	}
	return found, flow.Together(ctx, 0, parts...)
}

func lookThroughProxy(ctx workflow.Context, r *flow.Run, s *sight) error {
	checks, err := ask(ctx, r, "proxy", proxyQuestions(r.Stack, r.Policy))
	s.checks = checks
	return err
}

// ask puts all questions in one step and judges each answer.
func ask(ctx workflow.Context, r *flow.Run, target string, questions []question) ([]Check, error) {
	if len(questions) == 0 {
		return nil, ctx.Err()
	}
	var in runbook.AskAllInput
	for _, q := range questions {
		in.Questions = append(in.Questions, runbook.AskInput{URL: q.url})
	}
	out, err := flow.Do(ctx, r, runbook.AskAll, target, in)
	checks := make([]Check, 0, len(questions))
	for i, q := range questions {
		var answer runbook.Answer
		if i < len(out.Answers) {
			answer = out.Answers[i]
		} else if err == nil {
			err = runbook.Fail(runbook.Corrupt, "%d answers to %d questions", len(out.Answers), len(questions))
		}
		checks = append(checks, judgeAnswer(q, answer, err))
	}
	return checks, ctx.Err()
}

// table shows the checks on the run's page in the Temporal UI.
func table(checks []Check) string {
	var b strings.Builder
	b.WriteString("| verdict | check | seen |\n|-|-|-|\n")
	for _, c := range checks {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.Verdict, c.Name, strings.NewReplacer("|", "/", "\n", " ").Replace(c.What))
	}
	return b.String() + "\n"
}
