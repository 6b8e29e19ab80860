package process

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// dailyFile appends to <dir>/<instance>-YYYY-MM-DD.log, the date in UTC. A file
// of a past day is never written again, so log management may compress it.
type dailyFile struct {
	dir, instance string
	now           func() time.Time

	mu   sync.Mutex
	day  string
	file *os.File
}

// Write appends one line, opening the day's file first when the day has changed.
func (d *dailyFile) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	day := d.now().UTC().Format(time.DateOnly)
	if d.file == nil || day != d.day {
		if err := d.open(day); err != nil {
			return 0, err
		}
	}
	return d.file.Write(line)
}

func (d *dailyFile) open(day string) error {
	path := filepath.Join(d.dir, d.instance+"-"+day+".log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	if d.file != nil {
		// Each line was written through; nothing is buffered that Close could lose.
		_ = d.file.Close()
	}
	d.file, d.day = f, day
	return nil
}

// Close closes the current file.
func (d *dailyFile) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	d.file = nil
	return err
}

// tee writes each line to stdout and to the file. A full disk must not stop the
// service: the failure is counted, and stdout still has the line.
type tee struct {
	stdout io.Writer
	file   io.Writer
	failed prometheus.Counter
}

func (t tee) Write(line []byte) (int, error) {
	if _, err := t.file.Write(line); err != nil {
		t.failed.Inc()
	}
	return t.stdout.Write(line)
}

// newLogger logs JSON lines to stdout and, when a directory is configured, to
// the daily file. It fails when the directory cannot be written at the start.
func newLogger(cfg Config, failed prometheus.Counter) (*slog.Logger, io.Closer, error) {
	var out io.Writer = os.Stdout
	var closer io.Closer = io.NopCloser(nil)
	if cfg.LogDir != "" {
		file := &dailyFile{dir: cfg.LogDir, instance: cfg.Instance, now: time.Now}
		if _, err := file.Write(nil); err != nil {
			return nil, nil, fmt.Errorf("HIVE_LOG_DIR: %w; make the directory writable or leave the variable empty", err)
		}
		out, closer = tee{stdout: os.Stdout, file: file, failed: failed}, file
	}
	log := slog.New(slog.NewJSONHandler(out, nil)).With(
		"service", cfg.Service, "instance", cfg.Instance, "version", cfg.Version)
	return log, closer, nil
}
