package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// outDir is where runs leave files, relative to the project.
	outDir = "out"
	// artefactMax is the largest artefact, in bytes.
	artefactMax = 1 << 20
)

// reserved are directories of out/ that are not for artefacts.
var reserved = map[string]bool{"state": true, "bin": true}

// WriteArtefact answers runbook.WriteArtefact.
func (h Hand) WriteArtefact(_ context.Context, in runbook.ArtefactInput) (runbook.Artefact, error) {
	var none runbook.Artefact
	first, _, nested := strings.Cut(path.Clean(filepath.ToSlash(in.Path)), "/")
	switch {
	case !filepath.IsLocal(in.Path) || !nested || reserved[first]:
		return none, runbook.Fail(runbook.Refused, "%q is no place for an artefact: write for example weekly-maintenance/report.json", in.Path)
	case len(in.Body) > artefactMax:
		return none, runbook.Fail(runbook.Refused, "out/%s would have %d bytes, over the %d of an artefact", in.Path, len(in.Body), artefactMax)
	case !utf8.ValidString(in.Body):
		return none, runbook.Fail(runbook.Refused, "out/%s would not be UTF-8 text", in.Path)
	}
	name := filepath.Join(outDir, in.Path)
	if err := h.writeWhole(name, in.Body); err != nil {
		return none, classify(err, name)
	}
	sum := sha256.Sum256([]byte(in.Body))
	return runbook.Artefact{Path: filepath.ToSlash(name), SHA256: hex.EncodeToString(sum[:])}, nil
}

// writeWhole writes under a name of its own and renames, so that no reader ever
// sees a part, and a full disk leaves the file that was there.
func (h Hand) writeWhole(name, body string) (err error) {
	root, err := os.OpenRoot(h.ProjectDir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	half := name + "." + uuid.NewString() + partial
	f, err := root.OpenFile(half, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(body)
	err = firstOf(err, f.Sync(), f.Close())
	if err == nil {
		err = root.Rename(half, name)
	}
	if err != nil {
		_ = root.Remove(half)
		return err
	}
	return syncDir(root, name)
}
