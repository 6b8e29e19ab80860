package assignment

import (
	"context"
	"encoding/base64"

	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/route"
)

// page is what a list is asked for.
type page struct {
	queue  string
	phase  partition.Phase
	limit  int
	cursor string
}

// cursorForm says what a cursor is.
const cursorForm = "is not the cursor of a page: pass on the one that the page before answered, or none"

// list answers tasks in order of arrival within each partition, and the cursor of the next
// page, empty after the last.
func (s *service) list(ctx context.Context, in page) ([]partition.Task, string, error) {
	var c fieldCheck
	c.require(in.queue == "" || isName(in.queue), "queue", nameForm)
	c.require(in.limit >= 0 && in.limit <= maxPage, "limit", "must be 1 to %d, or 0 for %d", maxPage, defaultPage)
	n, after, ok := s.parseCursor(in.cursor)
	c.require(ok, "cursor", cursorForm)
	if err := c.err(); err != nil {
		return nil, "", err
	}
	if in.limit == 0 {
		in.limit = defaultPage
	}
	last := s.router.Partitions - 1
	if in.queue != "" {
		last = s.router.OfQueue(in.queue)
		if in.cursor == "" {
			n = last
		}
	}
	out := []partition.Task{}
	for ; n <= last; n++ {
		ask := partition.Page{Queue: in.queue, Phase: in.phase, After: after, Most: in.limit - len(out)}
		found, err := route.Ask(ctx, s.router, n, func(ctx context.Context, o route.Owner) ([]partition.Task, error) { return o.List(ctx, ask) })
		if err != nil {
			return nil, "", err
		}
		if out = append(out, found...); len(out) == in.limit {
			return out, cursorOf(out[len(out)-1].ID), nil
		}
		after = partition.TaskID{}
	}
	return out, "", nil
}

// A cursor is the last task of a page: its id tells its partition.
func cursorOf(id partition.TaskID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func (s *service) parseCursor(text string) (n int, after partition.TaskID, ok bool) {
	if text == "" {
		return 0, after, true
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != len(after) {
		return 0, after, false
	}
	copy(after[:], b)
	n, ok = s.router.OfTask(after)
	return n, after, ok
}
