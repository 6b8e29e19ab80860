package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/leanvibe/hive/workflows/runbook"
)

// written says whether any process, in whatever container, has the file open for
// writing. The kernel itself answers: it grants a read lease only where nobody
// has. Where it grants none to us at all (not the owner and no CAP_LEASE, or a file
// system without leases) the open files of all processes are gone through, and
// where not all can be seen, the answer is an error and not a no.
func (h Hand) written(f *os.File) (bool, error) {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case err == nil:
		_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
		return false, err
	case errors.Is(err, unix.EAGAIN):
		return true, nil
	default:
		return h.scanned(f)
	}
}

// scanned looks for the file among the open files of every process.
func (h Hand) scanned(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if self, err := os.Readlink(filepath.Join(h.proc(), "self")); err != nil || self == "1" {
		return false, blind("this worker sees no process but its own")
	}
	processes, err := os.ReadDir(h.proc())
	if err != nil {
		return false, err
	}
	unseen := ""
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		open, err := h.writes(p.Name(), info)
		switch {
		case open:
			return true, nil
		case errors.Is(err, fs.ErrPermission):
			unseen = p.Name()
		}
	}
	if unseen != "" {
		return false, blind("the open files of process " + unseen + " may not be looked at")
	}
	return false, nil
}

func blind(why string) error {
	return runbook.Fail(runbook.Unsafe, "nobody can tell whether a log is still written to: %s; give opsworker the capability LEASE, or pid: host and SYS_PTRACE", why)
}

// writes says whether the process has the file open for writing. One that ends
// meanwhile has not.
func (h Hand) writes(pid string, file os.FileInfo) (bool, error) {
	dir := filepath.Join(h.proc(), pid, "fd")
	fds, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, fd := range fds {
		info, err := os.Stat(filepath.Join(dir, fd.Name()))
		if err != nil || !os.SameFile(info, file) {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(h.proc(), pid, "fdinfo", fd.Name()))
		if err == nil && writable(string(raw)) {
			return true, nil
		}
	}
	return false, nil
}

// writable reads the flags of an fdinfo, which are octal.
func writable(fdinfo string) bool {
	for line := range strings.Lines(fdinfo) {
		if value, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseInt(strings.TrimSpace(value), 8, 64)
			return err == nil && flags&syscall.O_ACCMODE != syscall.O_RDONLY
		}
	}
	return false
}
