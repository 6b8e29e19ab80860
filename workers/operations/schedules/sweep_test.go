package schedules

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// pass lets an hour pass at a time, with a look at each.
func pass(w *world, k *keeper, hours int) {
	w.t.Helper()
	for range hours {
		w.now = w.now.Add(time.Hour)
		w.tick()
		if !w.away && !w.idle {
			require.NoError(w.t, k.once(w.t.Context(), w.now))
		}
	}
}

const dailyAt = 9 + 8 // 09:00 in Los Angeles, in UTC

func TestADateThatNobodyRanIsToldOnce(t *testing.T) {
	for name, fail := range map[string]func(*world, bool){
		"Temporal away":  func(w *world, on bool) { w.away = on },
		"opsworker away": func(w *world, on bool) { w.idle = on },
	} {
		t.Run(name, func(t *testing.T) {
			w, k, policy := pair(t)
			fail(w, true)
			pass(w, k, 3*24)
			require.Empty(t, w.notices)
			fail(w, false)
			k = w.keeperOf(k.ProjectDir, policy)
			pass(w, k, 3*24)
			require.Equal(t, map[string]int{"daily:2026-11-24": 1, "daily:2026-11-25": 1, "daily:2026-11-26": 1}, w.notices)
			require.Len(t, w.begun["daily:2026-11-27"], 1)
		})
	}
}

// Temporal keeps runs for a month; how long nothing ran is on the disk.
func TestAnAbsenceLongerThanTemporalsMemoryIsToldWhole(t *testing.T) {
	w, k, policy := pair(t)
	pass(w, k, 5*24)
	w.away = true
	w.now = w.now.AddDate(0, 0, 50)
	w.away = false
	w.tick()
	k = w.keeperOf(k.ProjectDir, policy)
	require.NoError(t, k.once(t.Context(), w.now))
	told := 0
	for _, n := range w.notices {
		told += n
	}
	require.Equal(t, 50+7, told, "fifty days and seven sundays")
	require.NoError(t, w.keeperOf(k.ProjectDir, policy).once(t.Context(), w.now.AddDate(0, 0, 40)))
}

func TestARunThatSaidNothingIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		outcome runbook.Outcome
		told    int
	}{
		"succeeded": {runbook.Succeeded, 0}, "failed tells itself": {runbook.Failed, 0}, "aborted": {runbook.Aborted, 0},
		"refused": {runbook.RefusedRun, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w, k, _ := pair(t)
			w.end = func() (runbook.Outcome, time.Duration) { return c.outcome, 7 * time.Hour }
			pass(w, k, 11)
			require.Len(t, w.begun["daily:2026-11-24"], 1)
			require.Empty(t, w.notices, "it is at work")
			pass(w, k, 6)
			require.Equal(t, c.told, w.notices["daily:2026-11-24"])
		})
	}
}

// A run that hangs does not hide that the next date has none.
func TestARunThatGoesOnAndOnHidesNothing(t *testing.T) {
	w, k, _ := pair(t)
	w.end = func() (runbook.Outcome, time.Duration) { return runbook.RefusedRun, 80 * time.Hour }
	pass(w, k, 6) // the first date has begun
	w.idle = true
	pass(w, k, 30)
	w.idle = false
	pass(w, k, 4)
	require.Equal(t, map[string]int{"daily:2026-11-25": 1}, w.notices)
	pass(w, k, 4*24)
	require.Equal(t, 1, w.notices["daily:2026-11-24"], "it ended refused, which is told too")
	require.Equal(t, 1, w.notices["daily:2026-11-25"])
}

func TestWhatAPauseLeavesOutIsNotMissed(t *testing.T) {
	w, k, _ := pair(t)
	w.schedules["daily"].paused = true
	for range 24 * 60 {
		w.now = w.now.Add(time.Minute)
		w.tick()
		require.NoError(t, k.once(t.Context(), w.now))
	}
	w.schedules["daily"].paused = false
	pass(w, k, 24)
	require.Empty(t, w.notices)
	require.NotContains(t, w.begun, "daily:2026-11-24")
	require.Len(t, w.begun["daily:2026-11-25"], 1)
}

func TestAnEditedRuleMissesNothingOfThePast(t *testing.T) {
	w, k, policy := pair(t)
	pass(w, k, dailyAt-12+2) // the date of the old hour has run
	policy.Schedules[1].At = "03:00"
	pass(w, k, 48)
	require.Empty(t, w.notices)
	require.Len(t, w.begun["daily:2026-11-24"], 1)
	require.Len(t, w.begun["daily:2026-11-25"], 1)

	// An hour later on the same date: the date has had its run, which is told.
	policy.Schedules[1].At = "23:00"
	pass(w, k, 24)
	require.Equal(t, map[string]int{"daily:2026-11-26": 1}, w.notices)
	require.Len(t, w.begun["daily:2026-11-26"], 1)
}

func TestAnEditWhileOpsworkerWasAwayIsJudgedByTheOldRule(t *testing.T) {
	w, k, policy := pair(t)
	pass(w, k, 24)
	w.idle = true
	pass(w, k, 48) // two dates of 09:00 without a run
	policy.Schedules[1].At = "10:00"
	w.reconciled(k, policy) // by hive up
	w.idle = false
	k = w.keeperOf(k.ProjectDir, policy)
	pass(w, k, 24)
	require.Equal(t, map[string]int{"daily:2026-11-25": 1, "daily:2026-11-26": 1}, w.notices)
	require.Len(t, w.begun["daily:2026-11-27"], 1)
}

func TestAListThatLagsHidesNothing(t *testing.T) {
	w, k, _ := pair(t)
	require.NoError(t, k.once(t.Context(), w.now))
	w.lag["daily"], w.idle = true, true
	pass(w, k, 24)
	w.idle = false
	pass(w, k, 1)
	require.Equal(t, 1, w.notices["daily:2026-11-24"])
}

func TestMarksSurviveAndABrokenFileIsNamed(t *testing.T) {
	w, k, policy := pair(t)
	pass(w, k, 30)
	file := filepath.Join(k.ProjectDir, marksFile)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	require.NoFileExists(t, file+".partial")
	marks, err := readMarks(k.ProjectDir)
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 11, 25, 17, 0, 0, 0, time.UTC), marks["daily"].Until.UTC())
	require.Equal(t, "09:00", marks["daily"].Schedule.At)

	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	err = w.keeperOf(k.ProjectDir, policy).once(t.Context(), w.now)
	require.ErrorContains(t, err, "out/state/schedules.json: unexpected end of JSON input; remove it")
	require.NoError(t, os.Remove(file))
	pass(w, w.keeperOf(k.ProjectDir, policy), 30)
	require.Empty(t, w.notices, "nobody is told of what ran")
}

func TestAPolicyThatCannotBeReadLeavesTheSchedules(t *testing.T) {
	w, k, _ := pair(t)
	k.Policy = func(context.Context) (runbook.Policy, error) {
		return runbook.Policy{}, runbook.Fail(runbook.Refused, "runbook.yaml:5:1: unknown field")
	}
	w.idle = true
	w.now = w.now.Add(24 * time.Hour)
	w.tick()
	w.idle = false
	require.ErrorContains(t, k.once(t.Context(), w.now.Add(time.Minute)), "unknown field")
	require.Len(t, w.schedules, 2)
}

func TestWhatAnOperatorSees(t *testing.T) {
	w, k, _ := pair(t)
	pass(w, k, dailyAt-12+3)
	w.idle = true
	pass(w, k, 24)
	w.idle = false
	w.tick()
	require.NoError(t, k.once(t.Context(), w.now))
	w.end = func() (runbook.Outcome, time.Duration) { return runbook.Succeeded, 7 * time.Hour }
	pass(w, k, 22)
	shown, err := show(t.Context(), w, w.schedules["daily"].entry, w.now)
	require.NoError(t, err)
	require.Equal(t, "every day at 09:00 America/Los_Angeles", shown.When())
	require.Len(t, shown.Next, 3)
	require.Equal(t, "2026-11-27", shown.Next[0].Date)
	require.Equal(t, "2026-11-27T09:00:00-08:00", shown.Next[0].At.Format(time.RFC3339))
	var last []string
	for _, p := range shown.Last {
		last = append(last, p.Date+" "+p.Outcome)
	}
	require.Equal(t, []string{"2026-11-26 running", "2026-11-25 missed", "2026-11-24 succeeded"}, last)
}

func TestAfterAnEditTheOldRuleHasNoMoreDates(t *testing.T) {
	w, k, policy := pair(t)
	require.NoError(t, k.once(t.Context(), w.now))
	w.idle = true
	w.now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC) // a Saturday
	policy.Schedules[0].Every = "monday"
	w.reconciled(k, policy) // by hive up
	pass(w, k, 3*24)
	w.idle = false
	pass(w, w.keeperOf(k.ProjectDir, policy), 2)
	require.NotContains(t, w.notices, "weekly:2026-11-29", "no sunday was due any more")
	require.Equal(t, 1, w.notices["weekly:2026-11-30"])
}
