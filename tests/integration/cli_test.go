package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// built is a directory with the Compose CLI and the tests' program.
var built string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hive-integration")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	built = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// composeCLI is the real CLI, v5.6.0 by go.mod, built once. Its release is linked
// in as its own builds do; without, it labels nothing with a version.
var composeCLI = sync.OnceValues(func() (string, error) {
	out := filepath.Join(built, "docker-compose")
	return out, build(".", out, "-ldflags=-X github.com/docker/compose/v5/internal.Version=v5.6.0", "github.com/docker/compose/v5/cmd")
})

// program is what the containers run.
var program = sync.OnceValues(func() ([]byte, error) {
	out := filepath.Join(built, "app")
	if err := build("../..", out, "-ldflags=-s -w", "./activities/docker/testdata/app"); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
})

func build(dir, out string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-o", out}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", args, err, text)
	}
	return nil
}

// compose runs the CLI as an operator's shell does, with nothing else in the
// environment that a compose file could take up.
func compose(t *testing.T, args ...string) string {
	t.Helper()
	path, err := composeCLI()
	require.NoError(t, err)
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	if host, set := os.LookupEnv("DOCKER_HOST"); set {
		cmd.Env = append(cmd.Env, "DOCKER_HOST="+host)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), "%s: %s", strings.Join(args, " "), errs.String())
	return out.String()
}

// load reads a compose file as the policy hand does.
func load(t *testing.T, file string) *types.Project {
	t.Helper()
	options := []cli.ProjectOptionsFn{cli.WithWorkingDirectory(filepath.Dir(file))}
	if env := filepath.Join(filepath.Dir(file), ".env"); exists(env) {
		options = append(options, cli.WithEnvFiles(env), cli.WithDotEnv)
	}
	o, err := cli.NewProjectOptions([]string{file}, append(options, cli.WithDefaultProfiles(), cli.WithDiscardEnvFile)...)
	require.NoError(t, err)
	p, err := o.LoadProject(t.Context())
	require.NoError(t, err)
	return p
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
