package access

import "strings"

// Role is what a token may be used for.
type Role string

// The roles, as they stand in the file.
const (
	// Agent executes tasks: it attaches, reports, and has an inbox.
	Agent Role = "agent"
	// Client submits tasks and sends messages.
	Client Role = "client"
	// Operator may do everything.
	Operator Role = "operator"
)

// may says in a refusal what a role is for.
var may = map[Role]string{
	Agent:    "attach, send heartbeats, report results and use its own inbox",
	Client:   "submit and read tasks and send messages",
	Operator: "do everything",
}

// rolesText lists roles for a sentence.
func rolesText(roles []Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}
