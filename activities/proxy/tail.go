package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// slack is by how much two workers of nginx may write out of order: each carries
	// the time of its last turn.
	slack = 5 * time.Second
	// chunk is what a step of the search looks at; a line is far shorter.
	chunk = 64 << 10
	// between is how many lines are read between two looks at the context.
	between = 10_000
)

// dayFile is a day's log. Which zone's day it is depends on the container.
var dayFile = regexp.MustCompile(`^access-(\d{4}-\d{2}-\d{2})\.log$`)

// tail reads what the access logs hold of a span of time, and each time it is asked,
// what has been added. It seeks by the time in the lines, so that a day of gigabytes costs
// a few reads.
type tail struct {
	dir, name   string
	from, until time.Time
	// at is where to go on, by file name.
	at             map[string]int64
	read, unread   int
	unreadable     string
	unreadableFile string
}

func (h Hand) tail(proxy runbook.ProxyPolicy, from, until time.Time) (*tail, error) {
	dir, err := h.path(proxy.AccessLogDir)
	if err != nil {
		return nil, err
	}
	return &tail{dir: dir, name: proxy.AccessLogDir, from: from, until: until, at: map[string]int64{}}, nil
}

// next gives every line of the tail's time that was not given before. A line that
// nginx is in the middle of waits for the next time.
func (t *tail) next(ctx context.Context, give func(line)) error {
	names, err := t.files()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := t.file(ctx, name, give); err != nil {
			return err
		}
	}
	if t.unread > 0 && t.read == 0 {
		return runbook.Fail(runbook.Corrupt, "%s does not hold the JSON lines of nginx.conf's log_format hive, but for example: %.120q",
			filepath.Join(t.name, t.unreadableFile), t.unreadable)
	}
	return nil
}

// files are the logs of the days that may hold a part of the time, in any zone.
func (t *tail) files() ([]string, error) {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return nil, classify(err, t.name)
	}
	first := t.from.UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	last := t.until.UTC().AddDate(0, 0, 1).Format(time.DateOnly)
	var out []string
	for _, e := range entries {
		if m := dayFile.FindStringSubmatch(e.Name()); m != nil && m[1] >= first && m[1] <= last {
			out = append(out, e.Name())
		}
	}
	return out, nil // ReadDir sorts by name, which is by day
}

func (t *tail) file(ctx context.Context, name string, give func(line)) error {
	f, err := os.Open(filepath.Join(t.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // log care compressed it meanwhile
	}
	if err != nil {
		return classify(err, filepath.Join(t.name, name))
	}
	defer f.Close()
	at, opened := t.at[name]
	if !opened {
		info, err := f.Stat()
		if err == nil {
			at, err = search(f, info.Size(), t.from.Add(-slack).UnixMilli())
		}
		if err != nil {
			return classify(err, filepath.Join(t.name, name))
		}
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return classify(err, filepath.Join(t.name, name))
	}
	t.at[name], err = t.lines(ctx, bufio.NewReaderSize(f, chunk), at, name, give)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return classify(err, filepath.Join(t.name, name))
}

// lines gives complete lines and answers the offset behind the last of them.
func (t *tail) lines(ctx context.Context, r *bufio.Reader, at int64, file string, give func(line)) (int64, error) {
	from, to := t.from.UnixMilli(), t.until.UnixMilli()
	for n := 1; ; n++ {
		if n%between == 0 && ctx.Err() != nil {
			return at, ctx.Err()
		}
		raw, err := r.ReadSlice('\n')
		var long int64
		for errors.Is(err, bufio.ErrBufferFull) { // no line of ours is as long
			long += int64(len(raw))
			raw, err = r.ReadSlice('\n')
		}
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return at, err
		}
		l, ok := parse(raw)
		ok = ok && long == 0
		switch {
		case !ok:
			t.unread++
			t.unreadable, t.unreadableFile = string(raw), file
		case l.Ended > to+slack.Milliseconds():
			return at, nil // what follows is later still
		default:
			t.read++
			if l.Ended >= from && l.Ended <= to && !l.ours() {
				give(l)
			}
		}
		at += long + int64(len(raw))
	}
}

// search finds an offset at a line's begin from which on no line before the target
// is missed, by halving: it never reads more than a few chunks.
func search(f io.ReaderAt, size, target int64) (int64, error) {
	low, high := int64(0), size
	for high-low > chunk {
		middle := low + (high-low)/2
		begin, ended, found, err := lineAfter(f, middle)
		switch {
		case err != nil:
			return 0, err
		case found && begin < high && ended < target:
			low = begin
		default:
			high = middle
		}
	}
	return low, nil
}

// lineAfter finds the first readable line that begins after the offset.
func lineAfter(f io.ReaderAt, offset int64) (begin, ended int64, found bool, err error) {
	buffer := make([]byte, chunk)
	n, err := f.ReadAt(buffer, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, false, err
	}
	buffer = buffer[:n]
	at := bytes.IndexByte(buffer, '\n') + 1
	if at == 0 {
		return 0, 0, false, nil
	}
	for {
		end := bytes.IndexByte(buffer[at:], '\n')
		if end < 0 {
			return 0, 0, false, nil
		}
		if l, ok := parse(buffer[at : at+end]); ok {
			return offset + int64(at), l.Ended, true, nil
		}
		at += end + 1
	}
}
