package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/leanvibe/hive/workflows/runbook"
)

// project reads the run's own copy of the resolved compose file. It was resolved
// once, so nothing is interpolated again: a "$" in it is a "$".
func (h Hand) project(ctx context.Context, name, copied, hash string) (*types.Project, error) {
	if !filepath.IsLocal(copied) {
		return nil, runbook.Fail(runbook.Refused, "%q is no file inside the project", copied)
	}
	body, err := os.ReadFile(h.path(copied))
	if err != nil {
		return nil, classifyFile(err, copied)
	}
	sum := sha256.Sum256(body)
	if got := hex.EncodeToString(sum[:]); got != strings.TrimPrefix(hash, "sha256:") {
		return nil, runbook.Fail(runbook.Corrupt, "%s has sha256 %s, and the run wrote %s: somebody changed it; start a new run", copied, got, hash)
	}
	files, err := h.ComposeFiles()
	if err != nil {
		return nil, err
	}
	project, err := loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  filepath.Dir(files[0]),
		ConfigFiles: []types.ConfigFile{{Filename: files[0], Content: body}},
		Environment: types.Mapping{},
	}, func(o *loader.Options) {
		o.SetProjectName(name, true)
		o.SkipInterpolation, o.SkipNormalization, o.SkipConsistencyCheck = true, true, true
		o.SkipInclude, o.SkipExtends, o.SkipResolveEnvironment, o.SkipResolveLabels = true, true, true, true
		o.Profiles = []string{"*"} // what the profiles leave out is not in the copy
	})
	if err != nil {
		// the reader's words may quote what it read, the environment too
		return nil, runbook.Fail(runbook.Corrupt, "%s is no resolved compose file; start a new run", copied)
	}
	project.ComposeFiles = files
	return project, nil
}
