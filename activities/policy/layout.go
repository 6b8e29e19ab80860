package policy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"

	"github.com/leanvibe/hive/workflows/runbook"
)

// The repository's own files, relative to the project's root.
const (
	// RunbookFile is the policy.
	RunbookFile = "deploy/production/runbook.yaml"
	// ComposeFile is the stack.
	ComposeFile = "deploy/production/docker-compose.production.yml"
	// EnvFile is read where it exists, as `docker compose` reads the one beside the
	// compose file; hive up writes the image switch there.
	EnvFile = "deploy/production/.env"
)

// The files of any other project lie in its root: the policy and what hive must
// know of the compose file, both as hive init writes them.
const (
	foreignRunbook  = "runbook.yaml"
	foreignOverride = "compose.hive.yaml"
	foreignEnv      = ".env"
	// foreignAddresses is where hive init puts the proxy's address files.
	foreignAddresses = "hive/upstreams"
)

// Runbooks are the names under which a project may hold its policy.
var Runbooks = []string{RunbookFile, foreignRunbook}

// Layout says where a project's files lie, all relative to its root.
type Layout struct {
	// Runbook is the policy.
	Runbook string
	// Compose are the compose files in the order in which they are merged, as
	// `docker compose -f first -f second` does.
	Compose []string
	// Env is read where it exists.
	Env string
	// Own says that this is the repository's own stack, which hive up makes.
	Own bool
	// addresses is the default of proxy.address_dir.
	addresses string
}

// ours is the repository's own layout.
func ours() Layout {
	return Layout{
		Runbook: RunbookFile, Compose: []string{ComposeFile}, Env: EnvFile, Own: true,
		addresses: "deploy/production/nginx/upstreams",
	}
}

// Find answers where the files of the project lie: where the repository has them,
// else in the root, under the names that `docker compose` itself looks for, with
// compose.hive.yaml behind. Where only one of policy and stack is there, the layout
// names where the other is wanted. A directory without both is Missing.
func Find(projectDir string) (Layout, error) {
	own := ours()
	foreign, composed := inRoot(projectDir)
	for _, candidate := range []struct {
		layout Layout
		marks  []string
	}{{own, []string{own.Runbook}}, {foreign, []string{foreign.Runbook}}, {own, own.Compose}, {foreign, composed}} {
		there, err := anyThere(projectDir, candidate.marks)
		if err != nil {
			return Layout{}, err
		}
		if there {
			return candidate.layout, nil
		}
	}
	return Layout{}, runbook.Fail(runbook.Missing,
		"%s is no project of hive: it holds neither a policy (%s) nor a compose file (%s); for a stack of yours write the policy with hive init",
		filepath.Base(projectDir), strings.Join(Runbooks, " or "), strings.Join(cli.DefaultFileNames, ", "))
}

// inRoot is the layout of a project that has its files in the root, and the compose
// file that stands there, if one does.
func inRoot(projectDir string) (layout Layout, composed []string) {
	layout = Layout{
		Runbook: foreignRunbook, Compose: []string{cli.DefaultFileNames[0]}, Env: foreignEnv,
		addresses: foreignAddresses,
	}
	for _, name := range cli.DefaultFileNames {
		if _, err := os.Stat(filepath.Join(projectDir, name)); err == nil {
			layout.Compose = []string{name}
			composed = []string{name}
			break
		}
	}
	if _, err := os.Stat(filepath.Join(projectDir, foreignOverride)); err == nil {
		layout.Compose = append(layout.Compose, foreignOverride)
	}
	return layout, composed
}

func anyThere(projectDir string, files []string) (bool, error) {
	for _, file := range files {
		switch _, err := os.Stat(filepath.Join(projectDir, file)); {
		case err == nil:
			return true, nil
		case !errors.Is(err, fs.ErrNotExist):
			return false, classify(err, file, "")
		}
	}
	return false, nil
}

// Stack names the compose files in a sentence.
func (l Layout) Stack() string { return strings.Join(l.Compose, " with ") }

// Files are all files of the layout, for whoever waits for a change.
func (l Layout) Files() []string {
	return append(append([]string{}, l.Compose...), l.Env, l.Runbook)
}

// Absolute are the compose files' paths on this machine, as labels of containers
// name them.
func (l Layout) Absolute(projectDir string) []string {
	out := make([]string, len(l.Compose))
	for i, file := range l.Compose {
		out[i] = filepath.Join(projectDir, file)
	}
	return out
}
