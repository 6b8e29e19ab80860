package assignment

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Limits of a task.
const (
	// MaxPayload is in bytes; results have the same bound.
	MaxPayload = 256 << 10
	// MaxError is in bytes.
	MaxError        = 4 << 10
	maxKey          = 200
	maxCapabilities = 16
	maxPriority     = 9
	maxAttempts     = 100
	defaultAttempts = 3
	maxDeadline     = 30 * 24 * time.Hour
	maxCapacity     = 1000
	maxHeld         = 10_000
	maxLabels       = 16
	// MaxBatch is in drafts; their bodies share one request limit.
	MaxBatch = 500
)

var (
	namePattern  = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	agentPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	keyPattern   = regexp.MustCompile(`^[!-~]+$`)
)

const nameForm = "must be 1 to 64 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit"

// fieldCheck gathers what is wrong with a request, field by field.
type fieldCheck struct{ problems []FieldProblem }

func (c *fieldCheck) require(ok bool, field, problem string, args ...any) {
	if !ok {
		c.problems = append(c.problems, FieldProblem{field, fmt.Sprintf(problem, args...)})
	}
}

func (c *fieldCheck) err() error {
	if len(c.problems) == 0 {
		return nil
	}
	return &InvalidError{Fields: c.problems}
}

// Validate checks the draft against the limits and puts it into its stored form:
// defaults filled in, capabilities sorted without repeats. Whether the deadline
// has passed is Redis's to judge, after it has looked for the idempotency key.
func (d *Draft) Validate(now time.Time) error {
	if len(d.Payload) > MaxPayload {
		return &TooLargeError{What: "payload", Size: len(d.Payload), Max: MaxPayload}
	}
	var c fieldCheck
	c.require(d.IdempotencyKey == "" || len(d.IdempotencyKey) <= maxKey && keyPattern.MatchString(d.IdempotencyKey),
		"idempotency_key", "must be at most %d printable ASCII characters without blanks", maxKey)
	c.require(namePattern.MatchString(d.Queue), "queue", nameForm)
	c.require(namePattern.MatchString(d.Handler), "handler", nameForm)
	c.require(d.Priority >= 0 && d.Priority <= maxPriority, "priority", "must be 0 to %d", maxPriority)
	c.require(d.MaxAttempts >= 0 && d.MaxAttempts <= maxAttempts, "max_attempts", "must be 1 to %d, or 0 for %d", maxAttempts, defaultAttempts)
	if !d.Deadline.IsZero() {
		c.require(d.Deadline.Before(now.Add(maxDeadline)), "deadline", "must be within %s", maxDeadline)
	}
	d.Capabilities = checkCapabilities(&c, d.Capabilities)
	if d.MaxAttempts == 0 {
		d.MaxAttempts = defaultAttempts
	}
	return c.err()
}

func checkCapabilities(c *fieldCheck, caps []string) []string {
	c.require(len(caps) <= maxCapabilities, "capabilities", "must be at most %d, are %d", maxCapabilities, len(caps))
	for i, name := range caps {
		c.require(namePattern.MatchString(name), fmt.Sprintf("capabilities[%d]", i), nameForm)
	}
	sorted := slices.Clone(caps)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// shape is the capability set as Redis keys name it.
func (d *Draft) shape() string { return strings.Join(d.Capabilities, ",") }

// digest tells whether two drafts with the same key are the same task.
func (d *Draft) digest() string {
	h := sha256.New()
	for _, part := range []string{d.Queue, d.Handler, d.shape(), string(d.Payload)} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part)))
		h.Write([]byte(part))
	}
	for _, n := range []int64{int64(d.Priority), int64(d.MaxAttempts), micros(d.Deadline)} {
		_ = binary.Write(h, binary.BigEndian, n)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Attachment is an agent's request for a stream.
type Attachment struct {
	Agent        string
	Capabilities []string
	Capacity     int
	Labels       map[string]string
	// Held are the executions that the agent still works on.
	Held []Execution
}

// Validate checks the request against the limits and sorts the capabilities.
func (a *Attachment) Validate() error {
	var c fieldCheck
	checkAgent(&c, a.Agent)
	c.require(a.Capacity >= 1 && a.Capacity <= maxCapacity, "capacity", "must be 1 to %d", maxCapacity)
	c.require(len(a.Labels) <= maxLabels, "labels", "must be at most %d", maxLabels)
	for k, v := range a.Labels {
		c.require(len(k) <= 64 && len(v) <= 256, "labels", "%.64q: key or value is too long", k)
	}
	checkExecutions(&c, "held", a.Held)
	a.Capabilities = checkCapabilities(&c, a.Capabilities)
	return c.err()
}

func checkAgent(c *fieldCheck, id string) {
	c.require(agentPattern.MatchString(id), "agent_id",
		"must be 1 to 128 of letters, digits, '.', '_', '-', beginning with a letter or digit")
}

func checkExecutions(c *fieldCheck, field string, list []Execution) {
	c.require(len(list) <= maxHeld, field, "must be at most %d", maxHeld)
	for i, e := range list {
		c.require(isTaskID(e.TaskID), fmt.Sprintf("%s[%d].task_id", field, i), "is not a task id")
	}
}

// micros is a time as Redis keeps it; 0 is no time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicros is the inverse of micros.
func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
