package route

import (
	"context"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// An Owner is a partition, of this replica or of another. Its errors are those of
// partition.Partition, by wire.KindOf; partition.ErrLost says that the owner has changed
// or cannot be reached.
type Owner interface {
	Submit(ctx context.Context, drafts []*partition.Draft) ([]partition.Submitted, error)
	Get(ctx context.Context, id partition.TaskID) (partition.Task, error)
	Await(ctx context.Context, id partition.TaskID) (partition.Task, error)
	Cancel(ctx context.Context, id partition.TaskID) error
	Explain(ctx context.Context, id partition.TaskID) (string, error)
	Redrive(ctx context.Context, id partition.TaskID) error
	List(ctx context.Context, page partition.Page) ([]partition.Task, error)
	Stats(ctx context.Context) ([]partition.Stats, error)
	Agents(ctx context.Context) ([]partition.AgentInfo, error)
	Heartbeat(ctx context.Context, list []partition.Beat) ([][]partition.Execution, error)
	Report(ctx context.Context, reports []partition.Report) ([]partition.Verdict, error)
	Release(ctx context.Context, agent string, list []partition.Execution) (int, error)
	// Snapshot writes the partition's snapshot now and trims its log.
	Snapshot(ctx context.Context) (out partition.Compaction, changed bool, err error)
	// Desk opens the place where one replica seats its agents.
	Desk(ctx context.Context) (Desk, error)
}

// A Desk is where one replica's agents are seated at a partition. What happens to them
// is told to their sinks until Over.
type Desk interface {
	Seat(ctx context.Context, list []partition.Seating) (refused []error, err error)
	Unseat(ctx context.Context, list []partition.Leaving) error
	Grant(ctx context.Context, list []partition.Grant) error
	// Over is closed when the partition has ended there or cannot be heard any more.
	Over() <-chan struct{}
	// Close unseats everybody.
	Close()
}

// Local is a partition of this replica.
type Local struct{ *partition.Partition }

// Desk answers the partition itself.
func (l Local) Desk(context.Context) (Desk, error) { return localDesk(l), nil }

type localDesk struct{ *partition.Partition }

// Close does nothing: a replica that stops hands its partitions over too.
func (localDesk) Close() {}
