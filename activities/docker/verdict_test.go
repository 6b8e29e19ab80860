package docker

import (
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func TestAVerdictThatNobodyRenewsIsNoData(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	started := func(ago time.Duration) string { return now.Add(-ago).Format(time.RFC3339Nano) }
	health := func(status string, ended ...time.Duration) *container.Health {
		h := &container.Health{Status: status}
		for _, ago := range ended {
			h.Log = append(h.Log, &container.HealthcheckResult{End: now.Add(-ago)})
		}
		return h
	}
	short := &container.HealthConfig{Interval: 5 * time.Second, Timeout: 2 * time.Second} // old after 2 × 7 s + 10 s
	for name, c := range map[string]struct {
		state  container.State
		check  *container.HealthConfig
		health string
		silent time.Duration
	}{
		"no check":                    {container.State{Status: "running", StartedAt: started(time.Hour)}, nil, "", 0},
		"none":                        {container.State{Status: "running", Health: health("none"), StartedAt: started(time.Hour)}, short, "", 0},
		"fresh":                       {container.State{Status: "running", Health: health("healthy", 20*time.Second, 6*time.Second), StartedAt: started(time.Hour)}, short, "healthy", 0},
		"late by less than the slack": {container.State{Status: "running", Health: health("healthy", 24*time.Second), StartedAt: started(time.Hour)}, short, "healthy", 0},
		"old":                         {container.State{Status: "running", Health: health("healthy", 25*time.Second), StartedAt: started(time.Hour)}, short, runbook.HealthSilent, 25 * time.Second},
		"old and bad":                 {container.State{Status: "running", Health: health("unhealthy", time.Minute), StartedAt: started(time.Hour)}, short, runbook.HealthSilent, time.Minute},
		"never checked":               {container.State{Status: "running", Health: health("starting"), StartedAt: started(time.Minute)}, short, runbook.HealthSilent, time.Minute},
		"not checked yet":             {container.State{Status: "running", Health: health("starting"), StartedAt: started(3 * time.Second)}, short, "starting", 0},
		"checked before a restart":    {container.State{Status: "running", Health: health("healthy", time.Hour), StartedAt: started(3 * time.Second)}, short, "healthy", 0},
		"by the engine's defaults":    {container.State{Status: "running", Health: health("healthy", 129*time.Second), StartedAt: started(time.Hour)}, nil, "healthy", 0},
		"older than the defaults":     {container.State{Status: "running", Health: health("healthy", 131*time.Second), StartedAt: started(time.Hour)}, &container.HealthConfig{}, runbook.HealthSilent, 131 * time.Second},
		"stopped":                     {container.State{Status: "exited", Health: health("unhealthy", time.Hour), StartedAt: started(2 * time.Hour)}, short, "unhealthy", 0},
	} {
		got, silent := verdictOf(&c.state, c.check, now)
		require.Equal(t, c.health, got, name)
		require.Equal(t, c.silent, silent, name)
	}
}

func TestCheckCommandIsTheEngines(t *testing.T) {
	command := func(shell []string, test ...string) []string {
		return checkCommand(&container.Config{Shell: shell, Healthcheck: &container.HealthConfig{Test: test}})
	}
	require.Equal(t, []string{"/app", "check"}, command(nil, "CMD", "/app", "check"))
	require.Equal(t, []string{"/bin/sh", "-c", "a | b"}, command(nil, "CMD-SHELL", "a | b"))
	require.Equal(t, []string{"/bin/bash", "-ec", "a"}, command([]string{"/bin/bash", "-ec"}, "CMD-SHELL", "a"))
	require.Nil(t, command(nil, "NONE"))
	require.Nil(t, command(nil))
	require.Nil(t, checkCommand(&container.Config{}))
}
