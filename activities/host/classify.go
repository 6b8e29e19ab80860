package host

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"syscall"

	"github.com/klauspost/compress/gzip"

	"github.com/leanvibe/hive/workflows/runbook"
)

// classify turns an error of the file system into a kind; paths are named as the
// project knows them.
func classify(err error, file string) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	switch {
	case err == nil, errors.Is(err, context.Canceled), runbook.KindOf(err) != "":
		return err
	case errors.Is(err, fs.ErrNotExist):
		return runbook.Fail(runbook.Missing, "%s does not exist", file)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return runbook.Fail(runbook.Unsafe, "the disk of %s is full: nothing was changed; free some space, then start again", file)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return runbook.FailCause(runbook.Refused, err, "%s may not be read or written", file)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EIO):
		return runbook.FailCause(runbook.Corrupt, err, "%s", file)
	case errors.Is(err, syscall.EBUSY), errors.Is(err, syscall.ETXTBSY):
		return runbook.FailCause(runbook.Busy, err, "%s", file)
	default:
		return runbook.FailCause(runbook.Unreachable, err, "%s", file)
	}
}
