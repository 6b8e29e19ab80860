package health

import (
	"sort"
	"strings"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Check is one line of the readiness check: what was looked at, the verdict, and
// what was seen in words.
type Check struct {
	// Name is stable, such as "census: communication-hub" or "database".
	Name    string           `json:"name"`
	Verdict runbook.Severity `json:"verdict"`
	// What says what was seen, with numbers, and names the culprit.
	What string `json:"what"`
	// Required checks decide: critical or without data, they make the stack not
	// ready. The others (a baseline on an idle stack) only inform.
	Required bool `json:"required"`
	// Took is how long the observation took; zero where it was shared.
	Took runbook.Duration `json:"took"`
}

// Bars says whether this check alone makes the stack not ready. No data bars like
// critical does: what nobody could observe is not known to be well.
func (c Check) Bars() bool {
	return c.Required && (c.Verdict == runbook.Critical || c.Verdict == runbook.NoData)
}

// Ready says whether no check bars. Without any check nothing is known, so the
// answer is false.
func Ready(checks []Check) bool {
	for _, c := range checks {
		if c.Bars() {
			return false
		}
	}
	return len(checks) > 0
}

// Culprits are the checks that bar, critical ones before those without data, in
// the order of the checks otherwise.
func Culprits(checks []Check) []Check {
	var out []Check
	for _, c := range checks {
		if c.Bars() {
			out = append(out, c)
		}
	}
	sort.SliceStable(out, func(a, b int) bool {
		return out[a].Verdict == runbook.Critical && out[b].Verdict != runbook.Critical
	})
	return out
}

// Reason says in one line why the stack is not ready, culprits first; empty when
// it is ready.
func Reason(checks []Check) string {
	culprits := Culprits(checks)
	if len(culprits) == 0 {
		if len(checks) == 0 {
			return "nothing was observed"
		}
		return ""
	}
	said := make([]string, len(culprits))
	for i, c := range culprits {
		said[i] = c.Name + " (" + string(c.Verdict) + "): " + c.What
	}
	return strings.Join(said, "; ")
}

// worse returns the graver of two verdicts; no data is graver than warning and
// less than critical, because a known evil outranks an unknown one.
func worse(a, b runbook.Severity) runbook.Severity {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func rank(s runbook.Severity) int {
	switch s {
	case "": // nothing judged yet
		return -1
	case runbook.Excellent:
		return 0
	case runbook.Good:
		return 1
	case runbook.Warning:
		return 2
	case runbook.NoData:
		return 3
	case runbook.Critical:
		return 4
	default:
		return 3
	}
}

// verdict collects what is wrong with one thing while it is looked at.
type verdict struct {
	severity runbook.Severity
	said     []string
}

func (v *verdict) add(s runbook.Severity, what string) {
	v.severity = worse(v.severity, s)
	v.said = append(v.said, what)
}

// check closes the verdict; well is what is said when nothing was wrong.
func (v *verdict) check(name, well string) Check {
	if len(v.said) == 0 {
		return Check{Name: name, Verdict: runbook.Good, What: well, Required: true}
	}
	return Check{Name: name, Verdict: v.severity, What: strings.Join(v.said, "; "), Required: true}
}

// notDeclared is the one line of a part that the policy has no section for: it was
// not looked at, which is never good, and does not bar, because nobody said that the
// stack has one.
func notDeclared(section string) Check {
	return Check{Name: section, Verdict: runbook.NoData, What: "not in the policy, so not looked at; where the stack has one, add " + section + " to runbook.yaml"}
}

// unseen is the check of something that could not be observed.
func unseen(name string, err error) Check {
	return Check{Name: name, Verdict: runbook.NoData, What: runbook.Reason(err), Required: true}
}
