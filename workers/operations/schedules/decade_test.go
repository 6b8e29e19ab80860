package schedules

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Ten years on a virtual clock, Temporal and opsworker each away at random hours: a
// nominal date begins once within its window, or somebody is told that it did not;
// never both, never neither, never twice, never out of its window.
func TestTenYears(t *testing.T) {
	for _, c := range []struct {
		zone  string
		rules [][3]string // the hours lie in the zone's own gaps and folds
	}{
		{"America/Los_Angeles", [][3]string{{"weekly", "sunday", "02:00"}, {"monthly", "first sunday", "01:00"}, {"daily", "day", "09:00"}}},
		{"Europe/Berlin", [][3]string{{"weekly", "sunday", "02:30"}, {"monthly", "last sunday", "02:00"}, {"daily", "day", "03:00"}}},
		{"Australia/Lord_Howe", [][3]string{{"weekly", "sunday", "02:15"}, {"monthly", "first sunday", "01:45"}, {"daily", "day", "02:00"}}},
		{"Africa/Cairo", [][3]string{{"weekly", "friday", "00:00"}, {"monthly", "last thursday", "23:30"}, {"daily", "day", "00:30"}}},
		{"America/Nuuk", [][3]string{{"weekly", "saturday", "23:30"}, {"monthly", "last saturday", "23:00"}, {"daily", "day", "23:59"}}},
	} {
		t.Run(c.zone, func(t *testing.T) {
			t.Parallel()
			decade(t, schedulesOf(c.zone, 90*time.Minute, c.rules...), rand.New(rand.NewPCG(2026, uint64(len(c.zone)))))
		})
	}
}

func decade(t *testing.T, schedules []runbook.SchedulePolicy, random *rand.Rand) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end := begin.AddDate(10, 0, 0)
	w := newWorld(t, begin)
	w.end = func() (runbook.Outcome, time.Duration) {
		outcome := runbook.Succeeded
		if random.IntN(20) == 0 {
			outcome = runbook.RefusedRun
		}
		return outcome, time.Duration(random.Int64N(int64(5 * time.Hour)))
	}
	// Away for minutes, hours, or days: half of the times shorter than the window.
	up := func() time.Time { return w.now.Add(time.Duration(random.ExpFloat64() * float64(6*day))) }
	down := func() time.Time {
		return w.now.Add(time.Duration(random.ExpFloat64() * float64([]time.Duration{time.Hour, 8 * time.Hour, 4 * day}[random.IntN(3)])))
	}
	dir, policy := t.TempDir(), &runbook.Policy{Schedules: schedules}
	k := w.keeperOf(dir, policy)
	temporalTurns, workerTurns, look := up(), up(), begin
	outages := 0
	for w.now.Before(end) {
		w.tick()
		if both := !w.away && !w.idle; both && (!w.now.Before(temporalTurns) || !w.now.Before(workerTurns)) {
			require.NoError(t, k.once(t.Context(), w.now)) // the last look is never far behind
		}
		if !w.now.Before(temporalTurns) {
			if w.away = !w.away; w.away {
				temporalTurns, outages = down(), outages+1
			} else {
				temporalTurns = up()
			}
		}
		if !w.now.Before(workerTurns) {
			if w.idle = !w.idle; w.idle {
				workerTurns, outages = down(), outages+1
			} else {
				workerTurns, k = up(), w.keeperOf(dir, policy) // a new process
			}
		}
		if w.tick(); !w.now.Before(look) {
			// Not twice a minute, which ten years would feel, but soon after each firing.
			look = earliest(w.now.Add(day), w.next().Add(30*time.Second))
			if !w.idle && !w.away {
				require.NoError(t, k.once(t.Context(), w.now))
			}
		}
		w.now = earliest(earliest(temporalTurns, workerTurns), earliest(look, w.next()))
	}
	w.away, w.idle, w.now = false, false, end.AddDate(0, 0, 1)
	w.tick()
	require.NoError(t, k.once(t.Context(), w.now))
	judge(t, w, schedules, begin, end.AddDate(0, 0, -1), outages)
}

func judge(t *testing.T, w *world, schedules []runbook.SchedulePolicy, begin, end time.Time, outages int) {
	ran, late, told, dates := 0, 0, 0, 0
	expected := map[string]bool{}
	for _, p := range schedules {
		calendar, err := p.Calendar()
		require.NoError(t, err)
		for _, due := range calendar.Between(begin, end.AddDate(0, 0, 3)) {
			expected[p.RunID(due.Date)] = true
			if due.At.After(end) {
				continue
			}
			id := p.RunID(due.Date)
			dates++
			begun := w.begun[id]
			require.LessOrEqual(t, len(begun), 1, "%s began twice", id)
			require.LessOrEqual(t, w.notices[id], 1, "%s was told twice", id)
			quiet := len(begun) == 1 && w.runs[id].outcome == runbook.Succeeded
			if quiet {
				require.Zero(t, w.notices[id], "%s ran and was told of", id)
			} else {
				require.Equal(t, 1, w.notices[id], "%s did not run and nobody was told", id)
				told++
			}
			if len(begun) == 1 {
				ran++
				behind := begun[0].Sub(due.At)
				require.False(t, behind < 0 || behind > p.CatchUp.D(), "%s began %s after its time", id, behind)
				if behind > 0 {
					late++
				}
			}
		}
	}
	for id := range w.begun {
		require.True(t, expected[id], "%s is no date of the rule", id)
	}
	for id := range w.notices {
		require.True(t, expected[id], "%s is no date of the rule", id)
	}
	t.Logf("%d dates, %d outages: %d ran, %d of them late; %d notices; %d writes to Temporal", dates, outages, ran, late, told, w.writes)
	require.Greater(t, dates, 4000)
	require.Greater(t, ran, dates/3)
	require.Greater(t, late, 20, "catching up was not tried")
	require.Greater(t, told, 200, "missing was not tried")
}
