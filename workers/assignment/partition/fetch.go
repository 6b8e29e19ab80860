package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leanvibe/hive/workers/assignment/journal"
)

const (
	// fetchMost bounds what one question asks Redis for, in bytes, but for its first body.
	fetchMost = 4 << 20
	// fetchWait bounds how long a caller waits for bodies.
	fetchWait = 2 * time.Second
)

// A want is a body that is fetched from Redis. Without bytes afterwards, why says what is
// wrong there.
type want struct {
	id    bodyID
	ref   ref
	bytes []byte
	why   string
}

// wants answers what Redis keeps of a task.
func (t *Task) wants() (list []*want) {
	t.stored.each(t.ID, func(id bodyID, r ref) { list = append(list, &want{id: id, ref: r}) })
	return list
}

// fetch reads bodies, never in the partition's turn. It asks until ctx ends. What is missing
// was missing while this replica owned the partition, else it answers journal.ErrFenced.
func (p *Partition) fetch(ctx context.Context, list []*want) error {
	for len(list) > 0 {
		n, size := 0, 0
		names := make([]string, 0, len(list))
		for ; n < len(list) && (n == 0 || size+list[n].ref.size <= fetchMost); n++ {
			size += list[n].ref.size
			names = append(names, list[n].id.name())
		}
		bodies, err := p.log.Bodies(ctx, names)
		if err != nil {
			return err
		}
		for i, body := range bodies {
			switch w := list[i]; {
			case body == nil:
				w.why = "is missing"
			case refOf(body) != w.ref:
				w.why = fmt.Sprintf("holds %d other bytes", len(body))
			default:
				w.bytes = body
			}
		}
		list = list[n:]
	}
	return nil
}

// err says what is wrong with a body in Redis; nil: nothing.
func (w *want) err(log *journal.Log) error {
	if w.why == "" {
		return nil
	}
	return &BodyError{Task: w.id.task, Key: log.BodyKey(w.id.name()), Size: w.ref.size, What: sideNames[w.id.side], Why: w.why}
}

// fill gives tasks their bodies that Redis keeps, as many at a time as its caller has bounded. A
// task whose bodies are not all there keeps the word of it in broken, by its place.
func (p *Partition) fill(ctx context.Context, tasks []Task) (broken map[int]error, err error) {
	var list []*want
	for i := range tasks {
		list = append(list, tasks[i].wants()...)
	}
	if len(list) == 0 {
		return nil, nil
	}
	limited, cancel := context.WithTimeout(ctx, fetchWait)
	defer cancel()
	switch err := p.fetch(limited, list); {
	case errors.Is(err, journal.ErrFenced):
		return nil, ErrLost
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &BusyError{fmt.Sprintf("payloads and results cannot be read from Redis: %v", err), time.Second}
	}
	for i := range tasks {
		t := &tasks[i]
		for ; len(list) > 0 && list[0].id.task == t.ID; list = list[1:] {
			w := list[0]
			if w.id.side == payloadSide {
				t.Payload = w.bytes
			} else {
				t.Result = w.bytes
			}
			if err := w.err(p.log); err != nil {
				if broken == nil {
					broken = map[int]error{}
				}
				broken[i] = errors.Join(broken[i], err)
			}
		}
		t.stored = nil
	}
	return broken, nil
}

// payloads gives the executions of a batch their large payloads. Those whose payload is not
// there are withdrawn, and noted in b.lost.
func (p *Partition) payloads(ctx context.Context, b *batch) error {
	left := b.changes.bodies.take(b.changes.given)
	list := make([]*want, len(left))
	for i := range left {
		list[i] = &left[i].want
	}
	if err := p.fetch(ctx, list); err != nil {
		return err
	}
	for _, n := range left {
		b.changes.given[n.given].Payload = n.bytes
		if err := n.err(p.log); err != nil {
			b.lost = append(b.lost, loss{n.given, b.changes.given[n.given].Execution, err})
		}
	}
	return nil
}

// loss is an execution whose payload Redis has not kept.
type loss struct {
	given int
	Execution
	why error
}
