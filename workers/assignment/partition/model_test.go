package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// hand is an agent's end of a stream in the model.
type hand struct {
	got      []Assignment
	replaced bool
	wanted   bool
	lost     []Execution
	slots    int
	runs     map[Execution]bool // by what it was told
}

func (h *hand) Assign(list []Assignment) {
	h.got = append(h.got, list...)
	for _, as := range list {
		h.runs[as.Execution] = true
	}
}
func (h *hand) Replaced()          { h.replaced = true }
func (h *hand) Wanted(wanted bool) { h.wanted = wanted }
func (h *hand) Granted(slots int)  { h.slots = slots }
func (h *hand) Ended(x Execution)  { delete(h.runs, x) } // got keeps it: a late result must be tried too

func (h *hand) Seated(lost []Execution) {
	h.lost = lost
	for _, x := range lost {
		delete(h.runs, x)
	}
}

// world drives a State with random calls and knows what must hold.
type world struct {
	t       *rapid.T
	limits  Limits
	state   *State
	now     int64
	made    int
	ids     []TaskID
	agents  map[string]*hand
	started map[TaskID]int // the last attempt delivered
	holds   map[TaskID]string
	wrote   [][]byte // every record so far
	// pictured is the state when the snapshot that is being taken began, behind so many records.
	pictured string
	before   int
	redis    map[string][]byte
	sent     map[TaskID][]byte // the payload of each draft
}

// body is one of a few, small or large, that tell their number.
func (w *world) body(what string, number int) []byte {
	size := rapid.SampledFrom([]int{0, 4, bodyMost, bodyMost + 1, 3 * bodyMost}).Draw(w.t, what)
	return bytes.Repeat(fmt.Appendf(nil, "%04d", number%10_000), size/4+1)[:size]
}

func small() Limits {
	return Limits{Tasks: 40, Finished: 1000, Unarchived: 1000, Agents: 6, Queues: 3, Lease: 10 * time.Second, Keep: time.Minute, Aging: time.Second}
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, limits: small(), now: 1_000_000, agents: map[string]*hand{}, started: map[TaskID]int{}, holds: map[TaskID]string{}, redis: map[string][]byte{}, sent: map[TaskID][]byte{}}
	w.state = w.fresh()
	require.NoError(t, w.state.Ready(w.now))
	return w
}

func (w *world) fresh() *State {
	s, err := NewState(w.limits)
	require.NoError(w.t, err)
	return s
}

// durable is what the partition does once the journal has acknowledged.
func (w *world) durable() {
	c := w.state.take(&Changes{})
	left := c.bodies.take(c.given)
	for _, n := range left {
		c.given[n.given].Payload = w.redis[n.id.name()]
	}
	for _, p := range c.pieces() {
		for _, r := range p.records {
			w.wrote = append(w.wrote, slices.Clone(r))
		}
		for _, b := range p.bodies.Put {
			require.NotContains(w.t, w.redis, b.Name, "a body is written once")
			w.redis[b.Name] = b.Bytes
		}
		for _, name := range p.bodies.Drop {
			require.Contains(w.t, w.redis, name)
			delete(w.redis, name)
		}
	}
	for _, a := range c.given {
		require.Equal(w.t, w.sent[a.Task], a.Payload, "an agent has the payload that was submitted")
		require.Equal(w.t, w.started[a.Task]+1, a.Attempt, "an attempt is delivered once, and none is left out")
		w.started[a.Task] = a.Attempt
	}
	c.deliver()
}

func (w *world) name() string { return fmt.Sprintf("a%d", rapid.IntRange(0, 4).Draw(w.t, "agent")) }

func (w *world) some() TaskID {
	if len(w.ids) == 0 {
		return TaskID{}
	}
	return rapid.SampledFrom(w.ids).Draw(w.t, "task")
}

// held is what an agent believes that it runs.
func (w *world) held(name string) []Execution {
	var out []Execution
	if h := w.agents[name]; h != nil {
		for _, a := range h.got {
			out = append(out, a.Execution)
		}
	}
	if len(out) > 0 {
		out = out[rapid.IntRange(0, len(out)-1).Draw(w.t, "from"):]
	}
	return out
}

func (w *world) submit(t *rapid.T) {
	drafts := make([]*Draft, rapid.IntRange(1, 3).Draw(t, "drafts"))
	for i := range drafts {
		drafts[i] = w.draft(t)
	}
	for i, got := range w.state.Submit(w.now, drafts...) {
		if got.Err == nil && !got.Duplicate {
			require.Equal(t, drafts[i].ID, got.Task)
			w.ids = append(w.ids, got.Task)
		}
	}
	w.durable()
}

func (w *world) draft(t *rapid.T) *Draft {
	w.made++
	d := &Draft{
		Queue: fmt.Sprintf("q%d", rapid.IntRange(0, 3).Draw(t, "queue")), Handler: "h", MaxAttempts: rapid.IntRange(1, 3).Draw(t, "attempts"),
		Priority: rapid.IntRange(0, 9).Draw(t, "priority"), Payload: w.body("payload", w.made),
	}
	binary.BigEndian.PutUint64(d.ID[8:], uint64(w.made))
	w.sent[d.ID] = d.Payload
	if n := rapid.IntRange(0, 9).Draw(t, "key"); n < 6 {
		d.Key, d.Digest = fmt.Sprint("k", n), [16]byte{byte(rapid.IntRange(0, 1).Draw(t, "body"))}
	}
	if rapid.Bool().Draw(t, "needs") {
		d.Capabilities = []string{"gpu"}
	}
	if rapid.IntRange(0, 4).Draw(t, "deadline") == 0 {
		d.Deadline = w.now + int64(rapid.IntRange(-1, 20).Draw(t, "in"))*1e6
	}
	return d
}

func (w *world) attach(t *rapid.T) {
	spec := AgentSpec{ID: w.name(), Capacity: 3}
	if rapid.Bool().Draw(t, "gpu") {
		spec.Capabilities = []string{"gpu"}
	}
	held := w.held(spec.ID)
	old, h := w.agents[spec.ID], &hand{runs: map[Execution]bool{}}
	for _, x := range held {
		h.runs[x] = true
	}
	refused, err := w.state.Seat(w.now, Seating{AgentSpec: spec, Slots: rapid.IntRange(0, 3).Draw(t, "slots"), Held: held, Sink: h})
	require.NoError(t, errors.Join(err, refused))
	w.durable()
	lost := h.lost
	if old != nil && w.state.agents[spec.ID].sink == Sink(h) {
		for _, x := range held {
			if !slices.Contains(lost, x) {
				h.got = append(h.got, Assignment{Execution: x})
			}
		}
	}
	w.agents[spec.ID] = h
	w.durable()
}

func (w *world) detach(t *rapid.T) {
	name := w.name()
	if h := w.agents[name]; h != nil {
		require.NoError(t, w.state.Unseat(name, h))
	}
	w.durable()
}

func (w *world) grant(t *rapid.T) {
	name := w.name()
	if h := w.agents[name]; h != nil {
		slots := rapid.IntRange(0, 3).Draw(t, "slots")
		require.NoError(t, w.state.Grant(w.now, name, h, slots))
		w.durable()
		if a := w.state.agents[name]; a != nil && a.handle != 0 && a.sink == Sink(h) {
			require.Equal(t, slots, h.slots)
			require.Equal(t, slots, a.slots)
		}
	}
}

func (w *world) redrive(t *rapid.T) {
	id := w.some()
	before, missing := w.state.Get(id)
	refused, err := w.state.Redrive(w.now, id)
	require.NoError(t, err)
	switch {
	case missing != nil:
		require.ErrorIs(t, refused, ErrNotFound)
	case before.Phase == Dead && before.Deadline != 0 && before.Deadline <= w.now:
		require.ErrorIs(t, refused, ErrExpired)
	case before.Phase == Dead:
		require.NoError(t, refused)
		after, err := w.state.Get(id)
		require.NoError(t, err)
		require.False(t, after.Phase.Finished())
		require.Zero(t, after.Failures)
		require.GreaterOrEqual(t, after.Attempt, before.Attempt)
	case before.Phase.Finished():
		require.Error(t, refused)
	}
	w.durable()
}

func (w *world) list(t *rapid.T) {
	page := Page{Phase: Phase(rapid.IntRange(0, 5).Draw(t, "phase")), Most: rapid.IntRange(1, 4).Draw(t, "most")}
	want := 0
	for _, e := range w.state.tasks {
		if page.has(e) {
			want++
		}
	}
	seen := map[TaskID]bool{}
	for {
		list := w.state.List(page)
		for _, task := range list {
			require.False(t, seen[task.ID], "listed twice")
			seen[task.ID] = true
			page.After = task.ID
		}
		if len(list) < page.Most {
			break
		}
	}
	require.Len(t, seen, want)
}

func (w *world) report(t *rapid.T) {
	name := w.name()
	list := w.held(name)
	if len(list) == 0 {
		return
	}
	r := Report{Agent: name, Execution: list[0], Result: w.body("result", int(list[0].Task[15]))}
	switch rapid.IntRange(0, 3).Draw(t, "how") {
	case 0:
		r.Error = "broke"
	case 1:
		r.Error, r.Final = "broke", true
	}
	before, err := w.state.Get(r.Task)
	v, failed := w.state.Report(w.now, r)
	require.NoError(t, failed)
	held := err == nil && before.Phase == Running && before.Attempt == r.Attempt && before.Agent == name
	require.Equal(t, held, v.Accepted && !v.Duplicate, "a result counts if and only if the lease is valid")
	if !v.Accepted {
		require.NotEmpty(t, v.Reason)
	}
	if v.Accepted {
		again, err := w.state.Report(w.now, r)
		require.NoError(t, err)
		now, _ := w.state.Get(r.Task)
		if now.Phase != Running || now.Attempt == r.Attempt {
			require.True(t, again.Duplicate, "the same report again is known: %+v", again)
		}
	}
	w.durable()
}

func (w *world) heartbeat(t *rapid.T) {
	name := w.name()
	_, err := w.state.Heartbeat(w.now, name, w.held(name))
	require.NoError(t, err)
	w.durable()
}

func (w *world) release(t *rapid.T) {
	name := w.name()
	_, err := w.state.Release(w.now, name, w.held(name))
	require.NoError(t, err)
	w.durable()
}

func (w *world) cancel(t *rapid.T) {
	id := w.some()
	before, missing := w.state.Get(id)
	err := w.state.Cancel(w.now, id)
	require.Equal(t, missing == nil && (before.Phase == Waiting || before.Phase == Cancelled), err == nil)
	w.durable()
}

func (w *world) pass(t *rapid.T) {
	w.now += int64(rapid.IntRange(1, 15).Draw(t, "seconds")) * 1e6
	for {
		more, err := w.state.Tick(w.now, 2)
		require.NoError(t, err)
		w.durable()
		if !more {
			break
		}
	}
	if rapid.Bool().Draw(t, "archive") {
		if rapid.Bool().Draw(t, "again") {
			w.state.Reoffer()
		}
		list, _ := w.state.Unarchived(nil, 5, 1<<20)
		for i := range list {
			task := &list[i]
			for _, is := range task.wants() {
				require.Equal(t, is.ref, refOf(w.redis[is.id.name()]), "the archive finds what Redis keeps")
			}
		}
		w.state.Archived(rapid.IntRange(0, len(list)).Draw(t, "archived"))
		w.durable()
	}
}

// snapshot takes a whole one at once; one that was being taken is given up.
func snapshot(s *State) (out []byte) {
	s.expose()
	s.picture(3)
	return finish(s)
}

// finish takes what is left of a snapshot.
func finish(s *State) (out []byte) {
	for {
		s.develop()
		chunk, last := s.chunk()
		out = append(out, chunk...)
		s.written(chunk)
		if last {
			return out
		}
	}
}

// picturing takes a snapshot while everything goes on, and then holds it against the state as
// it stood at the beginning, and with what was recorded since against the state as it is.
func (w *world) picturing(t *rapid.T) {
	switch {
	case w.state.picturing == nil:
		w.durable()
		w.state.picture(2)
		w.pictured, w.before = picture(w.state), len(w.wrote)
		return
	case rapid.Bool().Draw(t, "more"):
		w.state.develop()
		return
	}
	w.durable()
	taken := finish(w.state)
	for _, since := range [][][]byte{nil, w.wrote[w.before:]} {
		next := w.fresh()
		require.NoError(t, next.restore(bytes.NewReader(taken)))
		for _, r := range since {
			require.NoError(t, next.Apply(r))
		}
		require.NoError(t, next.Ready(w.now))
		if since == nil {
			require.Equal(t, w.pictured, picture(next))
		} else {
			require.Equal(t, picture(w.state), picture(next))
		}
	}
}

// takeover throws the state away and recovers it, from a snapshot or from the start.
func (w *world) takeover(t *rapid.T) {
	before := picture(w.state)
	next := w.fresh()
	if rapid.Bool().Draw(t, "snapshot") {
		require.NoError(t, next.restore(bytes.NewReader(snapshot(w.state))))
	} else {
		for _, r := range w.wrote {
			require.NoError(t, next.Apply(r))
		}
	}
	require.NoError(t, next.Ready(w.now))
	require.Equal(t, before, picture(next))
	w.state.expose()
	w.state = next
}

// picture is what every owner must agree on.
func picture(s *State) string {
	var lines []string
	for id, e := range s.tasks {
		lines = append(lines, fmt.Sprintf("%s %s %s attempt %d failures %d by %s %q %q %q", id, e.Queue, e.Phase, e.Attempt, e.Failures, e.Agent, e.Error, e.Payload, e.Result))
		e.stored.each(id, func(id bodyID, r ref) { lines = append(lines, fmt.Sprintf("%s %v", id.name(), r)) })
	}
	for name, q := range s.queues {
		for key, e := range q.keys {
			lines = append(lines, fmt.Sprintf("key %q of %s %s", key, name, e.ID))
		}
	}
	for _, st := range s.Stats() {
		if st.Submitted == 0 {
			continue // a queue that only refused tasks leaves no record
		}
		st.DuplicatesAnswered, st.DuplicatesRefused, st.LateRefused = 0, 0, 0
		lines = append(lines, fmt.Sprintf("%+v", st))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// check holds after every call.
func (w *world) check(t *rapid.T) {
	w.state.Wants()
	w.durable()
	bytes, shelved, kept := 0, 0, 0
	for _, e := range w.state.tasks {
		bytes += e.size()
		require.LessOrEqual(t, max(len(e.Payload), len(e.Result)), bodyMost)
		if e.Phase.Finished() {
			shelved += e.stored.size()
		}
		e.stored.each(e.ID, func(id bodyID, r ref) {
			kept++
			require.Equal(t, r, refOf(w.redis[id.name()]))
		})
	}
	require.Equal(t, bytes, w.state.bytes)
	require.Equal(t, shelved, w.state.shelved)
	require.Len(t, w.redis, kept, "Redis keeps no body that no task has")
	running := map[string]int{}
	waiting, all := 0, 0
	for _, e := range w.state.tasks {
		switch e.Phase {
		case Running:
			running[e.Agent]++
			all++
			require.Contains(t, w.state.agents[e.Agent].holds.all(), e)
		case Waiting:
			waiting++
			all++
		}
	}
	require.Equal(t, waiting, w.state.matcher.Stats().Waiting)
	require.Equal(t, all-waiting, w.state.matcher.Stats().Running)
	require.Equal(t, all-waiting, w.state.leases.size)
	for name, a := range w.state.agents {
		require.Len(t, a.holds.all(), running[name])
		require.Equal(t, running[name], a.holds.size)
		if a.handle != 0 {
			load, err := w.state.matcher.Load(a.handle)
			require.NoError(t, err)
			require.Equal(t, running[name], load)
			require.Len(t, w.agents[name].runs, running[name], "its sink can count what it runs")
		}
	}
	for _, e := range w.state.tasks {
		if e.Phase != Waiting {
			continue
		}
		for _, a := range w.state.agents {
			if a.handle != 0 && !a.silent && a.holds.size >= a.slots && (len(e.Capabilities) == 0 || len(a.spec.Capabilities) > 0) {
				require.True(t, w.agents[a.id].wanted, "task %s waits for a slot of agent %s, and its home does not know", e.ID, a.id)
			}
			free := a.handle != 0 && !a.silent && a.holds.size < a.slots
			able := len(e.Capabilities) == 0 || len(a.spec.Capabilities) > 0
			require.False(t, free && able, "task %s waits while agent %s could do it", e.ID, a.id)
		}
	}
}

// Random calls, ticks and takeovers: no result counts without a valid lease, attempts
// only grow, nothing waits beside a free agent, and every owner agrees with the last.
func TestState_Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){
			"submit": w.submit, "attach": w.attach, "detach": w.detach, "report": w.report, "heartbeat": w.heartbeat,
			"release": w.release, "cancel": w.cancel, "pass": w.pass, "takeover": w.takeover, "grant": w.grant, "redrive": w.redrive, "picturing": w.picturing, "list": w.list, "": w.check,
		})
	})
}
