// Package kill kills a victim at a chosen moment of a chosen step. The opsworker under test carries an interceptor that
// asks a referee, who lives in the kit and is no victim, before and after every act; the referee holds the orders, takes
// one before it is carried out, and so kills once.
//
//	kill.go         orders, points, victims    referee.go  who decides, over a unix socket
//	interceptor.go  who asks, in the opsworker under test
package kill

import "fmt"

// Point is the moment of a step at which the victim dies.
type Point string

// The points of a step. A step's effect lies between Before and Effect; its reply between Effect and After.
const (
	// Before: the step has been handed out, and nothing has been done.
	Before Point = "before"
	// Effect: the step has been done, and nobody has been told.
	Effect Point = "effect"
	// After: the server has taken the step's reply.
	After Point = "after"
)

// Points are all of them, in order.
func Points() []Point { return []Point{Before, Effect, After} }

// Victim is who dies.
type Victim string

// The victims. Database is the ledger's; it and Engine die at random moments only, not at steps.
const (
	OpsWorker Victim = "opsworker"
	Temporal  Victim = "temporal"
	Database  Victim = "ledger database"
	Engine    Victim = "engine"
)

// Order says who dies where: at the nth meeting with a step of a procedure.
type Order struct {
	// Procedure is the type of the workflow that asked for the step.
	Procedure string `json:"procedure"`
	// Step is the wire name.
	Step string `json:"step"`
	// Nth counts the distinct acts of that step under that procedure, from 1.
	Nth    int    `json:"nth"`
	Point  Point  `json:"point"`
	Victim Victim `json:"victim"`
}

// String is the order in a line.
func (o Order) String() string {
	return fmt.Sprintf("%s %s %s #%d kill %s", o.Procedure, o.Point, o.Step, o.Nth, o.Victim)
}

// Meeting is what the interceptor tells of an act: that it is about to begin or, with Done, that it has just ended.
type Meeting struct {
	Procedure string `json:"procedure"`
	Step      string `json:"step"`
	Workflow  string `json:"workflow"`
	Run       string `json:"run"`
	Activity  string `json:"activity"`
	Attempt   int32  `json:"attempt"`
	Done      bool   `json:"done"`
}

// act names one act in all its attempts.
func (m Meeting) act() string { return m.Workflow + "/" + m.Run + "/" + m.Activity }

// answer is the referee's word.
type answer struct {
	// Die asks the process that met the step to end itself, now.
	Die bool `json:"die"`
}
