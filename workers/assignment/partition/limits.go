package partition

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leanvibe/hive/workers/assignment/matcher"
)

// Limits bound a partition.
type Limits struct {
	// Tasks bounds those that wait and run, Finished those that are kept after, once the
	// archive has them, and Unarchived those that it does not have yet.
	Tasks, Finished, Unarchived int
	// DeadLetters bounds the dead that are kept beyond Keep: the oldest go first.
	DeadLetters int
	// Bytes bounds the memory of all of them, about; from three quarters of it, or of what
	// Redis alone keeps of the finished, what the archive has goes early; beyond it submits
	// are refused. 0: no bound.
	Bytes          int
	Agents, Queues int
	// Lease is how long an execution is held after the agent was last heard of, Keep
	// how long a finished task is kept.
	Lease, Keep time.Duration
	// Aging is how much earlier a task counts as having arrived for each step of priority.
	Aging time.Duration
}

// DefaultLimits are those that the shipped stack runs with.
func DefaultLimits() Limits {
	return Limits{
		Tasks: 1_000_000, Finished: 50_000, Unarchived: 200_000, DeadLetters: 10_000, Agents: 100_000, Queues: 1024,
		Lease: 10 * time.Second, Keep: time.Hour, Aging: 10 * time.Second,
	}
}

func (l Limits) validate() error {
	for _, f := range []struct {
		name    string
		got     int64
		example string
	}{
		{"Finished", int64(l.Finished), "50000"}, {"Unarchived", int64(l.Unarchived), "200000"}, {"Lease", int64(l.Lease), "10s"},
		{"Keep", int64(l.Keep), "1h"},
	} {
		if f.got < 1 {
			return fmt.Errorf("limit %s is %d: expected more than 0, for example %s", f.name, f.got, f.example)
		}
	}
	return nil
}

// busy gives a bound of the matcher the words of a caller.
func (s *State) busy(err error, names []string) error {
	asked := "[" + strings.Join(names, " ") + "]"
	switch {
	case errors.Is(err, matcher.ErrTooManyTasks):
		return &BusyError{fmt.Sprintf("%d tasks wait or run, the most that this partition keeps", s.limits.Tasks), 5 * time.Second}
	case errors.Is(err, matcher.ErrTooManyAgents):
		return &BusyError{fmt.Sprintf("%d agents are attached, the most that this partition serves", s.limits.Agents), time.Minute}
	case errors.Is(err, matcher.ErrTooManyShapes):
		return &BusyError{fmt.Sprintf("%d different capability sets are in use, the most that are served; %s would be one more", matcher.MaxShapes, asked), 10 * time.Second}
	case errors.Is(err, matcher.ErrTooManyCapabilities):
		return &BusyError{fmt.Sprintf("%d different capabilities are known, the most that are served; %s has one more", matcher.MaxCapabilities, asked), time.Minute}
	case errors.Is(err, matcher.ErrTooManyQueues):
		return &BusyError{fmt.Sprintf("%d queues exist, the most that this partition serves", s.limits.Queues), time.Minute}
	}
	return err
}
