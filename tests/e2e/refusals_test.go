package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	policyFile  = "deploy/production/runbook.yaml"
	composeFile = "deploy/production/docker-compose.production.yml"
)

// Each kind of mistake in either file is refused by a run with the file, the line and what was expected, and no
// container is touched.
func TestMistakesInTheFilesAreRefused(t *testing.T) {
	root := project(t)
	before := running(t.Context(), t, "leanvibe")
	for _, c := range []struct {
		name, file, old, new string
		says                 []string
	}{
		{"unknown field", policyFile, "  monitor: 25s", "  moniter: 25s", []string{policyFile + ":", "moniter"}},
		{"wrong type", policyFile, "  min_requests: 50", "  min_requests: many", []string{policyFile + ":", "min_requests"}},
		{"out of range", policyFile, "max_error_ratio: 0.01", "max_error_ratio: 7", []string{policyFile + ":", "max_error_ratio"}},
		{"no unit", policyFile, "  monitor: 25s", "  monitor: 25", []string{policyFile + ":", "monitor"}},
		{"required field left out", policyFile, "  name: leanvibe_production", "  # name: left out", []string{policyFile, "database.name"}},
		{"no such zone", policyFile, "timezone: America/Los_Angeles", "timezone: America/Los_Angelos", []string{policyFile + ":", "America/Los_Angelos"}},
		{"a service that is not there", policyFile, "  service: postgres-primary", "  service: postgres-secondary", []string{policyFile, "postgres-secondary"}},
		{"not YAML", policyFile, "rolling:\n", "rolling: [\n", []string{policyFile + ":"}},
		{"compose: not YAML", composeFile, "services:\n", "services: [\n", []string{composeFile}},
		{"compose: unknown field", composeFile, "    mem_limit: 512m\n", "    mem_limitt: 512m\n", []string{composeFile, "mem_limitt"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			edit(t, filepath.Join(root, c.file), c.old, c.new)
			s := hive(t, root, "run", "WeeklyMaintenance")
			require.Equal(t, exitRefused, s.code)
			for _, words := range c.says {
				require.Contains(t, s.both(), words)
			}
		})
	}
	require.Equal(t, before, running(t.Context(), t, "leanvibe"))
}

// A Compose field that replicas made here would lose: who asks for that service is refused, and a run over all services
// leaves it out and says why.
func TestAFieldThatIsNotTranslated(t *testing.T) {
	root := project(t)
	before := running(t.Context(), t, "leanvibe")
	edit(t, filepath.Join(root, composeFile), "  communication-hub:\n", "  communication-hub:\n    pre_stop: [{command: [\"true\"]}]\n")
	s := hive(t, root, "run", "RollingRestart", "--input", `{"services":["communication-hub"]}`)
	require.Equal(t, exitRefused, s.code)
	require.Contains(t, s.both(), "pre_stop")
	plan := hive(t, root, "plan", "WeeklyMaintenance")
	require.Equal(t, exitOK, plan.code)
	require.Regexp(t, `(?m)^warning +communication-hub: found, not rolled .*pre_stop`, plan.out)
	require.Equal(t, before, running(t.Context(), t, "leanvibe"))
}

// edit changes a file until the test ends.
func edit(t *testing.T, file, was, is string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), was)
	info, err := os.Stat(file)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.WriteFile(file, text, info.Mode())) })
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), was, is, 1)), info.Mode()))
}

func TestInputsAreRefusedBeforeAnythingBegins(t *testing.T) {
	root := project(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"run", "WeaklyMaintenance"}, exitUsage, "WeeklyMaintenance"},
		{[]string{"run", "RollingRestart", "--input", `{"services":["hub"]}`}, exitRefused, "communication-hub"},
		{[]string{"run", "RollingRestart", "--input", `{"service":["communication-hub"]}`}, exitUsage, "services"},
		{[]string{"run", "RollingRestart", "--input", `{"services":`}, exitUsage, "line 1"},
		{[]string{"run", "ScaleService", "--input", `{"service":"communication-hub","replicas":99}`}, exitRefused, "10"},
		{[]string{"run", "ScaleService", "--input", `{"service":"postgres-primary","replicas":2}`}, exitRefused, "postgres-primary"},
	} {
		s := hive(t, root, c.args...)
		require.Equal(t, c.code, s.code, "%v", c.args)
		require.Contains(t, s.both(), c.says)
	}
}

// A second run of a procedure is refused at once; another procedure on the same services waits for as long as the policy
// says, and is refused then. Both name the run that is in the way.
func TestASecondRunIsRefusedWhileOneHoldsTheLock(t *testing.T) {
	root := project(t)
	edit(t, filepath.Join(root, policyFile), "  lock_wait: 10m", "  lock_wait: 2s")
	require.Equal(t, exitOK, hive(t, root, "run", "RollingRestart", "--detach", "--input", `{"services":["universal-orchestrator"],"force":true}`).code)
	t.Cleanup(func() {
		require.Equal(t, exitOK, hive(t, root, "abort", "rolling-restart", "--wait").code)
		mended(t, root)
	})
	require.Eventually(t, func() bool {
		return strings.Contains(hive(t, root, "status").out, "rolling-restart")
	}, 10*time.Second, 200*time.Millisecond)
	same := hive(t, root, "run", "RollingRestart", "--input", `{"services":["communication-hub"],"force":true}`)
	require.Equal(t, exitRefused, same.code)
	require.Contains(t, same.both(), "hive abort rolling-restart")
	other := hive(t, root, "run", "ScaleService", "--input", `{"service":"universal-orchestrator","replicas":3}`)
	require.NotEqual(t, exitOK, other.code)
	require.Contains(t, other.both(), "rolling-restart")
}

// A database that lets nobody in: the run fails with the way out, and the rest of the stack is as it was.
func TestADatabaseThatRefuses(t *testing.T) {
	root := project(t)
	file := filepath.Join(root, "secrets", "postgres_password")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	edit(t, file, string(text), "not-the-password")
	s := hive(t, root, "run", "DatabaseMaintenance")
	require.NotEqual(t, exitOK, s.code)
	require.Contains(t, s.both(), "28P01")
	require.Contains(t, s.both(), "check the user's password file")
	require.NotContains(t, s.both(), strings.TrimSpace(string(text)))
}

// An engine that is away is an error that says so, and how to have one.
func TestAnEngineThatIsAway(t *testing.T) {
	root := project(t)
	for _, verb := range []string{"up", "status", "stats", "down"} {
		c := exec.CommandContext(t.Context(), filepath.Join(root, "out", "bin", "hive"), verb)
		c.Env = append(os.Environ(), "DOCKER_HOST=unix:///nowhere/docker.sock")
		s := command(t, c, root)
		require.Equal(t, exitAway, s.code, verb)
		require.Contains(t, s.both(), "nowhere")
	}
}
