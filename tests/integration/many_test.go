package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

// many is a service that the stack is made large with. It has no check of the engine's: two hundred of those would
// keep the machine busy by themselves. hive asks each replica, and what it asks asks nobody else: with two hundred
// neighbours of the database the kernel's table of them would be full (net.ipv4.neigh.default.gc_thresh3).
const many = `
  many:
    image: ${WEB_IMAGE:-example/pair-web:1}
    deploy:
      replicas: ${MANY:-20}
    logging: *log
`

// TestReadinessCheckOfTwoHundredContainers measures ReadinessCheck on a stack of 25, 100 and 200 containers, on the
// real engine, each of them looked at and asked. It prints the times; no test fails for time.
func TestReadinessCheckOfTwoHundredContainers(t *testing.T) {
	if os.Getenv("HIVE_E2E") != "1" {
		t.Skip("brings up 200 containers and the platform: HIVE_E2E=1 go test -run TwoHundred -timeout 30m, with nothing of hive running")
	}
	p := newPair(t)
	file := read(t, p.file)
	require.Contains(t, file, "\nvolumes:\n")
	require.NoError(t, os.WriteFile(p.file, []byte(strings.Replace(file, "\nvolumes:\n", many+"\nvolumes:\n", 1)), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(p.dir, "secrets"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "secrets", "postgres_password"), []byte("canary-password-81\n"), 0o600))
	code, said := p.hive("init", "compose.yaml", "--write")
	require.Zero(t, code, said)
	ours := filepath.Join(p.dir, "compose.hive.yaml")
	known := regexp.MustCompile(`(?m)^  many:\n(    #.*\n)*    x-hive:\n`)
	require.Regexp(t, known, read(t, ours))
	require.NoError(t, os.WriteFile(ours, known.ReplaceAll([]byte(read(t, ours)), []byte("$0      probe: {http: /, port: 8000}\n")), 0o600))

	env := read(t, filepath.Join(p.dir, ".env"))
	for i, containers := range []int{25, 100, 200} {
		const others = 5
		require.NoError(t, os.WriteFile(filepath.Join(p.dir, ".env"), fmt.Appendf([]byte(env), "MANY=%d\n", containers-others), 0o600))
		p.both("up", "-d", "--no-build", "--pull", "never")
		p.answers("X-Hive-Generation")
		if i == 0 {
			code, said = p.hive("up")
			require.Zero(t, code, said)
		}
		require.Len(t, p.containers("pair"), containers)
		// A hundred that have just been started are busy with that.
		require.Eventually(t, func() bool { return p.run("ReadinessCheck").Outcome == runbook.Succeeded }, 5*time.Minute, time.Second)
		var took []time.Duration
		for range 5 {
			report := p.run("ReadinessCheck")
			require.Equal(t, runbook.Succeeded, report.Outcome, report.Reason)
			require.Contains(t, fmt.Sprint(report.Findings), fmt.Sprintf("health of pair-many-%d status 200", containers-others), "the last replica was asked")
			took = append(took, report.Finished.Sub(report.Started))
		}
		slices.Sort(took)
		t.Logf("%d containers: median %s of %v; %s a container", containers, took[len(took)/2], took, took[len(took)/2]/time.Duration(containers))
	}
}
