package bootstrap

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/leanvibe/hive/workflows/runbook"
)

// lockFile is held while a stack is brought up or taken down, relative to the project.
const lockFile = "out/state/up.lock"

// alone refuses a second hive up or down of the same project at the same time: each
// would take the other's half-made container for somebody's leftover. The engine of
// the lock is the kernel, so a killed one leaves it free.
func alone(dir string) (release func(), err error) {
	const private, directory = 0o600, 0o755
	path := filepath.Join(dir, lockFile)
	if err := os.MkdirAll(filepath.Dir(path), directory); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, private)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return func() { _ = file.Close() }, nil
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, runbook.Fail(runbook.Busy, "another hive up or down of this project is at work (it holds %s): wait until it has ended", lockFile)
	}
	return nil, err
}
