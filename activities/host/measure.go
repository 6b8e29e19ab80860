package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/leanvibe/hive/workflows/runbook"
)

// Measure answers runbook.MeasureHost.
func (h Hand) Measure(_ context.Context, in runbook.ResourcesInput) (runbook.Resources, error) {
	out := runbook.Resources{Disks: []runbook.Disk{}, CPUs: runtime.NumCPU()}
	for _, dir := range in.Directories {
		disk, err := h.disk(dir)
		if err != nil {
			return out, err
		}
		out.Disks = append(out.Disks, disk)
	}
	memory, err := os.ReadFile(filepath.Join(h.proc(), "meminfo"))
	if err != nil {
		return out, classify(err, "/proc/meminfo")
	}
	out.MemoryBytes, out.MemoryAvailable = kilobytes(string(memory), "MemTotal"), kilobytes(string(memory), "MemAvailable")
	load, err := os.ReadFile(filepath.Join(h.proc(), "loadavg"))
	if err != nil {
		return out, classify(err, "/proc/loadavg")
	}
	first, _, _ := strings.Cut(string(load), " ")
	if out.Load1, err = strconv.ParseFloat(first, 64); err != nil {
		return out, runbook.Fail(runbook.Corrupt, "/proc/loadavg holds %.40q", load)
	}
	return out, nil
}

// disk measures the file system of a directory, or of the nearest parent where it
// has not been made yet. Free is what others than root may use.
func (h Hand) disk(dir string) (runbook.Disk, error) {
	if !filepath.IsLocal(dir) {
		return runbook.Disk{}, runbook.Fail(runbook.Refused, "%q is no directory inside the project", dir)
	}
	for path := dir; ; path = filepath.Dir(path) {
		var s unix.Statfs_t
		err := unix.Statfs(filepath.Join(h.ProjectDir, path), &s)
		if err == nil {
			return runbook.Disk{Directory: dir, Bytes: int64(s.Blocks) * s.Bsize, Free: int64(s.Bavail) * s.Bsize}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) || path == "." {
			return runbook.Disk{}, classify(err, dir)
		}
	}
}

// kilobytes reads a line such as "MemTotal:       24683984 kB"; 0 where there is none.
func kilobytes(meminfo, name string) int64 {
	for line := range strings.Lines(meminfo) {
		value, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err == nil {
			return n * 1024
		}
	}
	return 0
}
