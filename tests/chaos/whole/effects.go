package whole

import (
	"context"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	dockerclient "github.com/docker/docker/client"
)

// watch counts the engine's events on the project's containers until the context ends, and nginx's reloads, which are
// commands that the engine was asked to run in its container.
func watch(ctx context.Context, api *dockerclient.Client, project string) (count func() map[string]int) {
	wanted := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("label", projectLabel+"="+project))
	messages, failed := api.Events(ctx, events.ListOptions{Filters: wanted})
	var mu sync.Mutex
	seen := map[string]int{}
	go func() {
		for {
			select {
			case m := <-messages:
				what := effect(m)
				if what == "" {
					continue
				}
				mu.Lock()
				seen[what]++
				mu.Unlock()
			case <-failed: //nolint:errcheck // the stream ends with ctx
				return
			}
		}
	}()
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		out := map[string]int{}
		for what, n := range seen {
			out[what] = n
		}
		return out
	}
}

// effect names what an event did; "" for one that only looked.
func effect(m events.Message) string {
	name := m.Actor.Attributes["name"]
	switch m.Action {
	case events.ActionCreate, events.ActionStart, events.ActionDie, events.ActionDestroy, events.ActionRename, events.ActionPause, events.ActionRestart:
		return string(m.Action) + " " + name
	case events.ActionKill:
		return "signal " + m.Actor.Attributes["signal"] + " to " + name
	}
	if strings.HasPrefix(string(m.Action), string(events.ActionExecStart)) && strings.Contains(string(m.Action), "-s reload") {
		return "reload of " + name
	}
	return ""
}

// twice is what was done more often than in the run without kills.
func twice(effects, reference map[string]int) map[string]int {
	out := map[string]int{}
	for what, n := range effects {
		if more := n - reference[what]; more > 0 {
			out[what] = more
		}
	}
	return out
}
