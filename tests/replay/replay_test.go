// Package replay holds recorded histories of every procedure against today's code:
// a run that was begun by an earlier version must go on under this one.
package replay

import (
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"github.com/leanvibe/hive/workers/operations"
)

// histories is <procedure>/<what it guards>.json, made by `make record` from real runs.
const histories = "histories"

func TestHistoriesReplay(t *testing.T) {
	seen := map[string]bool{}
	require.NoError(t, filepath.WalkDir(histories, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		procedure := filepath.Base(filepath.Dir(path))
		seen[procedure] = true
		t.Run(procedure+"/"+strings.TrimSuffix(d.Name(), ".json"), func(t *testing.T) {
			replayer := worker.NewWorkflowReplayer()
			operations.Procedures(replayer)
			quiet := sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
			require.NoError(t, replayer.ReplayWorkflowHistoryFromJSONFile(quiet, path),
				"a change of a workflow's body that a running run would not survive: guard it with workflow.GetVersion")
		})
		return nil
	}))
	for _, procedure := range []string{"ReadinessCheck", "WeeklyMaintenance", "RollingRestart", "ScaleService", "DatabaseMaintenance", "LogManagement", "Lock"} {
		require.True(t, seen[procedure], "no history of %s: make record takes them from the running platform", procedure)
	}
}
