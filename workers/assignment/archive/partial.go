package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

// errHeld is a partial segment that a living process writes or repairs.
var errHeld = errors.New("another process holds it")

// partial is a segment that is not complete. It is locked (flock) as long as it is
// open, so that nobody takes a living process's file for a dead one's.
//
// Each batch is a zstd frame of its own: what is on disk reads without what comes
// later, and a failed batch is cut off without a trace.
type partial struct {
	file     *os.File
	hour     time.Time
	instance string
	// size is what is on disk for good, in bytes; behind it, while dirty, may be the
	// rest of a batch that failed.
	size  int64
	dirty bool
	// writeAt is (*os.File).WriteAt, but in tests of a full disk.
	writeAt func(f *os.File, b []byte, at int64) (int, error)
}

// create makes the partial segment of an hour; fs.ErrExist says that there is one.
func create(dir string, hour time.Time, instance string) (*partial, error) {
	path := filepath.Join(dir, partialName(hour, instance))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(hold(f), syncDir(dir)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &partial{file: f, hour: hour, instance: instance, writeAt: (*os.File).WriteAt}, nil
}

// hold locks an open file that has still its name, or answers errHeld.
func hold(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", f.Name(), errHeld)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	named, err := os.Lstat(f.Name())
	if err != nil {
		return err
	}
	if !os.SameFile(mine, named) { // somebody finished it before it was locked
		return fmt.Errorf("%s: %w", f.Name(), errHeld)
	}
	return nil
}

// append adds a batch and returns when it is on disk, or leaves no trace of it. However
// large the batch is, it takes the longest line and the packer's window.
func (p *partial) append(packer *zstd.Encoder, tasks []partition.Task) (err error) {
	if err := p.clean(); err != nil {
		return err
	}
	p.dirty = true
	defer func() {
		if err != nil {
			_ = p.clean() // a full disk gets the space back; if not now, then before the next
		}
	}()
	end := &tail{p, p.size}
	packer.Reset(end)
	var buf bytes.Buffer
	for i := range tasks {
		buf.Reset()
		if err := writeLine(&buf, &tasks[i]); err != nil {
			return fmt.Errorf("task %s: %w", tasks[i].ID, err)
		}
		if _, err := packer.Write(buf.Bytes()); err != nil {
			return err
		}
	}
	if err := packer.Close(); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	p.size, p.dirty = end.at, false
	return nil
}

// clean cuts off what a failed batch left.
func (p *partial) clean() error {
	if !p.dirty {
		return nil
	}
	if err := p.file.Truncate(p.size); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	p.dirty = false
	return nil
}

// tail writes behind what is on disk for good.
type tail struct {
	p  *partial
	at int64
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	n, err := t.p.writeAt(t.p.file, b, t.at)
	t.at += int64(n)
	return n, err
}

// finish gives the segment its final name. named tells whether the file is no
// partial any more, also where an error came later.
func (p *partial) finish() (named bool, err error) {
	if err := p.clean(); err != nil {
		return false, err
	}
	dir := filepath.Dir(p.file.Name())
	if p.size == 0 {
		if err := os.Remove(p.file.Name()); err != nil {
			return false, err
		}
		return true, p.file.Close()
	}
	path, err := freeName(dir, p.hour, p.instance)
	if err != nil {
		return false, err
	}
	if err := os.Rename(p.file.Name(), path); err != nil {
		return false, err
	}
	return true, errors.Join(syncDir(dir), p.file.Close())
}

// repair makes a complete segment of the whole lines of a partial that its writer
// left; errHeld says that the writer lives. Killed anywhere, it starts again: at worst
// the lines are then in two segments.
func repair(dir, name string) (kept int, err error) {
	hour, instance, _ := partialOf(name)
	path := filepath.Join(dir, name)
	left, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer left.Close()
	if err := hold(left); err != nil {
		return 0, err
	}
	half := path + copySuffix
	kept, err = copyLines(half, left)
	if err != nil || kept == 0 {
		err = errors.Join(err, os.Remove(half))
	}
	if err != nil {
		return 0, err
	}
	if kept > 0 {
		final, err := freeName(dir, hour, instance)
		if err != nil {
			return 0, err
		}
		if err := errors.Join(os.Rename(half, final), syncDir(dir)); err != nil {
			return 0, err
		}
	}
	return kept, errors.Join(os.Remove(path), syncDir(dir))
}

// copyLines writes the lines of a partial that are whole into a new file, on disk
// when it returns. An error is the disk's: damage only ends the lines.
func copyLines(path string, left io.Reader) (n int, err error) {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	packer, err := newPacker(to)
	if err != nil {
		return 0, err
	}
	from := &watched{from: left}
	for b, err := range lines(from) {
		if err != nil {
			break
		}
		if !json.Valid(b) { // not read further: a newer program's line is kept, too
			continue
		}
		if _, err := packer.Write(b); err != nil {
			return 0, err
		}
		n++
	}
	return n, errors.Join(from.err, packer.Close(), to.Sync())
}

// watched keeps the error of a read that failed, which damaged contents are not.
type watched struct {
	from io.Reader
	err  error
}

// Read implements io.Reader.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.from.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// newPacker makes what compresses a segment, without goroutines of its own.
func newPacker(to io.Writer) (*zstd.Encoder, error) {
	return zstd.NewWriter(to, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true))
}

// syncDir makes names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
