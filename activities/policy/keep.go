package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/leanvibe/hive/workflows/runbook"
)

// keep writes the resolved file to the run's own directory, where only the owner
// may read it, and answers its path, relative to the project, and its sha256.
func (h Hand) keep(files Layout, project *types.Project, run string) (path, hash string, err error) {
	dir, err := runDir(run)
	if err != nil {
		return "", "", err
	}
	body, err := project.MarshalJSON()
	if err != nil {
		return "", "", runbook.FailCause(runbook.Refused, err, "%s cannot be written down resolved", files.Stack())
	}
	path = filepath.Join(dir, "compose.json")
	if err := os.MkdirAll(h.path(dir), 0o700); err != nil {
		return "", "", classify(err, dir, "")
	}
	if err := writeWhole(h.path(path), body); err != nil {
		return "", "", classify(err, path, "its directory has gone; start again")
	}
	sum := sha256.Sum256(body)
	return path, "sha256:" + hex.EncodeToString(sum[:]), nil
}

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
	return filepath.Join(RunsDir, name), nil
}

// writeWhole writes the file under a partial name, with nobody else's right to
// read it, and gives it its name when it is complete and on the disk.
func writeWhole(path string, body []byte) (err error) {
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
