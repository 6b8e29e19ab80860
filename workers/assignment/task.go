package assignment

import "time"

// State is where a task stands.
type State string

// The states of a task.
const (
	Waiting   State = "waiting"
	Running   State = "running"
	Completed State = "completed"
	Dead      State = "dead"
)

// Finished tells whether the state is final.
func (s State) Finished() bool { return s == Completed || s == Dead }

// Draft is a task as its submitter writes it; Validate makes it fit to store.
type Draft struct {
	IdempotencyKey string
	Queue          string
	Handler        string
	Capabilities   []string
	Priority       int
	// Deadline is the latest start; zero: none.
	Deadline    time.Time
	MaxAttempts int
	Payload     []byte
}

// Task is a task as Redis or the archive holds it.
type Task struct {
	ID string
	Draft
	State State
	// Attempt numbers the last execution; it grows with each claim.
	Attempt int
	// Failures counts executions that failed or were lost.
	Failures    int
	Agent       string
	SubmittedAt time.Time
	StartedAt   time.Time
	FinishedAt  time.Time
	Result      []byte
	Error       string
}

// Execution names one attempt of one task: the fencing token of its lease.
type Execution struct {
	TaskID  string
	Attempt int
}

// Assignment is an execution handed to an agent.
type Assignment struct {
	Execution
	Queue    string
	Handler  string
	Priority int
	Deadline time.Time
	Payload  []byte
	// Waited is how long the task waited while the agent had a free slot.
	Waited time.Duration
}

// Stats are one queue's counters; each moves in the script of its change.
type Stats struct {
	Queue              string `json:"queue"`
	Submitted          uint64 `json:"submitted"`
	DuplicatesAnswered uint64 `json:"duplicates_answered"`
	DuplicatesRefused  uint64 `json:"duplicates_refused"`
	Executions         uint64 `json:"executions"`
	Completed          uint64 `json:"completed"`
	FailedAttempts     uint64 `json:"failed_attempts"`
	LostAttempts       uint64 `json:"lost_attempts"`
	Released           uint64 `json:"released"`
	LateRefused        uint64 `json:"late_refused"`
	Dead               uint64 `json:"dead"`
	Expired            uint64 `json:"expired"`
	Waiting            uint64 `json:"waiting"`
	Running            uint64 `json:"running"`
	Archived           uint64 `json:"archived"`
}

// counters maps each field of stats:<queue> to its place.
func (s *Stats) counters() map[string]*uint64 {
	return map[string]*uint64{
		"submitted":           &s.Submitted,
		"duplicates_answered": &s.DuplicatesAnswered,
		"duplicates_refused":  &s.DuplicatesRefused,
		"executions":          &s.Executions,
		"completed":           &s.Completed,
		"failed_attempts":     &s.FailedAttempts,
		"lost_attempts":       &s.LostAttempts,
		"released":            &s.Released,
		"late_refused":        &s.LateRefused,
		"dead":                &s.Dead,
		"expired":             &s.Expired,
		"waiting":             &s.Waiting,
		"running":             &s.Running,
		"archived":            &s.Archived,
	}
}

// Add sums another queue's counters into s.
func (s *Stats) Add(o Stats) {
	theirs := o.counters()
	for name, mine := range s.counters() {
		*mine += *theirs[name]
	}
}

// AgentInfo is an agent as Redis records it.
type AgentInfo struct {
	ID           string
	Capabilities []string
	Capacity     int
	Running      int
	// AttachedTo is the instance that holds its stream; empty: none.
	AttachedTo string
	SeenAt     time.Time
	Labels     map[string]string
}
