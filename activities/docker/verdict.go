package docker

import (
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// The engine's defaults where a HEALTHCHECK names neither.
	intervalDefault = 30 * time.Second
	timeoutDefault  = 30 * time.Second
	// silenceSlack is added to two rounds of a check before its last verdict counts as old.
	silenceSlack = 10 * time.Second
)

// verdictOf is the engine's word on a container's health and, where nobody has
// renewed it for longer than two rounds of the check take, how old it is. The
// engine's health monitor can die (a restart of dockerd under live-restore does
// that), and its last word then stands for ever: a word that nobody renews is no
// data.
func verdictOf(state *container.State, check *container.HealthConfig, now time.Time) (health string, silent time.Duration) {
	if state.Health == nil || state.Health.Status == container.NoHealthcheck {
		return "", 0
	}
	health = state.Health.Status
	if state.Status != container.StateRunning {
		return health, 0
	}
	last := at(state.StartedAt)
	if log := state.Health.Log; len(log) > 0 && log[len(log)-1].End.After(last) {
		last = log[len(log)-1].End
	}
	interval, timeout := intervalDefault, timeoutDefault
	if check != nil && check.Interval > 0 {
		interval = check.Interval
	}
	if check != nil && check.Timeout > 0 {
		timeout = check.Timeout
	}
	const rounds = 2
	if age := now.Sub(last); age > rounds*(interval+timeout)+silenceSlack {
		return runbook.HealthSilent, age
	}
	return health, 0
}
