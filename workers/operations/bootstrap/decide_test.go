package bootstrap

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func TestDecide(t *testing.T) {
	is := func(number int, state, hash, image string) runbook.Container {
		return runbook.Container{ID: string(rune('a' + number)), Name: "c", Number: number, State: state, ConfigHash: hash, ImageID: image}
	}
	app := wanted{service: "hub", role: runbook.RoleApp, replicas: 2, hash: "h", imageID: "i"}
	store := wanted{service: "db", role: runbook.RoleStore, replicas: 1, hash: "h", imageID: "i"}
	ours := wanted{service: "opsworker", replicas: 1, hash: "h", imageID: "i"}
	for _, c := range []struct {
		name string
		want wanted
		here []runbook.Container
		acts []act
		left string
		keep int
	}{
		{"nothing here", app, nil, []act{{"create", "", 1}, {"create", "", 2}}, "", 0},
		{"all right", app, []runbook.Container{is(1, "running", "h", "i"), is(2, "running", "h", "i")}, nil, "", 2},
		{"after a roll the numbers are higher", app, []runbook.Container{is(3, "running", "h", "i"), is(4, "running", "h", "i")}, nil, "", 2},
		{"one is missing", app, []runbook.Container{is(2, "running", "h", "i")}, []act{{"create", "", 1}}, "", 1},
		{"an app that differs is a procedure's", app, []runbook.Container{is(1, "running", "old", "i"), is(2, "running", "h", "old")}, nil, "RollingRestart", 2},
		{"one exited", app, []runbook.Container{is(1, "exited", "h", "i"), is(2, "running", "h", "i")}, []act{{"start", "b", 1}}, "", 1},
		{"one exited that is of another configuration", app, []runbook.Container{is(1, "exited", "old", "i"), is(2, "running", "h", "i")}, []act{{"replace", "b", 1}}, "", 1},
		{"one was created and never started", app, []runbook.Container{is(1, "created", "h", "i"), is(2, "running", "h", "i")}, []act{{"replace", "b", 1}}, "", 1},
		{"a stopped one too many", app, []runbook.Container{is(1, "running", "h", "i"), is(2, "running", "h", "i"), is(3, "exited", "h", "i")}, nil, "one too many", 2},
		{"scaled up stays", app, []runbook.Container{is(1, "running", "h", "i"), is(2, "running", "h", "i"), is(3, "running", "h", "i")}, nil, "", 3},
		{"a store that differs is named and left", store, []runbook.Container{is(1, "running", "h", "old")}, nil, "left as it is", 1},
		{"paused is not touched", store, []runbook.Container{is(1, "paused", "h", "i")}, nil, "docker unpause", 1},
		{"the platform is ours to replace", ours, []runbook.Container{is(1, "running", "h", "old")}, []act{{"replace", "b", 1}}, "it is replaced", 0},
		{"a restarting one is running", store, []runbook.Container{is(1, "restarting", "h", "i")}, nil, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decide(c.want, c.here)
			require.Equal(t, c.acts, d.acts)
			require.Len(t, d.keep, c.keep)
			if c.left == "" {
				require.Empty(t, d.left)
			} else {
				require.Contains(t, d.left[0], c.left)
			}
		})
	}
}
