package matrix

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/chaos/bench"
	"github.com/leanvibe/hive/tests/chaos/kill"
	"github.com/leanvibe/hive/workflows/runbook"
)

// reference is a run without kills as it could be.
func reference() bench.Result {
	return bench.Result{
		Outcome: "succeeded", Census: []string{"container web 3 runs newer", "container web 4 runs newer", "route web to web 3"},
		Effects: bench.Effects{"engine: create web-3": 1, "nginx: reload": 4}, Traffic: bench.Traffic{Requests: 100},
		Met: map[string]int{"Roll containers.CreateReplica": 4, "Roll containers.TakeCensus": 1, "Roll containers.RemoveReplica": 2},
	}
}

// Every fault that the kit is for must be seen: each of these runs is not as the one without kills.
func TestWhatMustNotPassDoesNot(t *testing.T) {
	require.True(t, judge(reference(), reference()).good())
	for name, spoil := range map[string]func(*bench.Result){
		"another outcome":   func(r *bench.Result) { r.Outcome = "reverted" },
		"a container more":  func(r *bench.Result) { r.Census = append(r.Census, "container web 5 runs newer") },
		"a container twice": func(r *bench.Result) { r.Census = append(r.Census, r.Census[0]) },
		"a container less":  func(r *bench.Result) { r.Census = r.Census[1:] },
		"a lock left":       func(r *bench.Result) { r.Census = append(r.Census, "open: lock:proxy") },
		"an effect twice":   func(r *bench.Result) { r.Effects = bench.Effects{"engine: create web-3": 2, "nginx: reload": 4} },
		"an effect of its own": func(r *bench.Result) {
			r.Effects = bench.Effects{"engine: create web-3": 1, "nginx: reload": 4, "notice: failed": 1}
		},
		"a failed request": func(r *bench.Result) { r.Traffic.Failed = 1 },
		"nobody who asked": func(r *bench.Result) { r.Traffic = bench.Traffic{} },
	} {
		r := reference()
		spoil(&r)
		require.False(t, judge(r, reference()).good(), name)
		require.True(t, name == "another outcome" || name == "a failed request" || name == "nobody who asked" || len(judge(r, reference()).lines()) > 0, name)
	}
}

func TestARowIsGoodOnlyAsItMustBe(t *testing.T) {
	good := Row{Outcome: "reverted", Expected: "reverted", CensusEqual: true}
	require.True(t, good.Good())
	for _, spoil := range []func(*Row){
		func(r *Row) { r.Outcome = "failed" }, func(r *Row) { r.CensusEqual = false }, func(r *Row) { r.FailedRequests = 1 }, func(r *Row) { r.DuplicateEffects = 1 },
	} {
		r := good
		spoil(&r)
		require.False(t, r.Good())
	}
}

func TestWritesDieAtEveryPointReadsAtOne(t *testing.T) {
	all, err := cells(map[int]bench.Result{0: reference(), 1: reference()}, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	const victims, points = 2, 3
	require.Len(t, all, victims*(2*points+1), "two steps write, one reads; the second scenario meets nothing new")
	for _, c := range all {
		require.LessOrEqual(t, c.order.Nth, reference().Met["Roll "+c.order.Step])
		require.Zero(t, c.scenario)
	}
	again, err := cells(map[int]bench.Result{0: reference(), 1: reference()}, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	require.Equal(t, all, again, "a seed replays")
}

func TestARunKillsOnceAnActAndWritesComeFirst(t *testing.T) {
	all, err := cells(map[int]bench.Result{0: reference()}, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	runs := batches(all, rand.New(rand.NewPCG(2, 2)))
	require.Equal(t, len(all), count(runs))
	for _, one := range runs {
		seen := map[string]bool{}
		for _, o := range one.orders() {
			act := fmt.Sprint(o.Step, o.Nth)
			require.False(t, seen[act], "two kills at an act would be one and the same retry")
			seen[act] = true
		}
	}
	require.NotEqual(t, runbook.Read, runs[0].cells[0].effect)
}

func TestAStepThatNobodyKnowsIsAnError(t *testing.T) {
	r := reference()
	r.Met["Roll containers.Explode"] = 1
	_, err := cells(map[int]bench.Result{0: r}, rand.New(rand.NewPCG(1, 1)))
	require.ErrorContains(t, err, "containers.Explode is not in tests/chaos/matrix/steps.go")
}

// Every step that opsworker binds is known here, and every procedure has a scenario.
func TestTheListsAreWhole(t *testing.T) {
	contents, err := os.ReadFile(filepath.Join("..", "..", "..", "workers", "operations", "contents.go"))
	require.NoError(t, err)
	steps, err := os.ReadFile("steps.go")
	require.NoError(t, err)
	bound := regexp.MustCompile(`step\(r, s, (runbook\.\w+),`).FindAllStringSubmatch(string(contents), -1)
	require.NotEmpty(t, bound)
	for _, b := range bound {
		require.Regexp(t, regexp.QuoteMeta(b[1])+`[,)]`, string(steps))
	}
	scenarios, err := os.ReadFile("scenarios.go")
	require.NoError(t, err)
	procedures := regexp.MustCompile(`(\w+\.\w+)\.Bind\(r`).FindAllStringSubmatch(string(contents), -1)
	require.NotEmpty(t, procedures)
	for _, p := range procedures {
		require.Regexp(t, regexp.QuoteMeta(p[1])+`(,|\.Name)`, string(scenarios), "%s has no scenario: add a row", p[1])
	}
}

func TestTheFileIsAddedTo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "chaos.json")
	one := Row{Procedure: "Roll", Step: "a", Point: kill.Before, Victim: kill.OpsWorker, Outcome: "failed"}
	rows, err := Add(file, []Row{one, {Procedure: "Week", Point: Random, Run: "1#1"}, {Procedure: "Week", Point: Random, Run: "1#2"}})
	require.NoError(t, err)
	require.Len(t, rows, 3)
	one.Outcome = "succeeded"
	rows, err = Add(file, []Row{one})
	require.NoError(t, err)
	require.Len(t, rows, 3, "the same kill takes the old one's place")
	again, err := Read(file)
	require.NoError(t, err)
	require.ElementsMatch(t, rows, again)

	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	_, err = Read(file)
	require.ErrorContains(t, err, "move it away")
}

func TestNamesOfBenchesAndIdsCompareAlike(t *testing.T) {
	at := func(n, id string) bench.Result {
		return bench.Result{
			Census:  []string{"container web" + n + " 1", "tag hive-rollback/web" + n + ":" + strings.Repeat(id, 12) + " is good"},
			Effects: bench.Effects{"alertmanager: silence, changes service:web" + n + " [run roll/" + id + "#x]": 1},
		}
	}
	require.Equal(t, unnumbered(at("0", "a"), 0), unnumbered(at("3", "b"), 3))
}
