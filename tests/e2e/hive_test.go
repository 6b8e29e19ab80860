package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The CLI's exit codes, as `hive --help` promises them to scripts.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 4
	exitAway    = 6
)

// said is what a command printed, and how it ended.
type said struct {
	out, err string
	code     int
}

func (s said) both() string { return s.out + s.err }

// project is the root of the project whose stack runs here.
func project(t *testing.T) string {
	t.Helper()
	if os.Getenv("HIVE_E2E") != "1" {
		t.Skip("needs the whole stack: bring it up with `hive up`, then run `make e2e` (it sets HIVE_E2E=1)")
	}
	root, err := filepath.Abs(or(os.Getenv("HIVE_PROJECT_DIR"), "../.."))
	require.NoError(t, err)
	return root
}

// hive runs the operator's CLI in the project, as its shell would.
func hive(t *testing.T, root string, args ...string) said {
	t.Helper()
	return command(t, exec.Command(filepath.Join(root, "out", "bin", "hive"), args...), root)
}

func command(t *testing.T, c *exec.Cmd, dir string) said {
	t.Helper()
	var out, errs strings.Builder
	c.Dir, c.Stdout, c.Stderr = dir, &out, &errs
	err := c.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		require.NoError(t, err)
	}
	s := said{out.String(), errs.String(), c.ProcessState.ExitCode()}
	t.Logf("%s → exit code %d\n%s", strings.Join(c.Args[1:], " "), s.code, strings.TrimSpace(s.both()))
	return s
}

// docker runs a command of the engine's client, which must succeed.
func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	require.NoError(t, err, "docker %s: %s", strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

// reported reads the report that `hive run --output json` printed.
func (s said) reported(t *testing.T) report {
	t.Helper()
	var r report
	require.NoError(t, json.Unmarshal([]byte(s.out), &r), "%s", s.both())
	return r
}
