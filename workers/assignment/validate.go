package assignment

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/wire"
)

// Limits of a task.
const (
	// MaxPayload is in bytes; results have the same bound.
	MaxPayload = 256 << 10
	// MaxError is in bytes.
	MaxError        = 4 << 10
	maxKey          = 200
	maxName         = 64
	maxAgent        = 128
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
	// maxPage is in tasks.
	maxPage     = 500
	defaultPage = 100
)

const nameForm = "must be 1 to 64 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit"

// isName, isAgent and isKey are asked for every task, several times: a regular expression
// takes as long as all else that a draft is checked for.
func isName(s string) bool {
	return 0 < len(s) && len(s) <= maxName && within(s, func(c byte, first bool) bool { return isLower(c) || !first && isMark(c) })
}

func isAgent(s string) bool {
	return 0 < len(s) && len(s) <= maxAgent && within(s, func(c byte, first bool) bool {
		return isLower(c) || 'A' <= c && c <= 'Z' || !first && isMark(c)
	})
}

func isKey(s string) bool {
	return len(s) <= maxKey && within(s, func(c byte, _ bool) bool { return '!' <= c && c <= '~' })
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func isMark(c byte) bool { return c == '.' || c == '_' || c == '-' }

func within(s string, may func(c byte, first bool) bool) bool {
	for i := range len(s) {
		if !may(s[i], i == 0) {
			return false
		}
	}
	return true
}

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

// checkDraft checks a draft against the limits and fills out with its stored form, with an ID
// of its own: defaults filled in, capabilities sorted without repeats. Whether the deadline has
// passed is the partition's to judge, after it has looked for the idempotency key.
func checkDraft(out *partition.Draft, d *hivev1.Draft, now time.Time) error {
	if size := len(d.GetPayload()); size > MaxPayload {
		return &TooLargeError{What: "payload", Size: size, Max: MaxPayload}
	}
	var c fieldCheck
	key := d.GetIdempotencyKey()
	c.require(key == "" || isKey(key),
		"idempotency_key", "must be at most %d printable ASCII characters without blanks", maxKey)
	c.require(isName(d.GetQueue()), "queue", nameForm)
	c.require(isName(d.GetHandler()), "handler", nameForm)
	c.require(d.GetPriority() <= maxPriority, "priority", "must be 0 to %d", maxPriority)
	c.require(d.GetMaxAttempts() <= maxAttempts, "max_attempts", "must be 1 to %d, or 0 for %d", maxAttempts, defaultAttempts)
	if d.GetDeadline() != nil {
		c.require(d.GetDeadline().IsValid() && d.GetDeadline().AsTime().Before(now.Add(maxDeadline)), "deadline", "must be within %s", maxDeadline)
	}
	*out = partition.Draft{
		Key: key, Queue: d.GetQueue(), Handler: d.GetHandler(), Capabilities: checkCapabilities(&c, d.GetCapabilities()),
		Priority: int(d.GetPriority()), Deadline: wire.Micros(d.GetDeadline()), MaxAttempts: int(d.GetMaxAttempts()), Payload: d.GetPayload(),
	}
	if err := c.err(); err != nil {
		return err
	}
	if out.MaxAttempts == 0 {
		out.MaxAttempts = defaultAttempts
	}
	var err error
	if out.ID, err = uuid.NewV7(); err != nil {
		return err
	}
	out.Digest = digest(out)
	return nil
}

func checkCapabilities(c *fieldCheck, caps []string) []string {
	c.require(len(caps) <= maxCapabilities, "capabilities", "must be at most %d, are %d", maxCapabilities, len(caps))
	for i, name := range caps {
		c.require(isName(name), fmt.Sprintf("capabilities[%d]", i), nameForm)
	}
	if len(caps) == 0 {
		return nil
	}
	sorted := slices.Clone(caps)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// digest tells whether two drafts with the same key are the same task.
func digest(d *partition.Draft) (out [16]byte) {
	if d.Key == "" {
		return out // nobody will ask
	}
	// Each part stands behind its length, or two drafts might be written alike.
	buf := make([]byte, 0, digestRoom)
	for _, part := range []string{d.Queue, d.Handler, strings.Join(d.Capabilities, ",")} {
		buf = append(binary.BigEndian.AppendUint64(buf, uint64(len(part))), part...)
	}
	buf = append(binary.BigEndian.AppendUint64(buf, uint64(len(d.Payload))), d.Payload...)
	for _, n := range []int64{int64(d.Priority), int64(d.MaxAttempts), d.Deadline} {
		buf = binary.BigEndian.AppendUint64(buf, uint64(n))
	}
	sum := sha256.Sum256(buf)
	copy(out[:], sum[:])
	return out
}

// digestRoom is what most drafts are digested in, on the stack, in bytes.
const digestRoom = 1 << 10

// specOf checks an agent's request for a stream.
func specOf(in *hivev1.AttachRequest) (partition.AgentSpec, error) {
	var c fieldCheck
	checkAgent(&c, in.GetAgentId())
	c.require(in.GetCapacity() >= 1 && in.GetCapacity() <= maxCapacity, "capacity", "must be 1 to %d", maxCapacity)
	c.require(len(in.GetLabels()) <= maxLabels, "labels", "must be at most %d", maxLabels)
	for k, v := range in.GetLabels() {
		c.require(len(k) <= 64 && len(v) <= 256, "labels", "%.64q: key or value is too long", k)
	}
	checkExecutions(&c, "held", in.GetHeld())
	spec := wire.SpecOf(in)
	spec.Capabilities = checkCapabilities(&c, spec.Capabilities)
	return spec, c.err()
}

func checkAgent(c *fieldCheck, id string) {
	c.require(isAgent(id), "agent_id",
		"must be 1 to 128 of letters, digits, '.', '_', '-', beginning with a letter or digit")
}

func checkExecutions(c *fieldCheck, field string, list []*hivev1.Execution) {
	c.require(len(list) <= maxHeld, field, "must be at most %d", maxHeld)
	for i, e := range list {
		if _, ok := wire.ID(e.GetTaskId()); !ok {
			c.require(false, fmt.Sprintf("%s[%d].task_id", field, i), "is not a task id")
		}
	}
}

// checkReport checks how an execution is said to have ended.
func checkReport(r *hivev1.CompleteRequest) error {
	var c fieldCheck
	checkAgent(&c, r.GetAgentId())
	checkExecutions(&c, "execution", []*hivev1.Execution{r.GetExecution()})
	c.require(len(r.GetError()) <= MaxError, "error", "must be at most %d bytes", MaxError)
	if err := c.err(); err != nil {
		return err
	}
	if len(r.GetResult()) > MaxPayload {
		return &TooLargeError{What: "result", Size: len(r.GetResult()), Max: MaxPayload}
	}
	return nil
}
