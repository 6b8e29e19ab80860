package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mendLimit is how long the stack may take to be ready again after what a test did to it.
const mendLimit = 3 * time.Minute

// What production_readiness_check could not see: each trouble by itself makes the stack not ready, and its culprit is
// named in a line of the report.
func TestReadinessCheckNamesTheCulprit(t *testing.T) {
	root := project(t)
	require.Equal(t, exitOK, hive(t, root, "run", "ReadinessCheck").code, "the stack is not ready to begin with")
	for _, c := range []struct {
		name   string
		make   func(t *testing.T)
		unmake func(t *testing.T)
		names  string
	}{
		{
			"a hub is stopped",
			func(t *testing.T) { docker(t, "stop", hub(t)) },
			func(t *testing.T) { docker(t, "start", stopped(t)) },
			`(?m)^critical .*communication-hub`,
		},
		{
			"nginx itself answers /health",
			func(t *testing.T) { answerHealth(t, root) },
			func(*testing.T) {},
			`(?m)^critical .*/health: .*the proxy answered by itself`,
		},
		{
			"a Redis slot is lost",
			func(t *testing.T) { slots(t, root, "delslots") },
			func(t *testing.T) { slots(t, root, "addslots") },
			`(?m)^critical .*slot`,
		},
		{
			"Prometheus is stopped",
			func(t *testing.T) { docker(t, "stop", "leanvibe-prometheus-1") },
			func(t *testing.T) { docker(t, "start", "leanvibe-prometheus-1") },
			`(?m)^no data +prometheus: .*does not answer`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Cleanup(func() { mended(t, root) })
			t.Cleanup(func() { c.unmake(t) })
			c.make(t)
			s := hive(t, root, "run", "ReadinessCheck")
			require.Equal(t, exitFailed, s.code)
			require.Regexp(t, regexp.MustCompile(c.names), s.out)
		})
	}
}

// mended waits until the check finds the stack ready again.
func mended(t *testing.T, root string) {
	t.Helper()
	until := time.Now().Add(mendLimit)
	for {
		s := hive(t, root, "run", "ReadinessCheck")
		if s.code == exitOK {
			return
		}
		require.True(t, time.Now().Before(until), "not ready again after %s: %s", mendLimit, s.both())
	}
}

// hub is a replica of the hub that runs.
func hub(t *testing.T) string {
	t.Helper()
	return strings.Fields(docker(t, "ps", "-q", "--filter", "label=com.docker.compose.project=leanvibe", "--filter", "label=com.docker.compose.service=communication-hub"))[0]
}

// stopped is the replica of the hub that does not.
func stopped(t *testing.T) string {
	t.Helper()
	return docker(t, "ps", "-aq", "--filter", "status=exited", "--filter", "label=com.docker.compose.project=leanvibe", "--filter", "label=com.docker.compose.service=communication-hub")
}

// answerHealth has nginx answer /health by itself until the test ends, as proxies are found configured in the field.
func answerHealth(t *testing.T, root string) {
	t.Helper()
	file := filepath.Join(root, "deploy", "production", "nginx", "nginx.conf")
	was, err := os.ReadFile(file)
	require.NoError(t, err)
	reload := func() { docker(t, "exec", "leanvibe-nginx-1", "nginx", "-s", "reload") }
	t.Cleanup(func() {
		require.NoError(t, os.WriteFile(file, was, 0o644))
		reload()
	})
	now := regexp.MustCompile(`(?m)^( *)location = /health +\{[^}]*\}`).ReplaceAll(was, []byte(`${1}location = /health { return 200 "ok\n"; }`))
	require.NotEqual(t, string(was), string(now), "%s has no location /health", file)
	require.NoError(t, os.WriteFile(file, now, 0o644))
	reload()
}

// slots takes slot 0 from its owner on every node, or gives it back.
func slots(t *testing.T, root, do string) {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(root, "secrets", "redis_password"))
	require.NoError(t, err)
	cli := func(node, args string) string {
		return docker(t, append([]string{"exec", "-e", "REDISCLI_AUTH=" + strings.TrimSpace(string(password)), "leanvibe-" + node + "-1", "redis-cli"}, strings.Fields(args)...)...)
	}
	nodes := []string{"redis-node1", "redis-node2", "redis-node3", "redis-node4", "redis-node5", "redis-node6"}
	if do == "delslots" {
		for _, node := range append(nodes, nodes...) { // twice: until its owner is asked, it tells the others again
			cli(node, "cluster delslots 0")
		}
		return
	}
	for _, node := range nodes { // the master whose range begins at 1 had it
		if regexp.MustCompile(`myself,master .* connected 1-`).MatchString(cli(node, "cluster nodes")) {
			cli(node, "cluster addslots 0")
		}
	}
}
