package e2e

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// kills is how many processes die during the roll.
	kills = 3
	// spread is the time within which one of them dies after the one before.
	spread = 8 * time.Second
)

// A roll of one service outlives the death of the platform's processes in its middle: it ends as the one that nobody
// disturbed, users notice nothing, and the ledger is whole. HIVE_SEED chooses the moments and the victims.
func TestARollOutlivesThreeKills(t *testing.T) {
	root := project(t)
	seed, err := strconv.ParseUint(or(os.Getenv("HIVE_SEED"), "1"), 10, 64)
	require.NoError(t, err, "HIVE_SEED is no number")
	chance := rand.New(rand.NewPCG(seed, seed))
	edit(t, filepath.Join(root, policyFile), "  monitor: 25s", "  monitor: 5s")
	before := running(t.Context(), t, "leanvibe")["communication-hub"]
	require.NotEmpty(t, before)

	users := ask(t, "http://127.0.0.1:8080/health/communication-hub")
	require.Equal(t, exitOK, hive(t, root, "run", "RollingRestart", "--detach", "--input", `{"services":["communication-hub"],"force":true}`).code)
	for range kills {
		victim := []string{"opsworker", "temporal", "ledger"}[chance.IntN(3)]
		<-time.After(time.Duration(chance.Int64N(int64(spread))))
		kill(t, "hive-platform-"+victim+"-1")
	}
	var s said
	require.Eventually(t, func() bool {
		s = hive(t, root, "status", "rolling-restart", "--output", "json")
		return s.code != exitAway // Temporal may be about to come back
	}, 5*time.Minute, time.Second)
	asked, failed := users()
	require.Equal(t, exitOK, s.code)
	require.Equal(t, "succeeded", s.reported(t).Outcome)
	require.Zero(t, failed, "of %d requests", asked)
	t.Logf("seed %d: %d requests, %d failed", seed, asked, failed)

	after := running(t.Context(), t, "leanvibe")["communication-hub"]
	require.Len(t, after, len(before))
	for _, id := range before {
		require.False(t, slices.Contains(after, id), "%s was not replaced", id)
	}
	require.Eventually(t, func() bool { return hive(t, root, "ledger", "verify").code == exitOK }, mendLimit, time.Second)
	mended(t, root)
	require.NotContains(t, hive(t, root, "status").out, "rolling-restart", "nothing is at work any more, no lock is held")
}

// kill ends the container's process as a crash does: told by the engine's API, it would not be started again.
func kill(t *testing.T, name string) {
	t.Helper()
	pid, err := strconv.Atoi(docker(t, "inspect", "--format", "{{.State.Pid}}", name))
	require.NoError(t, err)
	if pid == 0 { // it died a moment ago and is not back yet
		return
	}
	t.Logf("%s dies", name)
	if err := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) { // nor has the engine heard of it
		require.NoError(t, err)
	}
}

// ask sends requests as users do, 50 a second, until the answer is called for: how many, and how many did not get 200.
func ask(t *testing.T, url string) (answer func() (asked, failed int64)) {
	t.Helper()
	const every = 20 * time.Millisecond
	var asked, failed atomic.Int64
	var flying sync.WaitGroup
	stop, stopped := make(chan struct{}), make(chan struct{})
	client := &http.Client{Timeout: 10 * time.Second}
	go func() {
		defer close(stopped)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				flying.Go(func() {
					asked.Add(1)
					response, err := client.Get(url)
					if err != nil || response.StatusCode != http.StatusOK {
						failed.Add(1)
						t.Logf("%s failed: %v", url, strings.TrimSpace(errText(response, err)))
					}
					if err == nil {
						_ = response.Body.Close()
					}
				})
			}
		}
	}()
	return func() (int64, int64) {
		close(stop)
		<-stopped
		flying.Wait()
		return asked.Load(), failed.Load()
	}
}

func errText(response *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	return response.Status
}
