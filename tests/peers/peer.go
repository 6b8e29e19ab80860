package main

import (
	"context"
	"slices"
	"time"
)

// Durability says how soon an acknowledged task is on the disk.
type Durability string

// The durabilities that are compared.
const (
	// EverySec syncs the disk once a second: a crash of the machine may lose the last second.
	EverySec Durability = "everysec"
	// Always syncs before it acknowledges.
	Always Durability = "always"
)

// Room is what a contender is compared in.
type Room string

// The rooms.
const (
	// Tasks: published, consumed by one of several workers, acknowledged one by one.
	Tasks Room = "tasks"
	// Messages: 64 agents over WebSocket, each with a durable inbox of its own.
	Messages Room = "messages"
)

// leaseTerm is how long a worker may hold a task before another gets it. It is
// long, and the same for JetStream and ours: with the orchestrator's default of
// 10 s both of two runs at saturation ended with an execution that was cancelled
// in its agent's hand, and the books did not close.
const leaseTerm = 2 * time.Minute

// Part is the side a contender is on.
type Part int

// The parts.
const (
	// Rival is what ours must beat.
	Rival Part = iota
	// Ours is built from this checkout.
	Ours
	// Ceiling stores and delivers nothing: shown beside, compared with nobody.
	Ceiling
)

// Peer is one contender. Its servers run as processes of their own; what is
// called here runs in the one client process. Another contender is one more file
// with a Peer and one more line in contenders.
type Peer interface {
	// Start brings the servers up and connects to them.
	Start(ctx context.Context, env Env) error
	// Submit publishes a batch and returns when the server has acknowledged all
	// of it. Lanes call it side by side, each with its own number.
	Submit(ctx context.Context, lane int, batch []Task) error
	// Consume tells the sink of each task that begins and of each that has been
	// acknowledged, until ctx ends.
	Consume(ctx context.Context, sink Sink) error
	// Left is how many tasks the server itself says that it still holds.
	Left(ctx context.Context) (int64, error)
	// Stop ends connections and servers and removes their files.
	Stop() error
}

// Sink is told what becomes of the tasks.
type Sink interface {
	// Begin notes that a task has reached its worker, and answers its number.
	Begin(payload []byte) uint64
	// Done notes acknowledgements, one per task.
	Done(ids ...uint64)
	// Fail notes what must not happen: the run is worth nothing.
	Fail(err error)
}

// Env is what a peer starts with.
type Env struct {
	Durability Durability
	// Checkout is the root of the product's module; ours are built from it.
	Checkout string
}

// Spec describes a contender.
type Spec struct {
	Name  string
	About string
	Room  Room
	Part  Part
	// Batch is how many tasks one Submit takes, Lanes how many submit side by side.
	Batch, Lanes int
	New          func() Peer
	// Slow: not asked for the slowest peer, whose half is the second fixed rate.
	Slow bool
}

// contenders in the order of the table.
func contenders() []Spec {
	return []Spec{
		streamsSpec(), jetstreamSpec(), riverSpec(), asynqSpec(), xaddSpec(), orchestratorSpec(),
		natsAgentsSpec(), hubSpec(),
	}
}

// names of the contenders.
func names(specs []Spec) []string {
	var out []string
	for i := range specs {
		out = append(out, specs[i].Name)
	}
	return out
}

// find answers the contender of that name.
func find(specs []Spec, name string) (Spec, bool) {
	i := slices.IndexFunc(specs, func(s Spec) bool { return s.Name == name })
	if i < 0 {
		return Spec{}, false
	}
	return specs[i], true
}
