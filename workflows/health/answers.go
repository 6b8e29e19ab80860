package health

import (
	"fmt"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// slow is the runbook's critical response time (Performance Baselines, >500 ms);
// one health answer over it is worth a look, not a verdict.
const slow = 500 * time.Millisecond

// question is one health question to ask and how to judge its answer.
type question struct {
	name string
	url  string
	// behind is true for a question through the proxy: then the answer must say
	// which replica gave it, because nginx answers 200 for nobody by itself.
	behind bool
}

// proxyQuestions are the health paths through the users' front door, each once; none
// where there is no such door.
func proxyQuestions(stack runbook.Stack, policy runbook.Policy) []question {
	if !policy.Proxy.Declared() {
		return nil
	}
	var out []question
	seen := map[string]bool{}
	add := func(path string) {
		if path == "" || seen[path] {
			return
		}
		seen[path] = true
		out = append(out, question{name: "health through the proxy: " + path, url: policy.Proxy.URL + path, behind: true})
	}
	for _, path := range policy.Readiness.ProxyPaths {
		add(path)
	}
	for _, svc := range stack.Services {
		add(svc.ProxyHealth)
	}
	return out
}

// replicaQuestions ask every running replica directly, by its declared probe.
func replicaQuestions(stack runbook.Stack, census runbook.Census) []question {
	var out []question
	for _, svc := range stack.Services {
		if svc.Probe == nil {
			continue
		}
		for _, c := range census.Of(svc.Name) {
			if c.State != "running" || c.Address == "" {
				continue
			}
			out = append(out, question{name: "health of " + c.Name, url: probeURL(*svc.Probe, c.Address)})
		}
	}
	return out
}

func probeURL(p runbook.Probe, address string) string {
	if p.HTTP == "" {
		return fmt.Sprintf("tcp://%s:%d", address, p.Port)
	}
	return fmt.Sprintf("http://%s:%d%s", address, p.Port, p.HTTP)
}

// judgeAnswer turns an answer, or the failure to get one, into a check.
func judgeAnswer(q question, a runbook.Answer, err error) Check {
	if err != nil {
		return unseen(q.name, err)
	}
	c := Check{Name: q.name, Required: true, Took: a.Took, Verdict: runbook.Critical}
	tcp := len(q.url) > 6 && q.url[:6] == "tcp://"
	switch {
	case a.Err != "":
		c.What = "no answer: " + a.Err
	case tcp:
		c.Verdict, c.What = runbook.Good, "accepts connections"
	case a.Status < 200 || a.Status > 299:
		c.What = fmt.Sprintf("status %d from %s: %.120s", a.Status, or(a.Instance, "the proxy itself"), or(a.Body, "empty body"))
	case q.behind && a.Instance == "":
		c.What = fmt.Sprintf("status %d, but no replica answered: the proxy answered by itself (no X-Hive-Instance)", a.Status)
	default:
		c.Verdict, c.What = runbook.Good, fmt.Sprintf("status %d from %s", a.Status, or(a.Instance, "the replica"))
	}
	if c.Verdict == runbook.Good && a.Took.D() > slow {
		c.Verdict, c.What = runbook.Warning, c.What+", slowly"
	}
	if c.Took > 0 {
		c.What += fmt.Sprintf(" in %s", a.Took.D().Round(100*time.Microsecond))
	}
	return c
}
