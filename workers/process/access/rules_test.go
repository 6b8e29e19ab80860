package access

import (
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// row is one call in the page's table: | `call` | agent | client | operator |.
var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (yes|own|no) \\| (yes|no) \\| yes \\|")

// body are the calls that name the agent in their body: the handler asks Own.
var inBody = map[string]bool{
	"Work": true, "Attach": true, "Detach": true, "Heartbeat": true, "Complete": true, "Release": true,
	"POST /v1/messages": true, "POST /v1/messages/ack": true,
}

func TestThePageShowsTheTable(t *testing.T) {
	page, err := os.ReadFile("../../../docs/access.md")
	require.NoError(t, err)
	shown := map[string][2]string{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		shown[m[1]] = [2]string{m[2], m[3]}
	}
	want := map[string][2]string{}
	for _, r := range rules {
		call := strings.TrimPrefix(r.pattern, service)
		agent, client := "no", "no"
		for _, role := range r.roles {
			switch {
			case role == Client:
				client = "yes"
			case r.own != "" || inBody[call]:
				agent = "own"
			default:
				agent = "yes"
			}
		}
		want[call] = [2]string{agent, client}
	}
	require.Equal(t, want, shown)
	for _, reason := range Reasons() {
		require.Contains(t, string(page), "`"+reason+"`")
	}
}

func TestFind_WhatTheTableDoesNotNameIsTheOperators(t *testing.T) {
	table := newTable()
	for _, target := range []string{
		"/", "/v1/tasks/", "/v1//tasks", "/v1/tasks/../stats", "/v1/tasks/x/redrive", "/hive.v1.AssignmentService/DeadLetters",
		"/hive.v1.AssignmentService/", "/debug/pprof",
	} {
		r := find(table, httptest.NewRequest("GET", target, nil))
		require.False(t, r.allows(Agent), target)
		require.False(t, r.allows(Client), target)
		require.True(t, r.allows(Operator), target)
	}
}

func TestFind_CallsAboutTasks(t *testing.T) {
	table := newTable()
	for _, c := range []struct {
		method, target string
		client         bool
	}{
		{"GET", "/v1/tasks", true},
		{"GET", "/v1/tasks?queue=q&state=dead", true},
		{"GET", "/v1/tasks/x/explain", true},
		{"POST", "/v1/tasks/x/cancel", true},
		{"GET", "/v1/tasks/x/cancel", false},
		{"POST", "/v1/tasks/x/redrive", false},
		{"DELETE", "/v1/tasks/x", false},
		{"POST", service + "SubmitStream", true},
		{"POST", service + "Redrive", false},
		{"POST", service + "Work", false},
		{"POST", "/hive.v1.PeerService/Submit", false},
	} {
		r := find(table, httptest.NewRequest(c.method, c.target, nil))
		require.Equal(t, c.client, r.allows(Client), c.target)
		require.Equal(t, c.target == service+"Work", r.allows(Agent), c.target)
		require.True(t, r.allows(Operator), c.target)
	}
}

func TestOwns(t *testing.T) {
	named := caller{Agent, "worker"}
	require.NoError(t, named.owns("worker"))
	require.NoError(t, named.owns("worker-1"))
	for _, other := range []string{"", "worke", "worker1", "other", "topic:worker"} {
		var notOwn *NotOwnError
		require.ErrorAs(t, named.owns(other), &notOwn, other)
	}
	for _, all := range []caller{{}, {role: Agent}, {Client, "worker"}, {Operator, "worker"}} {
		require.NoError(t, all.owns("other"))
	}
}
