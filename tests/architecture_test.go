package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// listed is the part of `go list -json` that the table is checked against.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

// TestArchitecture holds the code to design §2: every import of every package, tests included for our own rooms.
func TestArchitecture(t *testing.T) {
	packages, err := list("..")
	require.NoError(t, err)
	require.NotEmpty(t, packages)
	require.Empty(t, violations(packages), "imports against the table in tests/architecture_table_test.go (design §2)")
}

// TestArchitectureRejects plants one violation of each kind: a table that cannot fail proves nothing.
func TestArchitectureRejects(t *testing.T) {
	for _, c := range []struct {
		name    string
		planted listed
		want    string
	}{
		{"chapter imports a hand", listed{ImportPath: "workflows/maintenance", Imports: []string{module + "activities/docker"}}, "may not import activities/docker"},
		{"chapter's test imports a hand", listed{ImportPath: "workflows/maintenance", XTestImports: []string{module + "activities/docker"}}, "may not import activities/docker"},
		{"chapter imports net/http", listed{ImportPath: "workflows/health", Imports: []string{"net/http"}}, "may not import net/http"},
		{"chapter imports os", listed{ImportPath: "workflows/health", Imports: []string{"os"}}, "may not import os"},
		{"chapter imports rand", listed{ImportPath: "workflows/health", Imports: []string{"math/rand/v2"}}, "may not import math/rand/v2"},
		{"chapter reaches docker through another", listed{ImportPath: "workflows/health", Deps: []string{"github.com/docker/docker/client"}}, "reaches github.com/docker/docker/client"},
		{"language imports a chapter", listed{ImportPath: "workflows/runbook", Imports: []string{module + "workflows/flow"}}, "may not import workflows/flow"},
		{"flow imports a chapter", listed{ImportPath: "workflows/flow", Imports: []string{module + "workflows/health"}}, "may not import workflows/health"},
		{"language reads YAML", listed{ImportPath: "workflows/runbook", Imports: []string{"github.com/goccy/go-yaml"}}, "may not import github.com/goccy/go-yaml"},
		{"hand imports another hand", listed{ImportPath: "activities/proxy", Imports: []string{module + "activities/docker"}}, "may not import activities/docker"},
		{"hand imports flow", listed{ImportPath: "activities/docker", Imports: []string{module + "workflows/flow"}}, "may not import workflows/flow"},
		{"hand imports another system's client", listed{ImportPath: "activities/docker", Imports: []string{"github.com/jackc/pgx/v5"}}, "may not import github.com/jackc/pgx/v5"},
		{"hot path imports a hand", listed{ImportPath: "workers/assignment", Imports: []string{module + "activities/redis"}}, "may not import activities/redis"},
		{"matcher imports a library", listed{ImportPath: "workers/assignment/matcher", Imports: []string{"github.com/redis/go-redis/v9"}}, "may not import github.com/redis/go-redis/v9"},
		{"operations imports the hot path", listed{ImportPath: "workers/operations", Imports: []string{module + "workers/assignment"}}, "may not import workers/assignment"},
		{"process imports a room", listed{ImportPath: "workers/process", Imports: []string{module + "workflows/runbook"}}, "may not import workflows/runbook"},
		{"command imports a hand", listed{ImportPath: "cmd/hive", Imports: []string{module + "activities/docker"}}, "may not import activities/docker"},
		{"main imports a chapter", listed{ImportPath: "cmd/opsworker", Imports: []string{module + "workflows/health"}}, "may not import workflows/health"},
		{"product imports a test server", listed{ImportPath: "workers/messaging", Imports: []string{module + "workers/redistest"}}, "may not import workers/redistest"},
		{"product imports tests", listed{ImportPath: "workers/operations", Imports: []string{module + "tests/load"}}, "may not import tests/load"},
		{"unknown hand", listed{ImportPath: "activities/ftp"}, "unknown room"},
		{"unknown chapter", listed{ImportPath: "workflows/misc"}, "unknown room"},
		{"unknown worker", listed{ImportPath: "workers/misc"}, "unknown room"},
		{"unknown top folder", listed{ImportPath: "utils"}, "unknown room"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.planted.ImportPath = module + c.planted.ImportPath
			found := violations([]listed{c.planted})
			require.Len(t, found, 1)
			require.Contains(t, found[0], c.want)
		})
	}
}

// TestArchitectureAccepts shows that the table does not simply refuse: one import of each kind that the design allows.
func TestArchitectureAccepts(t *testing.T) {
	require.Empty(t, violations([]listed{
		{ImportPath: module + "workflows/maintenance", Imports: []string{"fmt", "html/template", "net/url", "go.temporal.io/sdk/workflow", module + "workflows/runbook", module + "workflows/health"}, Deps: []string{"net/http"}},
		{ImportPath: module + "activities/docker", Imports: []string{"os", "net/http", "github.com/docker/docker/client", module + "workflows/runbook"}},
		{ImportPath: module + "workers/operations/bootstrap", Imports: []string{module + "activities/docker", module + "workflows/flow"}},
		{ImportPath: module + "cmd/hive", Imports: []string{module + "workflows/maintenance", module + "workers/operations"}},
		{ImportPath: module + "tests/load", Imports: []string{module + "api/hive/v1", "github.com/HdrHistogram/hdrhistogram-go"}},
	}))
}

// TestArchitectureReadsRealPackages plants a violation on disk, so that the reading of `go list` is under test as well.
func TestArchitectureReadsRealPackages(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module github.com/leanvibe/hive\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "activities/docker/docker.go"), "package docker\n\n// Name is a name.\nconst Name = \"docker\"\n")
	write(t, filepath.Join(dir, "workflows/health/health.go"),
		"package health\n\nimport (\n\t_ \"net/http\"\n\n\t_ \"github.com/leanvibe/hive/activities/docker\"\n)\n")
	packages, err := list(dir)
	require.NoError(t, err)
	found := violations(packages)
	require.Len(t, found, 2)
	require.Contains(t, found[0], "workflows/health may not import activities/docker")
	require.Contains(t, found[1], "workflows/health may not import net/http")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// list reads every package of the module at dir. A package that does not compile is still listed (-e): that it must
// compile is the build's business.
func list(dir string) ([]listed, error) {
	command := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports,Deps", "./...")
	command.Dir = dir
	command.Env = append(os.Environ(), "GOWORK=off")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w: %s", dir, err, stderr.String())
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list in %s: %w", dir, err)
		}
		packages = append(packages, p)
	}
}

// violations returns one sentence for each import against the table, sorted.
func violations(packages []listed) []string {
	var found []string
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module)
		at := slices.IndexFunc(table, func(r room) bool { return covers(r.path, name) })
		if at < 0 {
			found = append(found, name+" is an unknown room: give it a row in tests/architecture_table_test.go or move it")
			continue
		}
		found = append(found, table[at].broken(name, p)...)
	}
	sort.Strings(found)
	return found
}

func (r room) broken(name string, p listed) []string {
	var found []string
	for _, imported := range p.Imports {
		if !r.allows(name, imported) {
			found = append(found, name+" may not import "+strings.TrimPrefix(imported, module))
		}
	}
	for _, imported := range append(slices.Clone(p.TestImports), p.XTestImports...) {
		ours := strings.HasPrefix(imported, module)
		if ours && !r.allows(name, imported) && !slices.Contains(testOnly, strings.TrimPrefix(imported, module)) {
			found = append(found, name+" (its tests) may not import "+strings.TrimPrefix(imported, module))
		}
	}
	for _, dependency := range p.Deps {
		if slices.ContainsFunc(r.unreachable, func(banned string) bool { return covers(banned+"/...", dependency) }) {
			found = append(found, name+" reaches "+dependency+" through its imports")
		}
	}
	return slices.Compact(found)
}

// allows decides one direct import: a room of ours, a library, or the standard library.
func (r room) allows(name, imported string) bool {
	if path, ours := strings.CutPrefix(imported, module); ours {
		own := strings.TrimSuffix(r.path, "/...")
		return covers(own+"/...", path) || path == name ||
			slices.ContainsFunc(r.ours, func(open string) bool { return covers(open, path) })
	}
	if library(imported) {
		return slices.ContainsFunc(r.theirs, func(open string) bool { return open == "*" || covers(open+"/...", imported) })
	}
	return !slices.ContainsFunc(r.noStd, func(banned string) bool { return covers(banned, imported) })
}

// library tells a third-party import from the standard library: only the former's first element has a dot.
func library(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return strings.Contains(first, ".")
}
