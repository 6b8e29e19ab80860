package runbook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Change is one thing a plan wants done, in the order it is wanted.
type Change struct {
	// Step is the wire name of the step that does it.
	Step string `json:"step"`
	// Target is the thing it is done to: a service, an index, a file name.
	Target string `json:"target"`
	// What says the change in words without ids, addresses, times or measurements,
	// but with image digests and object names: it is hashed.
	What string `json:"what"`
	// Effect marks what cannot be undone.
	Effect string `json:"effect"`
	// Reason says why, and may hold measurements: it is not hashed.
	Reason string `json:"reason,omitempty"`
}

// Plan is what a procedure decided to do before it did anything.
type Plan struct {
	Changes []Change `json:"changes"`
	// PolicyHash is the hash of the policy the plan was made under.
	PolicyHash string `json:"policyHash"`
	// Hash identifies the plan: same world, same policy, same hash.
	Hash string `json:"hash"`
}

// NewPlan makes a plan and its hash.
func NewPlan(policyHash string, changes []Change) Plan {
	type hashed struct{ Step, Target, What, Effect string }
	body := struct {
		Policy  string
		Changes []hashed
	}{Policy: policyHash}
	for _, c := range changes {
		body.Changes = append(body.Changes, hashed{c.Step, c.Target, c.What, c.Effect})
	}
	raw, err := json.Marshal(body)
	if err != nil { // strings only: it cannot fail
		panic(err)
	}
	sum := sha256.Sum256(raw)
	return Plan{Changes: changes, PolicyHash: policyHash, Hash: "sha256:" + hex.EncodeToString(sum[:])}
}

// Difference is where the world, seen again before an act, was not as planned.
type Difference struct {
	Step   string `json:"step"`
	Target string `json:"target"`
	// What says planned and found.
	What string `json:"what"`
}
