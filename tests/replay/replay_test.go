// Package replay holds recorded histories of every procedure against today's code:
// a run that was begun by an earlier version must go on under this one.
package replay

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

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
			// A machine that stands still for a second is no deadlock.
			replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DisableDeadlockDetection: true})
			require.NoError(t, err)
			operations.Procedures(replayer)
			quiet := sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
			h := read(t, path)
			begun := h.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes()
			// Children are named after their parent, so the replay runs under the recorded IDs.
			o := worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: begun.GetWorkflowId(), RunID: begun.GetOriginalExecutionRunId()}}
			require.NoError(t, replayer.ReplayWorkflowHistoryWithOptions(quiet, h, o),
				"a change of a workflow's body that a running run would not survive: guard it with workflow.GetVersion")
		})
		return nil
	}))
	for _, procedure := range []string{"ReadinessCheck", "WeeklyMaintenance", "RollingRestart", "ScaleService", "DatabaseMaintenance", "LogManagement", "Lock"} {
		require.True(t, seen[procedure], "no history of %s: make record takes them from the running platform", procedure)
	}
}

func read(t *testing.T, path string) *history.History {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var h history.History
	require.NoError(t, temporalproto.CustomJSONUnmarshalOptions{DiscardUnknown: true}.Unmarshal(raw, &h))
	require.NotEmpty(t, h.GetEvents())
	return &h
}
