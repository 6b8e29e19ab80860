package matrix

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/tests/chaos/bench"
)

type (
	clientOf = client.Client
	runOf    = client.WorkflowRun
)

// judgement is a run with kills beside the one without.
type judgement struct {
	// Outcome says whether both ended alike.
	Outcome bool `json:"outcome"`
	// Missing stood at the end of the run without kills alone, Extra at the end of this one alone.
	Missing []string `json:"missing,omitempty"`
	Extra   []string `json:"extra,omitempty"`
	// Twice is what was done more often, Undone what was done less often.
	Twice  bench.Effects `json:"twice,omitempty"`
	Undone bench.Effects `json:"undone,omitempty"`
	Failed int           `json:"failed"`
	// Blind: no request was sent, so none can have failed.
	Blind bool `json:"blind,omitempty"`
}

func judge(r, reference bench.Result) judgement {
	return judgement{
		Outcome: r.Outcome == reference.Outcome,
		Missing: without(reference.Census, r.Census), Extra: without(r.Census, reference.Census),
		Twice: r.Effects.Beyond(reference.Effects), Undone: reference.Effects.Beyond(r.Effects),
		Failed: r.Traffic.Failed, Blind: r.Traffic.Requests == 0,
	}
}

func (j judgement) censusEqual() bool { return len(j.Missing)+len(j.Extra) == 0 }

func (j judgement) duplicates() (n int) {
	for _, times := range j.Twice {
		n += times
	}
	return n
}

func (j judgement) good() bool {
	return j.Outcome && j.censusEqual() && j.duplicates() == 0 && j.Failed == 0 && !j.Blind
}

// lines say what differs.
func (j judgement) lines() []string {
	var out []string
	for _, m := range j.Missing {
		out = append(out, "missing: "+m)
	}
	for _, e := range j.Extra {
		out = append(out, "extra: "+e)
	}
	for _, what := range slices.Sorted(maps.Keys(j.Twice)) {
		out = append(out, fmt.Sprintf("done %d times more: %s", j.Twice[what], what))
	}
	for _, what := range slices.Sorted(maps.Keys(j.Undone)) {
		out = append(out, fmt.Sprintf("done %d times less: %s", j.Undone[what], what))
	}
	return out
}

// without are the lines of a that b lacks, each as often as it lacks it.
func without(a, b []string) []string {
	left := map[string]int{}
	for _, line := range b {
		left[line]++
	}
	var out []string
	for _, line := range a {
		if left[line]--; left[line] < 0 {
			out = append(out, line)
		}
	}
	return out
}

// ids differ between benches, whose images are labelled apart, and between runs.
var ids = regexp.MustCompile(`sha256:[0-9a-f]+|\b[0-9a-f]{12}\b|\[run [^\]]*\]`)

// unnumbered takes the bench's number out of names, so that a run on one bench compares with one on another.
func unnumbered(r bench.Result, n int) bench.Result {
	digit := fmt.Sprint(n)
	names := strings.NewReplacer("hivechaos"+digit, "hivechaos", "web"+digit, "web", "job"+digit, "job")
	census := make([]string, 0, len(r.Census))
	for _, line := range r.Census {
		census = append(census, ids.ReplaceAllString(names.Replace(line), "…"))
	}
	slices.Sort(census)
	effects := bench.Effects{}
	for what, times := range r.Effects {
		effects[ids.ReplaceAllString(names.Replace(what), "…")] += times
	}
	r.Census, r.Effects = census, effects
	return r
}

// save writes evidence.
func save(path string, value any) error {
	raw, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}
