package notify

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leanvibe/hive/workflows/runbook"
)

// recordDir holds who has heard which notice, relative to the project.
const recordDir = "out/state/notices"

// entry is one line of the file sink.
type entry struct {
	Time  time.Time `json:"time"`
	Key   string    `json:"key"`
	Title string    `json:"title"`
	Body  string    `json:"body,omitempty"`
	Link  string    `json:"link,omitempty"`
}

// write appends the notice to the file sink, unless a line of its key is there, and
// waits for the disk. The file is locked meanwhile, so that two notices at once are
// two lines.
func (h Hand) write(in runbook.NoticeInput) error {
	path := filepath.Join(h.ProjectDir, cmp.Or(in.Notify.File, defaultFile))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() // what was written is synced below
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	before, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if holds(before, in.Key) {
		return nil
	}
	line, err := json.Marshal(entry{Time: time.Now().UTC(), Key: in.Key, Title: in.Title, Body: in.Body, Link: in.Link})
	if err != nil {
		return err
	}
	if len(before) > 0 && before[len(before)-1] != '\n' {
		line = append([]byte("\n"), line...) // a line that a power cut left half stays alone
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return errors.Join(err, f.Truncate(int64(len(before)))) // a full disk leaves no half line
	}
	return f.Sync()
}

func holds(lines []byte, key string) bool {
	for line := range bytes.Lines(lines) {
		var e entry
		if json.Unmarshal(line, &e) == nil && e.Key == key {
			return true
		}
	}
	return false
}

// record is which services have taken the notice of one key: a file with a line
// each, so that a retry after a kill tells only the others.
type record struct {
	path string
	mu   sync.Mutex
	seen map[string]bool
}

func (h Hand) record(key string) (*record, error) {
	sum := sha256.Sum256([]byte(key))
	r := &record{path: filepath.Join(h.ProjectDir, recordDir, hex.EncodeToString(sum[:16])), seen: map[string]bool{}}
	if err := os.MkdirAll(filepath.Dir(r.path), 0o700); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(r.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(raw)) {
		r.seen[strings.TrimSpace(line)] = true
	}
	return r, nil
}

func (r *record) has(s service) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[s.digest()]
}

func (r *record) add(s service) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(s.digest() + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		r.seen[s.digest()] = true
	}
	return err
}
