package access

import (
	"net/http"
	"slices"
)

// rule says who may make one call; the operator may make every one.
type rule struct {
	// pattern is one of http.ServeMux.
	pattern string
	roles   []Role
	// own is the query's field that names the agent whom an agent speaks for. Calls
	// that name it in their body ask Own.
	own string
}

const service = "/hive.v1.AssignmentService/"

// rules are who may what; docs/access.md shows the same table, and a test compares
// them. A call that stands here under no pattern is the operator's alone.
var rules = []rule{
	{pattern: service + "Submit", roles: []Role{Client}},
	{pattern: service + "SubmitBatch", roles: []Role{Client}},
	{pattern: service + "SubmitStream", roles: []Role{Client}},
	{pattern: service + "GetTask", roles: []Role{Client}},
	{pattern: service + "Cancel", roles: []Role{Client}},
	{pattern: service + "Explain", roles: []Role{Client}},
	{pattern: service + "ListTasks", roles: []Role{Client}},
	{pattern: service + "Redrive"},
	{pattern: service + "Work", roles: []Role{Agent}},
	{pattern: service + "Attach", roles: []Role{Agent}},
	{pattern: service + "Detach", roles: []Role{Agent}},
	{pattern: service + "Heartbeat", roles: []Role{Agent}},
	{pattern: service + "Complete", roles: []Role{Agent}},
	{pattern: service + "Release", roles: []Role{Agent}},
	{pattern: service + "ListAgents"},
	{pattern: service + "Stats"},
	{pattern: "POST /v1/tasks", roles: []Role{Client}},
	{pattern: "GET /v1/tasks", roles: []Role{Client}},
	{pattern: "GET /v1/tasks/{id}", roles: []Role{Client}},
	{pattern: "GET /v1/tasks/{id}/wait", roles: []Role{Client}},
	{pattern: "GET /v1/tasks/{id}/explain", roles: []Role{Client}},
	{pattern: "POST /v1/tasks/{id}/cancel", roles: []Role{Client}},
	{pattern: "POST /v1/tasks/{id}/redrive"},
	{pattern: "GET /v1/agents"},
	{pattern: "GET /v1/stats"},
	{pattern: "GET /v1/hub/connect", roles: []Role{Agent}, own: "agent"},
	{pattern: "POST /v1/messages", roles: []Role{Agent, Client}},
	{pattern: "GET /v1/messages", roles: []Role{Agent}, own: "of"},
	{pattern: "POST /v1/messages/ack", roles: []Role{Agent}},
	{pattern: "GET /control/status"},
	{pattern: "POST /control/drain"},
	{pattern: "POST /control/resume"},
}

// ServeHTTP makes a rule something that http.ServeMux finds; it is never served.
func (rule) ServeHTTP(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }

func newTable() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range rules {
		mux.Handle(r.pattern, r)
	}
	return mux
}

// find answers the rule of a request; none: the operator's alone.
func find(table *http.ServeMux, r *http.Request) rule {
	h, _ := table.Handler(r)
	found, _ := h.(rule)
	return found
}

func (r rule) allows(role Role) bool { return role == Operator || slices.Contains(r.roles, role) }

func (r rule) who() string { return rolesText(append(slices.Clone(r.roles), Operator)) }
