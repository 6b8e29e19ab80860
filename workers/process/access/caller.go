package access

import (
	"context"
	"fmt"
	"strings"
)

// caller is who a known token stands for.
type caller struct {
	role Role
	// name binds an agent's token to the agents of that name; empty: to none.
	name string
}

type callerKey struct{}

// NotOwnError is an agent's token used for another agent.
type NotOwnError struct{ Name, Agent string }

// Error names both.
func (e *NotOwnError) Error() string {
	return fmt.Sprintf("the token of agent %q speaks for %s and %s-*, not for %.128q", e.Name, e.Name, e.Name, e.Agent)
}

// Own tells whether the caller of a request may speak for an agent: an agent's
// token that has a name speaks for the agent of that name and for those whose
// names go on with a dash. The error is a *NotOwnError. With open access, and for
// the other roles, everybody may.
func Own(ctx context.Context, agent string) error {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.owns(agent)
}

func (c caller) owns(agent string) error {
	if c.role != Agent || c.name == "" || agent == c.name || strings.HasPrefix(agent, c.name+"-") {
		return nil
	}
	return &NotOwnError{Name: c.name, Agent: agent}
}
