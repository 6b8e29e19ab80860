package policy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

const oneSchedule = `schedules:
  - {id: weekly, procedure: WeeklyMaintenance, every: sunday, at: "02:00"}
`

func TestShippedSchedules(t *testing.T) {
	p, err := project(t, shipped(t, RunbookFile), "").Policy()
	require.NoError(t, err)
	said := map[string]string{}
	for _, s := range p.Schedules {
		said[s.ID] = s.Procedure + " " + s.When()
		require.Equal(t, time.Hour, s.CatchUp.D())
	}
	require.Equal(t, map[string]string{
		"weekly-maintenance":   "WeeklyMaintenance every sunday at 02:00 America/Los_Angeles",
		"morning-health-check": "ReadinessCheck every day at 09:00 America/Los_Angeles",
		"evening-review":       "ReadinessCheck every day at 18:00 America/Los_Angeles",
	}, said)
}

func TestAScheduleTakesWhatItLeavesOut(t *testing.T) {
	p, err := project(t, shortRunbook+"timezone: Europe/Berlin\n"+oneSchedule+
		`  - {id: other, procedure: LogManagement, every: first sunday, at: 01:30, timezone: Asia/Beirut, catch_up: 2h, input: '{"plan":true}'}`+"\n", "").Policy()
	require.NoError(t, err)
	require.Equal(t, []runbook.SchedulePolicy{
		{ID: "weekly", Procedure: "WeeklyMaintenance", Every: "sunday", At: "02:00", Timezone: "Europe/Berlin", CatchUp: defaultCatchUp},
		{
			ID: "other", Procedure: "LogManagement", Every: "first sunday", At: "01:30", Timezone: "Asia/Beirut",
			CatchUp: runbook.Duration(2 * time.Hour), Input: `{"plan":true}`,
		},
	}, p.Schedules)
}

func TestMistakesInSchedules(t *testing.T) {
	const at = "deploy/production/runbook.yaml:"
	with := func(more string) string {
		return shortRunbook + "schedules:\n  - {id: weekly, procedure: WeeklyMaintenance, every: sunday, at: \"02:00\", " + more + "}\n"
	}
	for name, c := range map[string]struct{ yaml, want string }{
		"no list":       {shortRunbook + "schedules: {}\n", at + "5:12: schedules: got a mapping: expected a list of schedules, for example [{id: weekly-maintenance, "},
		"unknown field": {with("cron: '* * * * *'"), at + "6:76: schedules[0].cron: unknown field: expected one of id, procedure, every, at, timezone, catch_up, input"},
		"no id":         {shortRunbook + "schedules: [{procedure: A, every: day, at: \"02:00\"}]\n", at + "5:13: schedules[0].id: missing: expected a name of lower-case letters, digits and dashes, for example id: weekly-maintenance"},
		"no procedure":  {shortRunbook + "schedules: [{id: a, every: day, at: \"02:00\"}]\n", at + "5:13: schedules[0].procedure: missing: expected the name of a procedure"},
		"no rule":       {shortRunbook + "schedules: [{id: a, procedure: A, at: \"02:00\"}]\n", at + "5:13: schedules[0].every: missing: expected day, a weekday, or first"},
		"no hour":       {shortRunbook + "schedules: [{id: a, procedure: A, every: day}]\n", at + "5:13: schedules[0].at: missing: expected an hour and a minute from 00:00 to 23:59, for example at: \"02:00\""},
		"id":            {shortRunbook + "schedules: [{id: Weekly Run, procedure: A, every: day, at: \"02:00\"}]\n", at + `5:18: schedules[0].id: got "Weekly Run": expected a name of lower-case letters`},
		"id twice":      {shortRunbook + oneSchedule + "  - {id: weekly, procedure: A, every: day, at: \"02:00\"}\n", at + "7:10: schedules[1].id: weekly a second time: expected each id once"},
		"procedure":     {shortRunbook + "schedules: [{id: a, procedure: weekly, every: day, at: \"02:00\"}]\n", at + `5:32: schedules[0].procedure: got "weekly": expected the name of a procedure, for example WeeklyMaintenance`},
		"rule":          {shortRunbook + "schedules: [{id: a, procedure: A, every: sundays, at: \"02:00\"}]\n", at + `5:42: schedules[0].every: got "sundays": expected day, a weekday, or first, second, third, fourth or last with a weekday, for example sunday, or: first sunday`},
		"hour":          {shortRunbook + "schedules: [{id: a, procedure: A, every: day, at: \"25:00\"}]\n", at + `5:51: schedules[0].at: got "25:00": expected an hour and a minute from 00:00 to 23:59, for example "02:00"`},
		"a number":      {shortRunbook + "schedules: [{id: a, procedure: A, every: day, at: 2}]\n", at + `5:51: schedules[0].at: got 2: expected an hour and a minute`},
		"zone":          {with("timezone: PST8"), at + `6:86: schedules[0].timezone: got "PST8": expected a zone of the IANA database, for example America/Los_Angeles`},
		"too late":      {with("catch_up: 24h"), at + `6:86: schedules[0].catch_up: got "24h": expected a duration from 1m0s to 12h0m0s, for example 1h`},
		"too soon":      {with("catch_up: 1s"), at + `6:86: schedules[0].catch_up: got "1s": expected a duration from 1m0s to 12h0m0s`},
		"input":         {with("input: 90m"), at + `6:83: schedules[0].input: got "90m": expected the procedure's input, a JSON object, for example '{"window":"90m"}'`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := project(t, c.yaml, "").Policy()
			require.Equal(t, runbook.Refused, runbook.KindOf(err), "%v", err)
			require.Contains(t, runbook.Reason(err), c.want)
		})
	}
}
