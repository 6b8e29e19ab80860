package notify

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/leanvibe/hive/workflows/runbook"
)

// errUnusable is a URL that will not become right by a retry.
var errUnusable = errors.New("the URL names no service that can be told")

// classify turns an error of the file system into a kind.
func classify(err error, file string) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return runbook.Fail(runbook.Unreachable, "the disk of %s is full: free some space", file)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return runbook.FailCause(runbook.Refused, err, "%s may not be read or written", file)
	default:
		return runbook.FailCause(runbook.Unreachable, err, "%s", file)
	}
}
