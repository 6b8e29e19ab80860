package policy

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/leanvibe/hive/workflows/runbook"
)

// classify turns an error of the file system into a kind. What stays as it is
// until somebody acts (absent, forbidden, full) is final; the rest is retried.
func classify(err error, file, wayOut string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return runbook.Fail(runbook.Missing, "%s does not exist; %s", file, wayOut)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return runbook.Fail(runbook.Refused, "the disk of %s is full: free some space, then start again", file)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return runbook.FailCause(runbook.Refused, err, "%s may not be read or written", file)
	default:
		return runbook.FailCause(runbook.Unreachable, err, "%s", file)
	}
}
