package runbook

import "fmt"

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
