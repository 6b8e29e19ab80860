package messaging

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/leanvibe/hive/api/frame"
)

const (
	// lookEvery is the longest that a lost announcement delays a message.
	lookEvery = time.Second
	// fetchMost bounds one round of reads.
	fetchMost = 512
	// fetchPause follows a round of reads that failed.
	fetchPause = 50 * time.Millisecond
)

// feed is a mailbox on its way to one session. While it is behind, the fetcher
// alone moves it; otherwise what this hub stores is handed on from memory, if
// it follows the cursor without a gap.
type feed struct {
	session *session
	address string

	// Under the session's mu.
	cursor frame.Cursor
	behind bool // the fetcher or, parked, the session's writer sees to it
	parked bool
	again  bool     // something came while it was behind
	held   []*entry // what was stored here meanwhile: it is handed on when the fetcher has caught up with it
	moved  bool     // since the fetcher has last looked at all
	closed bool
}

// feeds knows who listens to which mailbox on this hub.
type feeds struct {
	store *store
	count func(kind string)

	mu     sync.Mutex
	by     map[string][]*feed
	hungry []*feed
	signal chan struct{}
}

func newFeeds(s *store, count func(string)) *feeds {
	return &feeds{store: s, count: count, by: map[string][]*feed{}, signal: make(chan struct{}, 1)}
}

func (f *feeds) add(fd *feed) {
	f.mu.Lock()
	f.by[fd.address] = append(f.by[fd.address], fd)
	f.mu.Unlock()
	f.nudge(fd)
}

func (f *feeds) remove(fd *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// A copy: offers walk the list without the lock.
	left := slices.DeleteFunc(slices.Clone(f.by[fd.address]), func(x *feed) bool { return x == fd })
	if len(left) == 0 {
		delete(f.by, fd.address)
		return
	}
	f.by[fd.address] = left
}

func (f *feeds) of(address string) []*feed {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clip(f.by[address])
}

// offer hands on what has just been stored.
func (f *feeds) offer(address string, e *entry) {
	for _, fd := range f.of(address) {
		if !fd.session.take(fd, e) {
			f.nudge(fd)
		}
	}
}

// touch looks at a mailbox that has grown elsewhere.
func (f *feeds) touch(address string) {
	for _, fd := range f.of(address) {
		f.nudge(fd)
	}
}

// nudge makes the fetcher look at a feed.
func (f *feeds) nudge(fd *feed) {
	if fd.session.fallBehind(fd) {
		f.feed(fd)
	}
}

// feed puts feeds in the fetcher's line.
func (f *feeds) feed(fds ...*feed) {
	f.mu.Lock()
	f.hungry = append(f.hungry, fds...)
	f.mu.Unlock()
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// fetch reads for all sessions that are behind, many mailboxes in one round trip.
func (f *feeds) fetch(ctx context.Context) error {
	look := time.NewTicker(lookEvery / 2)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			f.lookAtAll()
		case <-f.signal:
		}
		for more := true; more && ctx.Err() == nil; {
			more = f.round(ctx)
		}
	}
}

// lookAtAll is for announcements that were lost. Where something has come since the last
// time nothing was missing before it, and to look would only let the feed fall behind.
func (f *feeds) lookAtAll() {
	f.mu.Lock()
	var all []*feed
	for _, list := range f.by {
		all = append(all, list...)
	}
	f.mu.Unlock()
	for _, fd := range all {
		if !fd.session.hasMoved(fd) {
			f.nudge(fd)
		}
	}
}

// round reads for some of the feeds in line; false when there are none.
func (f *feeds) round(ctx context.Context) bool {
	f.mu.Lock()
	n := min(len(f.hungry), fetchMost)
	line := slices.Clone(f.hungry[:n])
	f.hungry = slices.Delete(f.hungry, 0, n)
	f.mu.Unlock()
	if n == 0 {
		return false
	}
	asked := make([]position, 0, n)
	line = slices.DeleteFunc(line, func(fd *feed) bool {
		cursor, ok := fd.session.wants(fd)
		if ok {
			asked = append(asked, position{fd.address, cursor})
		}
		return !ok
	})
	if len(line) == 0 {
		return true
	}
	found, errs := f.store.fetch(ctx, asked)
	var again []*feed
	failed := false
	for i, fd := range line {
		if errs[i] != nil {
			failed = true
			again = append(again, fd)
		} else if fd.session.fill(fd, found[i]) {
			again = append(again, fd)
		}
	}
	if failed && ctx.Err() == nil {
		f.count("redis")
		pause := time.NewTimer(fetchPause)
		defer pause.Stop()
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
	}
	f.feed(again...)
	return true
}
