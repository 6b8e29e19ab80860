package runbook

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ControlAssignment is the queue that replicas of universal-orchestrator poll where they
// are told of a Temporal server, and the word for it in x-hive.control. Any of them
// answers, for whichever replica an input names.
const ControlAssignment = "assignment"

// pickup is how long a step waits for a replica that polls: each of them does, or none.
const pickup = 15 * time.Second

// OrchestratorInput names a replica to drain or to resume.
type OrchestratorInput struct {
	Fence
	// Replica is the host of the address where other replicas ask it, its HIVE_INSTANCE,
	// or its whole name, which is that of one process.
	Replica string `json:"replica"`
	// Name is the container's, for messages.
	Name string `json:"name,omitempty"`
	// Deadline is how long its partitions and agents are waited for (default 30 s).
	Deadline Duration `json:"deadline,omitempty"`
}

const (
	// ControlMost is the longest that a control step may be told to wait.
	ControlMost = Duration(90 * time.Second)
	// controlDeadline is how long it waits unless told.
	controlDeadline = 30 * time.Second
)

// Wait is the deadline, or its default.
func (in OrchestratorInput) Wait() time.Duration { return in.Deadline.Or(controlDeadline) }

// Validate refuses an input without a replica or with a deadline that cannot be kept.
func (in OrchestratorInput) Validate() error {
	if in.Replica == "" {
		return errors.New(`replica: is empty; name one, for example "10.231.16.7"`)
	}
	return validDeadline(in.Deadline)
}

func validDeadline(d Duration) error {
	if d < 0 || d > ControlMost {
		return fmt.Errorf("deadline: %s is not between 0s and %s", d, ControlMost)
	}
	return nil
}

// Target implements Targeted.
func (in OrchestratorInput) Target() string {
	if in.Name != "" {
		return in.Name
	}
	return in.Replica
}

// ReplicaStanding is how a replica stands after an order, and when it was last looked at.
type ReplicaStanding struct {
	// Changed: it stood otherwise before the order.
	Changed bool `json:"changed"`
	// Replica is its whole name.
	Replica string `json:"replica"`
	// Draining: it takes no agents and no partitions.
	Draining bool `json:"draining"`
	// Agents and Partitions are how many it has.
	Agents     int `json:"agents"`
	Partitions int `json:"partitions"`
	// Met: what was waited for is so; false when the deadline came first.
	Met bool `json:"met"`
}

// DrainReplica has a replica give up its partitions and its agents and take no others,
// until it is resumed or its process ends; it goes on serving calls. Drained already is
// success. The only one that takes partitions is Unsafe to drain. That something is left
// at the deadline is an answer (Met false), not a failure: it goes on leaving.
var DrainReplica = Step[OrchestratorInput, ReplicaStanding]{
	Name: "assignment.DrainReplica", Effect: Write, Queue: ControlAssignment, Pickup: pickup, Timeout: 2 * time.Minute, Total: 3 * time.Minute,
	Summary: func(in OrchestratorInput) string { return in.Target() + " hands its partitions and agents over" },
}

// ResumeReplica has a replica take its share again; the undo of DrainReplica. A replica
// that has not been drained is success.
var ResumeReplica = Step[OrchestratorInput, ReplicaStanding]{
	Name: "assignment.ResumeReplica", Effect: Write, Queue: ControlAssignment, Pickup: pickup, Timeout: 2 * time.Minute, Total: 3 * time.Minute,
	Summary: func(in OrchestratorInput) string { return in.Target() + " takes its share again" },
}

// SnapshotInput names partitions; none means all.
type SnapshotInput struct {
	Fence
	Partitions []int `json:"partitions,omitempty"`
}

// Validate refuses a partition that cannot be and one that is named twice.
func (in SnapshotInput) Validate() error {
	named := map[int]bool{}
	for i, n := range in.Partitions {
		switch {
		case n < 0:
			return fmt.Errorf("partitions[%d]: %d is no partition; they count from 0", i, n)
		case named[n]:
			return fmt.Errorf("partitions[%d]: %d is named twice", i, n)
		}
		named[n] = true
	}
	return nil
}

// Target implements Targeted.
func (in SnapshotInput) Target() string {
	if len(in.Partitions) == 0 {
		return "every partition"
	}
	return "partitions " + strings.Trim(fmt.Sprint(in.Partitions), "[]")
}

// PartitionSnapshot is what a snapshot has made of one partition's log.
type PartitionSnapshot struct {
	Partition int `json:"partition"`
	// Changed: there was a log to trim.
	Changed bool `json:"changed"`
	// Sequence is the journal's, behind which the snapshot stands; 0 where nothing changed.
	Sequence uint64 `json:"sequence,omitempty"`
	// Before and After are the bytes of the log's records, which a next owner reads one by
	// one behind the snapshot.
	Before int `json:"before"`
	After  int `json:"after"`
}

// PartitionSnapshots are all that were asked for, in order.
type PartitionSnapshots struct {
	Partitions []PartitionSnapshot `json:"partitions"`
}

// SnapshotPartitions has each partition write its snapshot and trim its log now, so that a
// takeover reads little behind it. A log without records stays as it is.
var SnapshotPartitions = Step[SnapshotInput, PartitionSnapshots]{
	Name: "assignment.SnapshotPartitions", Effect: Write, Queue: ControlAssignment, Pickup: pickup, Timeout: 2 * time.Minute, Total: 4 * time.Minute,
	Summary: func(in SnapshotInput) string { return "snapshot of " + in.Target() },
}

// RebalanceInput says how long to wait for the partitions to be where the plan has them.
type RebalanceInput struct {
	Fence
	// Deadline is how long they are waited for (default 30 s).
	Deadline Duration `json:"deadline,omitempty"`
}

// Wait is the deadline, or its default.
func (in RebalanceInput) Wait() time.Duration { return in.Deadline.Or(controlDeadline) }

// Validate refuses a deadline that cannot be kept.
func (in RebalanceInput) Validate() error { return validDeadline(in.Deadline) }

// Target implements Targeted.
func (in RebalanceInput) Target() string { return "every partition" }

// Placement is who owns each partition, by whole name and in order; empty: nobody.
type Placement struct {
	Before []string `json:"before"`
	After  []string `json:"after"`
	// Met: every partition is where the plan has it.
	Met bool `json:"met"`
}

// RebalancePartitions has the replicas level their partitions now and waits until each is
// where the plan has it. Nothing to do is success.
var RebalancePartitions = Step[RebalanceInput, Placement]{
	Name: "assignment.RebalancePartitions", Effect: Write, Queue: ControlAssignment, Pickup: pickup, Timeout: 2 * time.Minute, Total: 3 * time.Minute,
	Summary: func(RebalanceInput) string { return "partitions spread evenly" },
}
