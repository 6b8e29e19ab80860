package runbook

import (
	"fmt"
	"time"
)

// AskInput is one question from outside.
type AskInput struct {
	// URL for HTTP, or "tcp://ip:port".
	URL     string   `json:"url"`
	Timeout Duration `json:"timeout"`
}

// Answer is what came back. A refused connection is an answer (Status 0, Err set).
type Answer struct {
	Status int `json:"status"`
	// Body is at most 2 KiB, masked.
	Body string `json:"body,omitempty"`
	// Instance and Version are who answered, by X-Hive-Instance and X-Hive-Version.
	Instance string `json:"instance,omitempty"`
	Version  string `json:"version,omitempty"`
	// Upstream is the address that answered, where the proxy tells.
	Upstream string   `json:"upstream,omitempty"`
	Took     Duration `json:"took"`
	Err      string   `json:"err,omitempty"`
}

// Ask asks once.
var Ask = Step[AskInput, Answer]{
	Name: "probes.Ask", Summary: func(in AskInput) string { return "ask " + in.URL },
}

// AskAllInput is many questions, asked side by side.
type AskAllInput struct {
	Questions []AskInput `json:"questions"`
}

// Answers are the answers in the order asked.
type Answers struct {
	Answers []Answer `json:"answers"`
}

// AskAll asks many questions in one step, so that a check of hundreds of replicas
// costs the history one event.
var AskAll = Step[AskAllInput, Answers]{
	Name: "probes.AskAll", Timeout: 20 * time.Second, Total: 90 * time.Second, Attempts: 4,
	Summary: func(in AskAllInput) string { return fmt.Sprintf("ask %d health questions", len(in.Questions)) },
}

// AwaitAnswerInput asks until the answer is 2xx without a break for Hold.
type AwaitAnswerInput struct {
	URL      string   `json:"url"`
	Hold     Duration `json:"hold"`
	Deadline Duration `json:"deadline"`
}

// AwaitAnswer asks every 250 ms until it held; not met at the deadline is an
// answer (Healthy false, Why).
var AwaitAnswer = Step[AwaitAnswerInput, Health]{
	Name: "probes.AwaitAnswer", Timeout: 15 * time.Minute, Total: 20 * time.Minute,
	Summary: func(in AwaitAnswerInput) string { return "wait for " + in.URL },
}

// SupplyInput asks for traffic through the proxy where users send none.
type SupplyInput struct {
	URL string `json:"url"`
	// Post is a JSON body: the requests are then POSTs, each with an idempotency key
	// of its own, instead of GETs.
	Post string `json:"post,omitempty"`
	// Rate per second, for Window.
	Rate   int      `json:"rate"`
	Window Duration `json:"window"`
}

// Supplied is what was sent.
type Supplied struct {
	Sent   int `json:"sent"`
	Failed int `json:"failed"`
}

// SupplyTraffic sends keep-alive requests through the proxy at the rate.
var SupplyTraffic = Step[SupplyInput, Supplied]{
	Name: "probes.SupplyTraffic", Timeout: 30 * time.Minute, Total: time.Hour,
	Summary: func(in SupplyInput) string { return fmt.Sprintf("probe %s", in.URL) },
}

// WatchInput is a probe that runs through the proxy for as long as a change runs.
type WatchInput struct {
	URLs []string `json:"urls"`
	// Rate per second over all URLs (default 10).
	Rate int `json:"rate"`
}

// Watch probes until it is cancelled, then answers what it measured (Source
// "probe"). Its counts travel in heartbeats, so a retry goes on counting.
var Watch = Step[WatchInput, Traffic]{
	Name: "probes.Watch", Timeout: 12 * time.Hour, Total: 24 * time.Hour,
	Summary: func(WatchInput) string { return "probe through the proxy during the change" },
}

// WorkerInput names a replica of role worker by its control URL.
type WorkerInput struct {
	Fence
	// URL is "http://ip:port".
	URL      string   `json:"url"`
	Name     string   `json:"name"`
	Deadline Duration `json:"deadline,omitempty"`
}

// WorkerState is what a worker says of itself at GET /control/status.
type WorkerState struct {
	Draining   bool  `json:"draining"`
	InFlight   int   `json:"in_flight"`
	TasksTaken int64 `json:"tasks_taken"`
	// Met says whether the awaited thing was seen before the deadline.
	Met bool `json:"met"`
}

// AwaitTaskTaken waits until the worker has taken at least one task.
var AwaitTaskTaken = Step[WorkerInput, WorkerState]{
	Name: "workers.AwaitTaskTaken", Timeout: 10 * time.Minute,
	Summary: func(in WorkerInput) string { return in.Name + " takes a task" },
}

// DrainWorker tells the worker to take no more tasks.
var DrainWorker = Step[WorkerInput, WorkerState]{
	Name: "workers.Drain", Effect: Write, Summary: func(in WorkerInput) string { return in.Name + " takes no more tasks" },
}

// ResumeWorker lets the worker take tasks again; the undo of DrainWorker.
var ResumeWorker = Step[WorkerInput, WorkerState]{
	Name: "workers.Resume", Effect: Write, Summary: func(in WorkerInput) string { return in.Name + " takes tasks again" },
}

// AwaitIdle waits until nothing is in flight at the worker.
var AwaitIdle = Step[WorkerInput, WorkerState]{
	Name: "workers.AwaitIdle", Timeout: 10 * time.Minute,
	Summary: func(in WorkerInput) string { return in.Name + " finishes what it holds" },
}
