package bootstrap

import (
	"fmt"
	"slices"

	"github.com/leanvibe/hive/workflows/runbook"
)

// act is what becomes of one container of a service.
type act struct {
	// do is "create", "start", or "replace" (stop, remove, create).
	do string
	// id and number are the container's; id is empty for one to create.
	id     string
	number int
}

// wanted is what the compose file says of a service, and what its tag names here.
type wanted struct {
	service  string
	role     runbook.Role
	replicas int
	hash     string
	imageID  string
}

// decision is what to do about a service, and what was found different and left alone.
type decision struct {
	acts []act
	// left says in words what differs and why it stays.
	left []string
	// keep are the running containers that stay.
	keep []runbook.Container
}

// running says whether the engine gives the container a process.
func running(c runbook.Container) bool {
	return c.State == "running" || c.State == "restarting" || c.State == "paused"
}

// decide compares what is here with what is wanted. What is right is left alone.
// What differs and runs is replaced only on the platform (role ""), where nobody
// else does it: applications are rolled by procedures, and a store, the proxy or
// monitoring is an operator's decision.
func decide(w wanted, here []runbook.Container) decision {
	var d decision
	used := map[int]bool{}
	var stopped []runbook.Container
	for _, c := range here {
		used[c.Number] = true
		if !running(c) {
			stopped = append(stopped, c)
			continue
		}
		why := difference(w, c)
		if why != "" && w.role == "" {
			d.acts = append(d.acts, act{"replace", c.ID, c.Number})
			d.left = append(d.left, fmt.Sprintf("%s: %s: it is replaced", c.Name, why))
			continue
		}
		if why != "" {
			d.left = append(d.left, fmt.Sprintf("%s: %s: left as it is%s", c.Name, why, wayOut(w, c)))
		}
		if c.State == "paused" {
			d.left = append(d.left, fmt.Sprintf("%s is paused: docker unpause %s", c.Name, c.Name))
		}
		d.keep = append(d.keep, c)
	}
	have := len(d.keep) + len(d.acts)
	for _, c := range stopped {
		switch {
		case have >= w.replicas:
			d.left = append(d.left, fmt.Sprintf("%s is %s and one too many: it stays stopped; docker rm %s removes it", c.Name, c.State, c.Name))
			continue
		case difference(w, c) != "" || c.State != "exited":
			d.acts = append(d.acts, act{"replace", c.ID, c.Number})
		default:
			d.acts = append(d.acts, act{"start", c.ID, c.Number})
		}
		have++
	}
	for number := 1; have < w.replicas; number++ {
		if !used[number] {
			d.acts = append(d.acts, act{"create", "", number})
			have++
		}
	}
	slices.SortStableFunc(d.acts, func(a, b act) int { return a.number - b.number })
	return d
}

// difference says in which way a container is not what the file wants now, or "".
func difference(w wanted, c runbook.Container) string {
	switch {
	case c.ConfigHash != w.hash:
		return "its configuration differs from the compose file's"
	case w.imageID != "" && c.ImageID != w.imageID:
		return "it runs another image than its tag names"
	default:
		return ""
	}
}

func wayOut(w wanted, c runbook.Container) string {
	if w.role.Rolled() {
		return "; hive run RollingRestart changes it without losing a request"
	}
	return fmt.Sprintf("; once it may be away for a moment: docker stop %[1]s && docker rm %[1]s, then hive up", c.Name)
}
