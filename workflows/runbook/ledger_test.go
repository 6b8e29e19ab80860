package runbook

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// A row of the ledger without a target says that something was done to nothing.
func TestEveryWriteNamesItsTarget(t *testing.T) {
	writes := regexp.MustCompile(`Step\[(\w+), \w+\]\{\s+Name:\s*"[\w.]+", Effect: (?:Write|Irreversible)`)
	targets := regexp.MustCompile(`(?m)^func \(in (\w+)\) Target\(\) string`)
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	named, found := map[string]bool{}, map[string]string{}
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range targets.FindAllStringSubmatch(string(source), -1) {
			named[m[1]] = true
		}
		for _, m := range writes.FindAllStringSubmatch(string(source), -1) {
			found[m[1]] = file
		}
	}
	require.Greater(t, len(found), 10, "the steps are not found any more")
	for input, file := range found {
		require.True(t, named[input], "%s: %s has no method Target", file, input)
	}
}

func TestTargets(t *testing.T) {
	for want, in := range map[string]Targeted{
		"leanvibe-communication-hub-2":                CreateReplicaInput{Project: "leanvibe", Service: "communication-hub", Number: 2},
		"leanvibe_production public.finished_tasks":   MaintainInput{DatabaseInput: DatabaseInput{Database: DatabasePolicy{Name: "leanvibe_production"}}, Schema: "public", Table: "finished_tasks"},
		"leanvibe_production public.finished_tasks_q": MaintainInput{DatabaseInput: DatabaseInput{Database: DatabasePolicy{Name: "leanvibe_production"}}, Schema: "public", Table: "finished_tasks", Index: "finished_tasks_q"},
		"logs/a.log":             LogInput{Directory: "logs", Path: "a.log"},
		"silence of weekly/1":    SilenceInput{Run: "weekly/1"},
		"silence 7f":             SilenceInput{ID: "7f", Run: "weekly/1"},
		"image hive/hub:old":     RemoveReclaimableInput{Item: Reclaimable{Kind: "image", Name: "hive/hub:old"}},
		"out/weekly/report.json": ArtefactInput{Path: "weekly/report.json"},
	} {
		require.Equal(t, want, in.Target())
	}
}

func TestAsking(t *testing.T) {
	by, how := Options{RequestedBy: "ada"}.Asking()
	require.Equal(t, []string{"ada", "ui"}, []string{by, how})
	_, how = Options{Trigger: "schedule"}.Asking()
	require.Equal(t, "schedule", how)
}
