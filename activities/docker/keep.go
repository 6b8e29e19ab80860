package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"

	"github.com/docker/docker/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/leanvibe/hive/workflows/runbook"
)

// stateDir holds what the hand has to remember, relative to the project; runsDir a
// directory per run, which policy names in the same way.
var (
	stateDir = filepath.Join("out", "state")
	runsDir  = filepath.Join(stateDir, "runs")
)

// runDir is a run's directory, relative to the project: workflow IDs hold slashes
// and colons, which stay readable and name one directory.
func runDir(run string) (string, error) {
	const longest = 200 // of the 255 bytes that a file name may have
	name := url.PathEscape(run)
	if name == "" || name == "." || name == ".." {
		return "", runbook.Fail(runbook.Refused, "run %q names no directory: give the workflow ID and the first run ID", run)
	}
	if len(name) > longest {
		sum := sha256.Sum256([]byte(run))
		name = name[:longest-17] + "-" + hex.EncodeToString(sum[:8])
	}
	return filepath.Join(runsDir, name), nil
}

// document is what is kept of a container that a run stops: how to make it again,
// and how far the stop has come. It holds the environment, so it is 0600 and never
// leaves the machine.
type document struct {
	Container container.InspectResponse `json:"container"`
	Stop      stopped                   `json:"stop"`
}

// documentFile is where a run keeps a container's document, relative to the project.
func documentFile(run, name string) (string, error) {
	dir, err := runDir(run)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "containers", url.PathEscape(name)+".json"), nil
}

// kept reads a document; ok is false where the run keeps none of this container.
func (h Hand) kept(file, id string) (d document, ok bool, err error) {
	found, err := h.read(file, &d)
	return d, found && d.Container.ContainerJSONBase != nil && d.Container.ID == id, err
}

// keptByAnyRun looks through the runs for the document of a container: a run that
// was ended in the middle is tidied up by another.
func (h Hand) keptByAnyRun(name, id string) (d document, ok bool, err error) {
	files, err := filepath.Glob(filepath.Join(h.path(runsDir), "*", "containers", url.PathEscape(name)+".json"))
	if err != nil {
		return d, false, runbook.FailCause(runbook.Refused, err, "container %q", name)
	}
	for _, file := range files {
		relative, err := filepath.Rel(h.ProjectDir, file)
		if err != nil {
			return d, false, classifyFile(err, runsDir)
		}
		if d, ok, err = h.kept(relative, id); ok || err != nil {
			return d, ok, err
		}
	}
	return document{}, false, nil
}

// read reads a state file; found is false where there is none.
func (h Hand) read(file string, into any) (found bool, err error) {
	body, err := os.ReadFile(h.path(file))
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, classifyFile(err, file)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return false, runbook.Fail(runbook.Corrupt, "%s is no state file of hive; move it away", file)
	}
	return true, nil
}

// write puts a state file in place when it is complete and on the disk, readable
// for its owner alone.
func (h Hand) write(file string, value any) (err error) {
	defer func() { err = classifyFile(err, file) }()
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	path := h.path(file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.partial") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(body); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// locked runs one reader and writer of a state file at a time, also of another
// process; the kernel frees the lock of one that dies.
func (h Hand) locked(file string, do func() error) error {
	path := h.path(file + ".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return classifyFile(err, file)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return classifyFile(err, file)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return classifyFile(err, file)
	}
	return do()
}
