package runbook

import (
	"fmt"
	"time"
)

// Targeted is the input of a step that changes something: it names what, as the
// ledger keeps it.
type Targeted interface{ Target() string }

// Target implements Targeted.
func (in PullImageInput) Target() string { return in.Image }

// Target implements Targeted.
func (in TagImageInput) Target() string { return in.Tag }

// Target implements Targeted.
func (in CreateReplicaInput) Target() string {
	return fmt.Sprintf("%s-%s-%d", in.Project, in.Service, in.Number)
}

// Target implements Targeted.
func (in ReplicaInput) Target() string { return in.Name }

// Target implements Targeted.
func (in RemoveReclaimableInput) Target() string { return in.Item.Kind + " " + in.Item.Name }

// Target implements Targeted.
func (in SetUpstreamInput) Target() string { return in.Upstream }

// Target implements Targeted.
func (in WorkerInput) Target() string { return in.Name }

// Target implements Targeted.
func (in MaintainInput) Target() string {
	object := in.Table
	if in.Index != "" {
		object = in.Index
	}
	return in.Database.Name + " " + in.Schema + "." + object
}

// Target implements Targeted.
func (in LogInput) Target() string { return in.Directory + "/" + in.Path }

// Target implements Targeted.
func (in ArtefactInput) Target() string { return "out/" + in.Path }

// Target implements Targeted.
func (in SilenceInput) Target() string {
	if in.ID != "" {
		return "silence " + in.ID
	}
	return "silence of " + in.Run
}

// Target implements Targeted.
func (in NoticeInput) Target() string { return in.Key }

// Asked is the input of a procedure: it says who asked for it, and how.
type Asked interface {
	Asking() (requestedBy, trigger string)
}

// Asking implements Asked.
func (o Options) Asking() (requestedBy, trigger string) {
	if o.Trigger == "" {
		return o.RequestedBy, "ui"
	}
	return o.RequestedBy, o.Trigger
}

// LedgerInput asks for the ledger's head.
type LedgerInput struct{}

// LedgerHead is the ledger's newest row. It stands in each run's result, so that a
// ledger whose tail was cut later can be told: `hive ledger verify --head`.
type LedgerHead struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
	// Spooled are rows that wait on disk for the ledger's database.
	Spooled int `json:"spooled,omitempty"`
}

// String is the head as `hive ledger verify --head` takes it.
func (h LedgerHead) String() string { return fmt.Sprintf("%d:%s", h.Seq, h.Hash) }

// ReadLedgerHead reads the ledger's head.
var ReadLedgerHead = Step[LedgerInput, LedgerHead]{
	Name: "ledger.ReadHead", Timeout: 5 * time.Second, Total: 45 * time.Second, Attempts: 5,
	Summary: func(LedgerInput) string { return "head of the ledger" },
}
