package proxy

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"github.com/containerd/errdefs"

	"github.com/leanvibe/hive/workflows/runbook"
)

// classify turns an error of the engine, the file system or the way to nginx into
// a kind; what is named as the project knows it.
func classify(err error, what string) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	switch {
	case err == nil, errors.Is(err, context.Canceled), runbook.KindOf(err) != "":
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return runbook.Fail(runbook.Unreachable, "%s did not answer in time", what)
	case errors.Is(err, fs.ErrNotExist):
		return runbook.Fail(runbook.Missing, "%s does not exist; hive up makes it", what)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return runbook.Fail(runbook.Unsafe, "the disk of %s is full: nothing was changed; free some space, then start again", what)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return runbook.FailCause(runbook.Refused, err, "%s may not be read or written", what)
	case errdefs.IsConflict(err):
		return runbook.FailCause(runbook.Busy, err, "%s", what)
	default: // a container that is gone has been replaced: the next try finds its successor
		return runbook.FailCause(runbook.Unreachable, err, "%s", what)
	}
}

// also adds what went wrong while a failure was being put right. What lies on the
// disk then is neither the old nor the new: that is final, and for a human.
func also(err, more error) error {
	if more == nil {
		return err
	}
	return runbook.FailCause(runbook.Unsafe, more, "%s; and it could not be put back", runbook.Reason(err))
}
