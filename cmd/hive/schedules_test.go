package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workers/operations/schedules"
	"github.com/leanvibe/hive/workflows/runbook"
)

func TestSchedulesRefuseWrongUsage(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown verb", []string{"schedules", "puase"}, `unknown verb "puase", did you mean "pause"?; see: hive schedules --help`},
		{"pause nothing", []string{"schedules", "pause"}, "see: hive schedules pause --help"},
		{"run two", []string{"schedules", "run", "a", "b"}, "see: hive schedules run --help"},
		{"list something", []string{"schedules", "list", "a"}, "see: hive schedules list --help"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, errs := execute(t, c.args...)
			require.Equal(t, exitUsage, code)
			require.Contains(t, errs, c.want)
		})
	}
	for _, verb := range []string{"list", "pause x", "resume x", "run x"} {
		args := append([]string{"schedules"}, strings.Fields(verb)...)
		code, _, errs := execute(t, append(args, "--temporal", "127.0.0.1:1")...)
		require.Equal(t, exitUnreachable, code)
		require.Contains(t, errs, "Temporal does not answer at 127.0.0.1:1")
	}
}

func TestErrorsOfSchedulesHaveTheirCode(t *testing.T) {
	for kind, want := range map[runbook.Kind]int{
		runbook.Missing: exitUsage, runbook.Refused: exitRefused, runbook.Unreachable: exitUnreachable, runbook.Corrupt: exitFailed,
	} {
		err := scheduleError(runbook.Fail(kind, "what, and the way out"))
		require.Equal(t, want, exitCode(err), kind)
		require.Equal(t, "what, and the way out", message(err))
	}
}

func TestPrintSchedules(t *testing.T) {
	los, err := time.LoadLocation("America/Los_Angeles")
	require.NoError(t, err)
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	weekly := schedules.Schedule{
		SchedulePolicy: runbook.SchedulePolicy{
			ID: "weekly-maintenance", Procedure: "WeeklyMaintenance", Every: "sunday", At: "02:00", Timezone: "America/Los_Angeles",
		},
		Next: []runbook.Due{{Date: "2026-11-29", At: time.Date(2026, 11, 29, 2, 0, 0, 0, los)}},
		Last: []schedules.Past{
			{Due: runbook.Due{Date: "2026-11-22"}, Outcome: "succeeded"}, {Due: runbook.Due{Date: "2026-11-15"}, Outcome: "missed"},
		},
	}
	paused := weekly
	paused.ID, paused.Paused, paused.Note, paused.Last = "frozen", true, "freeze until Monday", nil
	var out bytes.Buffer
	printSchedules(&out, []schedules.Schedule{weekly, paused}, now)
	for _, want := range []string{
		"every sunday at 02:00 America/Los_Angeles", "Sun 2026-11-29 02:00 PST, in 4d 22h", "2026-11-22 succeeded, 2026-11-15 missed", "active",
		"when resumed", "none yet", "paused: freeze until Monday",
	} {
		require.Contains(t, out.String(), want)
	}
	out.Reset()
	printSchedules(&out, nil, now)
	require.Contains(t, out.String(), "no schedule is in Temporal; opsworker writes those of deploy/production/runbook.yaml")
	require.Equal(t, "3h 5m", until(3*time.Hour+5*time.Minute+9*time.Second))
	require.Equal(t, "0m", until(9*time.Second))
}
