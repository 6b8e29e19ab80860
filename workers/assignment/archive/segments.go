package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

const (
	// lookEvery is how soon the end of an hour is seen while nothing is archived.
	lookEvery = 10 * time.Second
	// deadAfter is how long nothing was written to a partial of another instance when
	// it is taken for a dead one's.
	deadAfter = 2 * time.Hour
)

var (
	instancePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	errClosed       = errors.New("the archive's segments are closed")
)

// SegmentsConfig says where segments are and how long they stay.
type SegmentsConfig struct {
	// Dir may be shared by replicas; it is made when it is not there.
	Dir string
	// Instance is in the names of files; no other living process may have it.
	Instance string
	// Keep is how long a complete segment stays after its hour; 0: for ever.
	Keep time.Duration
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Log is where leftovers and failures are told; nil: slog.Default.
	Log *slog.Logger
}

// Segments are files of finished tasks, one for each hour in which they were archived
// (by the clock, in UTC): newline-delimited JSON, compressed by zstd. A file
// finished-….ndjson.zst is complete and reads whole. It is safe for concurrent use.
type Segments struct {
	cfg    SegmentsConfig
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex // guards the following
	open   *partial   // nil while there is none
	packer *zstd.Encoder
	closed bool

	sweeping sync.Mutex // guards swept
	swept    time.Time  // the hour of the last sweep
}

// OpenSegments makes complete segments of what dead writers left in the directory,
// forgets old ones, and starts to look for the end of the hour, until Close. What it
// cannot repair now is logged and tried again each hour.
func OpenSegments(cfg SegmentsConfig) (*Segments, error) {
	if !instancePattern.MatchString(cfg.Instance) {
		return nil, fmt.Errorf("instance %q cannot name files: "+
			"it must be 1 to 128 of letters, digits, '.', '_', '-', beginning with a letter or digit", cfg.Instance)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("HIVE_DATA_DIR: %w", err)
	}
	packer, err := newPacker(nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Segments{cfg: cfg, cancel: cancel, done: make(chan struct{}), packer: packer}
	s.sweep()
	go s.look(ctx)
	return s, nil
}

// Append adds finished tasks to the segment of this hour. nil: they are on disk.
// After an error none of them is, and the same call may succeed later.
func (s *Segments) Append(tasks []partition.Task) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if err := s.turn(); err != nil {
		return err
	}
	if len(tasks) == 0 {
		return nil
	}
	if s.open == nil {
		var err error
		if s.open, err = s.begin(); err != nil {
			return fmt.Errorf("segment: %w", err)
		}
	}
	if err := s.open.append(s.packer, tasks); err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	return nil
}

// Close completes the open segment. After an error what was appended is on disk, and
// the next start of this instance completes it.
func (s *Segments) Close() error {
	s.cancel()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.open == nil {
		return nil
	}
	err := s.finish()
	if s.open != nil {
		err = errors.Join(err, s.open.file.Close())
		s.open = nil
	}
	return err
}

// begin makes the partial of this hour. One that a predecessor left is completed first.
func (s *Segments) begin() (*partial, error) {
	hour := hourOf(s.cfg.Now())
	p, err := create(s.cfg.Dir, hour, s.cfg.Instance)
	if errors.Is(err, fs.ErrExist) {
		if err = s.repair(partialName(hour, s.cfg.Instance)); err == nil {
			p, err = create(s.cfg.Dir, hour, s.cfg.Instance)
		}
	}
	if errors.Is(err, errHeld) {
		return nil, fmt.Errorf("%w: give each replica an instance of its own", err)
	}
	return p, err
}

// repair completes what a dead writer left, and tells.
func (s *Segments) repair(name string) error {
	kept, err := repair(s.cfg.Dir, name)
	if err == nil {
		s.cfg.Log.Info("a segment that was left incomplete is completed", "file", name, "tasks", kept)
	}
	return err
}

// turn completes the open segment when its hour is over.
func (s *Segments) turn() error {
	if s.open == nil || hourOf(s.cfg.Now()).Equal(s.open.hour) {
		return nil
	}
	return s.finish()
}

func (s *Segments) finish() error {
	named, err := s.open.finish()
	if named {
		s.open = nil
	}
	if err != nil {
		return fmt.Errorf("segment: complete it: %w", err)
	}
	return nil
}

// look sees the end of each hour, until ctx ends.
func (s *Segments) look(ctx context.Context) {
	defer close(s.done)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.passHour()
		}
	}
}

// passHour does what is due once an hour has passed.
func (s *Segments) passHour() {
	s.mu.Lock()
	err := s.turn()
	s.mu.Unlock()
	if err != nil {
		s.cfg.Log.Warn("a segment could not be completed; it is tried again", "error", err)
	}
	s.sweep()
}

// sweep completes what dead writers left and removes what is old, once an hour.
func (s *Segments) sweep() {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	now := s.cfg.Now()
	if s.swept.Equal(hourOf(now)) {
		return
	}
	files, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		s.cfg.Log.Warn("the archive's directory does not read; it is tried again", "error", err)
		return
	}
	for _, f := range files {
		if err := s.sweepFile(f, now); err != nil && !errors.Is(err, fs.ErrNotExist) { // another replica was first
			s.cfg.Log.Warn("a file of the archive is left as it is for an hour", "file", f.Name(), "error", err)
		}
	}
	s.swept = hourOf(now)
}

func (s *Segments) sweepFile(f fs.DirEntry, now time.Time) error {
	if hour, ok := segmentOf(f.Name()); ok {
		if s.cfg.Keep <= 0 || now.Before(hour.Add(time.Hour+s.cfg.Keep)) {
			return nil
		}
		return os.Remove(filepath.Join(s.cfg.Dir, f.Name()))
	}
	_, instance, ok := partialOf(f.Name())
	if !ok {
		return nil
	}
	info, err := f.Info()
	if err != nil {
		return err
	}
	if instance == s.cfg.Instance {
		s.mu.Lock() // not between the making of our own next one and its lock
		defer s.mu.Unlock()
	} else if now.Sub(info.ModTime()) <= deadAfter {
		return nil
	}
	if err := s.repair(f.Name()); !errors.Is(err, errHeld) {
		return err
	}
	return nil // its writer lives
}
