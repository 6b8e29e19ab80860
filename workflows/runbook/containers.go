package runbook

import (
	"fmt"
	"time"
)

// Container is one container of the project, running or not.
type Container struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Service string `json:"service"`
	Number  int    `json:"number"`
	// Image is the reference it was created from, ImageID what it runs.
	Image   string `json:"image"`
	ImageID string `json:"imageId"`
	// State is the engine's word (running, exited, created, …); Health is healthy,
	// unhealthy, starting, "" where there is no HEALTHCHECK, or HealthSilent. The
	// duration HealthSilent is how long the engine has not run the check, 0 while it
	// does; such a container is healthy if it passes the check when the census runs
	// it, else its health is HealthSilent.
	State        string    `json:"state"`
	Health       string    `json:"health,omitempty"`
	HealthSilent Duration  `json:"healthSilent,omitempty"`
	Restarts     int       `json:"restarts"`
	OOMKilled    bool      `json:"oomKilled,omitempty"`
	ExitCode     int       `json:"exitCode,omitempty"`
	Started      time.Time `json:"started"`
	Address      string    `json:"address,omitempty"`
	ConfigHash   string    `json:"configHash"`
	// Run is the run that made it, "" for one of compose or of hive up.
	Run string `json:"run,omitempty"`
	// LogLimited says whether its engine log is bounded.
	LogLimited bool `json:"logLimited"`
}

// HealthSilent is the health of a container whose last verdict nobody renews, and
// which does not pass its own check now.
const HealthSilent = "silent"

// CensusInput names the project to count.
type CensusInput struct {
	Project string `json:"project"`
}

// Census is every container of the project.
type Census struct {
	Containers []Container `json:"containers"`
}

// Of returns the service's containers in order of number.
func (c Census) Of(service string) []Container {
	var out []Container
	for _, k := range c.Containers {
		if k.Service == service {
			out = append(out, k)
		}
	}
	return out
}

// TakeCensus lists the project's containers, sorted by service and number.
var TakeCensus = Step[CensusInput, Census]{
	Name:    "containers.TakeCensus",
	Summary: func(in CensusInput) string { return "census of " + in.Project },
}

// ResolveImageInput names an image reference.
type ResolveImageInput struct {
	Image string `json:"image"`
	// Local asks the engine alone what the tag names here; no registry is asked.
	Local bool `json:"local,omitempty"`
}

// ResolvedImage is what a tag means now, resolved once per run.
type ResolvedImage struct {
	Image string `json:"image"`
	// Digest is the registry's manifest digest, "" where no registry knows it.
	Digest string `json:"digest,omitempty"`
	// LocalID is the image ID that the tag names here, "" where absent.
	LocalID string `json:"localId,omitempty"`
	// LocalDigest is the repo digest of the local image, "" where never pulled.
	LocalDigest string `json:"localDigest,omitempty"`
	// Source is "registry", "local" (built here, no registry to ask) or "unreachable".
	Source string `json:"source"`
	// Why explains a source other than registry.
	Why string `json:"why,omitempty"`
}

// ResolveImage asks the registry what the tag means, without a pull. An
// unreachable registry is an answer ("unreachable"), not a failure.
var ResolveImage = Step[ResolveImageInput, ResolvedImage]{
	Name:    "containers.ResolveImage",
	Summary: func(in ResolveImageInput) string { return "resolve " + in.Image },
}

// PullImageInput names an image by reference and digest.
type PullImageInput struct {
	Fence
	Image  string `json:"image"`
	Digest string `json:"digest"`
}

// PulledImage is the image that is here now.
type PulledImage struct {
	ImageID string `json:"imageId"`
	Changed bool   `json:"changed"`
}

// PullImage pulls by digest; the tag does not move. The stream is read to its
// end, because errors come inside it.
var PullImage = Step[PullImageInput, PulledImage]{
	Name: "containers.PullImage", Effect: Write, Timeout: 15 * time.Minute, Total: 30 * time.Minute, Heartbeat: 30 * time.Second,
	Summary: func(in PullImageInput) string { return "pull " + in.Image },
}

// TagImageInput names an image by ID and the reference to give it.
type TagImageInput struct {
	Fence
	ImageID string `json:"imageId"`
	Tag     string `json:"tag"`
}

// Changed says whether an act changed anything, or found it done.
type Changed struct {
	Changed bool `json:"changed"`
}

// TagImage moves a local tag. The compose file's tag moves only when a service's
// roll has succeeded; rollback images are kept under a tag of ours.
var TagImage = Step[TagImageInput, Changed]{
	Name: "containers.TagImage", Effect: Write,
	Summary: func(in TagImageInput) string { return "tag " + in.Tag },
}

// CreateReplicaInput describes a replica to create and start.
type CreateReplicaInput struct {
	Fence
	Project string `json:"project"`
	Service string `json:"service"`
	Number  int    `json:"number"`
	// ImageID is what it runs; Image is the reference its labels carry.
	ImageID string `json:"imageId"`
	Image   string `json:"image"`
	// Compose is the run's copy of the resolved file, ComposeHash its sha256.
	Compose     string `json:"compose"`
	ComposeHash string `json:"composeHash"`
	// Fixed asks for an address from the replica range, ReplicaRange, which is the
	// stack's; the resolved copy holds none of x-hive.
	Fixed        bool   `json:"fixed"`
	ReplicaRange string `json:"replicaRange,omitempty"`
	Run          string `json:"run"`
}

// Replica is a container that was created and started.
type Replica struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Number  int    `json:"number"`
	Address string `json:"address"`
	Changed bool   `json:"changed"`
}

// CreateReplica creates and starts one replica under its deterministic name. One
// that a killed predecessor of the same run made is adopted; a half-made one of
// another run is removed first (never a running one).
var CreateReplica = Step[CreateReplicaInput, Replica]{
	Name: "containers.CreateReplica", Effect: Write, Timeout: 2 * time.Minute,
	Summary: func(in CreateReplicaInput) string { return fmt.Sprintf("start %s-%d", in.Service, in.Number) },
}

// AwaitHealthyInput names a replica and how long its health must hold.
type AwaitHealthyInput struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	// Name is the container's, for messages.
	Name string `json:"name"`
	// Healthcheck asks for the engine's verdict too; without, running suffices.
	Healthcheck bool     `json:"healthcheck"`
	MinHealthy  Duration `json:"minHealthy"`
	Deadline    Duration `json:"deadline"`
}

// Health is what was seen of a replica.
type Health struct {
	Healthy bool `json:"healthy"`
	// Why says what failed: exited with its code, restarted, killed for memory,
	// never healthy; with the tail of its log, masked, at most 1 KiB.
	Why      string   `json:"why,omitempty"`
	Restarts int      `json:"restarts"`
	Took     Duration `json:"took"`
}

// AwaitHealthy watches the engine's state and HEALTHCHECK until health held
// without a break for MinHealthy. An exit, a restart or the deadline is an answer
// (Healthy false), not a failure of the step.
var AwaitHealthy = Step[AwaitHealthyInput, Health]{
	Name: "containers.AwaitHealthy", Timeout: 15 * time.Minute, Total: 20 * time.Minute,
	Summary: func(in AwaitHealthyInput) string { return "health of " + in.Name },
}

// WatchReplicaInput names a replica to watch over a window.
type WatchReplicaInput struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Window Duration `json:"window"`
}

// WatchReplica watches a replica for an exit, a restart, an out-of-memory kill or
// an unhealthy verdict over the whole window, and answers early when it sees one.
var WatchReplica = Step[WatchReplicaInput, Health]{
	Name: "containers.WatchReplica", Timeout: 30 * time.Minute, Total: time.Hour,
	Summary: func(in WatchReplicaInput) string { return "watch " + in.Name },
}

// ReplicaInput names a replica to stop, start or remove.
type ReplicaInput struct {
	Fence
	ID      string   `json:"id"`
	Name    string   `json:"name"`
	Service string   `json:"service"`
	Grace   Duration `json:"grace,omitempty"`
	// Run keeps the create document under the run's state.
	Run string `json:"run"`
}

// Stopped is how a replica stopped.
type Stopped struct {
	Changed bool `json:"changed"`
	// Killed: it ignored SIGTERM and was killed at its grace time.
	Killed   bool     `json:"killed"`
	ExitCode int      `json:"exitCode"`
	Took     Duration `json:"took"`
}

// StopReplica sets restart to no, keeps the create document, sends SIGTERM, waits
// for the grace time and only then kills. Stopped already is success.
var StopReplica = Step[ReplicaInput, Stopped]{
	Name: "containers.StopReplica", Effect: Write, Timeout: 5 * time.Minute,
	Summary: func(in ReplicaInput) string { return "stop " + in.Name },
}

// StartReplica starts a stopped replica again and restores its restart policy;
// the undo of StopReplica. The address is read after the start.
var StartReplica = Step[ReplicaInput, Replica]{
	Name: "containers.StartReplica", Effect: Write, Timeout: time.Minute,
	Summary: func(in ReplicaInput) string { return "start " + in.Name },
}

// RemoveReplica removes a stopped replica, with its anonymous volumes. A running
// one is Unsafe; a missing one is success.
var RemoveReplica = Step[ReplicaInput, Changed]{
	Name: "containers.RemoveReplica", Effect: Irreversible, Timeout: time.Minute,
	Summary: func(in ReplicaInput) string { return "remove " + in.Name },
}

// ReclaimInput bounds what may be reclaimed.
type ReclaimInput struct {
	Project string `json:"project"`
	// OlderThan counts from FinishedAt of a container and from the pull or build of
	// an image.
	OlderThan       Duration `json:"olderThan"`
	KeepGenerations int      `json:"keepGenerations"`
}

// Reclaimable is one thing that nothing needs any more.
type Reclaimable struct {
	// Kind is "container" or "image"; volumes and networks never.
	Kind string `json:"kind"`
	ID   string `json:"id"`
	// Name is stable across runs: a container's name, an image's tag or digest.
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Reason string `json:"reason"`
}

// ReclaimList is an explicit list; nothing outside it is ever removed.
type ReclaimList struct {
	Items []Reclaimable `json:"items"`
}

// ListReclaimable lists stopped containers and unreferenced images that are ours
// and old enough: never current, never one of the kept generations.
var ListReclaimable = Step[ReclaimInput, ReclaimList]{
	Name:    "containers.ListReclaimable",
	Timeout: time.Minute,
	Summary: func(ReclaimInput) string { return "list what docker may reclaim" },
}

// RemoveReclaimableInput names one item of the list.
type RemoveReclaimableInput struct {
	Fence
	Item Reclaimable `json:"item"`
	// Bounds are looked at again before the act.
	Bounds ReclaimInput `json:"bounds"`
}

// Reclaimed is what was freed.
type Reclaimed struct {
	Changed bool  `json:"changed"`
	Bytes   int64 `json:"bytes"`
	// Why says why it was left, when it is needed again.
	Why string `json:"why,omitempty"`
}

// RemoveReclaimable removes one listed item, if it is still reclaimable.
var RemoveReclaimable = Step[RemoveReclaimableInput, Reclaimed]{
	Name: "containers.RemoveReclaimable", Effect: Irreversible, Timeout: 2 * time.Minute,
	Summary: func(in RemoveReclaimableInput) string { return "remove " + in.Item.Kind + " " + in.Item.Name },
}

// StatsInput names the project whose containers to measure.
type StatsInput struct {
	Project string `json:"project"`
}

// ContainerStats is one container's use: memory without page cache, CPU as a share
// of one core over at least one sample interval.
type ContainerStats struct {
	Name        string  `json:"name"`
	Service     string  `json:"service"`
	MemoryBytes int64   `json:"memoryBytes"`
	MemoryLimit int64   `json:"memoryLimit"`
	CPU         float64 `json:"cpu"`
}

// StatsOutput is the project's use.
type StatsOutput struct {
	Containers []ContainerStats `json:"containers"`
}

// MeasureContainers samples every running container once.
var MeasureContainers = Step[StatsInput, StatsOutput]{
	Name: "containers.Measure", Summary: func(StatsInput) string { return "measure CPU and memory" },
}
