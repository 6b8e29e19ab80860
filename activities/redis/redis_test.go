package redis

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/workflows/runbook"
)

func TestObserve(t *testing.T) {
	c := newCluster(t, 3, true)
	ctx := context.Background()

	s := c.well()
	require.Len(t, s.Nodes, 6)
	masters := 0
	for _, n := range s.Nodes {
		require.Empty(t, n.Err)
		require.True(t, n.LinkUp)
		if n.Role == "master" {
			masters++
			require.InDelta(t, slots/3, n.Slots, 1)
		}
	}
	require.Equal(t, 3, masters)
	for n := range c.nodes { // from a replica a moment later
		node := c.client(n)
		require.Eventually(t, func() bool {
			keys, err := node.DBSize(ctx).Result()
			return err == nil && keys == 0
		}, patience, time.Millisecond, "the probe's keys are gone")
	}

	t.Run("an open slot", func(t *testing.T) {
		other := c.client(1).Do(ctx, "CLUSTER", "MYID").Val()
		require.NoError(t, c.client(0).Do(ctx, "CLUSTER", "SETSLOT", 5, "MIGRATING", other).Err())
		require.Contains(t, strings.Join(c.observe().Problems, "\n"), "redis-node1 has slot 5->-")
		require.NoError(t, c.client(0).Do(ctx, "CLUSTER", "SETSLOT", 5, "STABLE").Err())
		c.well()
	})
	t.Run("a replica that hangs", func(t *testing.T) {
		require.NoError(t, c.nodes[5].Process.Signal(syscall.SIGSTOP))
		// The look comes back though the replica does not; a busy machine may have others be late once.
		require.Eventually(t, func() bool { s = c.observe(); return s.Written && s.SlotsCovered == slots }, patience, time.Millisecond)
		require.Contains(t, s.Nodes[5].Err, "does not answer within 2s")
		require.Contains(t, strings.Join(s.Problems, "\n"), "redis-node3 has 0 of 1 replicas")
		require.NoError(t, c.nodes[5].Process.Signal(syscall.SIGCONT))
		c.well()
	})
	t.Run("a wrong password", func(t *testing.T) {
		file := filepath.Join(c.hand.ProjectDir, "password")
		require.NoError(t, os.WriteFile(file, []byte("wrong"), 0o600))
		require.Eventually(t, func() bool { s = c.observe(); return s.Nodes[0].Err == "refuses the password of password" }, patience, time.Millisecond)
		require.Zero(t, s.SlotsCovered)
		require.False(t, s.Written)
		require.NoError(t, os.Remove(file))
		_, err := c.hand.Observe(ctx, c.in)
		require.Equal(t, runbook.Missing, runbook.KindOf(err))
		require.NoError(t, os.WriteFile(file, []byte(password), 0o600))
		c.well()
	})
}

// The runbook's "fix": the other nodes go on calling the cluster fine.
func TestAMasterThatForgotItsSlotsIsSeenFromAnyNode(t *testing.T) {
	c := newCluster(t, 3, false)
	require.NoError(t, c.client(1).Do(context.Background(), "CLUSTER", "RESET", "SOFT").Err())
	info := c.client(0).ClusterInfo(context.Background()).Val()
	require.Contains(t, info, "cluster_state:ok", "so one node's word is worth nothing")

	s := c.observe()
	require.InDelta(t, 2*slots/3, s.SlotsCovered, 1)
	said := strings.Join(s.Problems, "\n")
	require.Contains(t, said, "redis-node2 is a master without slots")
	require.Contains(t, said, "sees other slot owners than")
}

func TestNobodyAnswers(t *testing.T) {
	h := Hand{Locate: func(context.Context, string, string) (string, error) { return "127.0.0.1", nil }}
	s, err := h.Observe(context.Background(), runbook.CacheInput{Cache: runbook.CachePolicy{Services: []string{"a", "b"}, Port: 1}})
	require.NoError(t, err)
	require.Zero(t, s.SlotsCovered)
	require.False(t, s.Written)
	require.Contains(t, s.Nodes[0].Err, "does not answer")
	require.Contains(t, s.Nodes[1].Err, "does not answer")
}

func TestTwoOwnersOfASlot(t *testing.T) {
	line := func(id, flags, span string) string {
		return id + " 10.0.0.1:6379@16379 " + flags + " - 0 0 1 connected " + span + "\n"
	}
	views := []view{{service: "a"}, {service: "b"}}
	var err error
	views[0].peers, err = parseNodes(line("aa", "myself,master", "0-9000") + line("bb", "master", "9001-16383"))
	require.NoError(t, err)
	views[1].peers, err = parseNodes(line("aa", "master,fail", "0-8000") + line("bb", "myself,master", "8001-16383"))
	require.NoError(t, err)
	s := judge(runbook.CachePolicy{}, views)
	require.Equal(t, slots, s.SlotsCovered)
	said := strings.Join(s.Problems, "\n")
	require.Contains(t, said, "a and b both claim 1000 slots")
	require.Contains(t, said, "b sees 10.0.0.1:6379 as master,fail")
	require.Contains(t, said, "sees other slot owners than")
	require.Contains(t, said, "cluster's state is unknown", "what was not said is not fine")
}

func TestParseNodesRefusesNonsense(t *testing.T) {
	for _, text := range []string{"too short", "a b master - 0 0 1 connected 5-1", "a b master - 0 0 1 connected 16384", "a b master - 0 0 1 connected x"} {
		_, err := parseNodes(text)
		require.Error(t, err, text)
	}
	require.EqualValues(t, 0x31C3, crc16("123456789"), "the specification's check value")
}

func TestForbiddenCommands(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	forbidden := regexp.MustCompile(`(?i)"(FLUSHDB|FLUSHALL|SWAPDB|RESET|DEBUG)"|\.(FlushDB|FlushAll|SwapDB|ClusterReset)`)
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		raw, err := os.ReadFile(f)
		require.NoError(t, err)
		require.NotRegexp(t, forbidden, string(raw), f)
	}
}

// An engine that is away knows no address: that is tried again, and no verdict on a cluster that serves.
func TestNoAddressAtAllIsNoVerdict(t *testing.T) {
	h := Hand{Locate: func(_ context.Context, _, service string) (string, error) {
		return "", runbook.Fail(runbook.Unreachable, "%s: the container engine does not answer", service)
	}}
	_, err := h.Observe(t.Context(), runbook.CacheInput{Project: "p", Cache: runbook.CachePolicy{Services: []string{"r1", "r2"}, Port: 6379}})
	require.Equal(t, runbook.Unreachable, runbook.KindOf(err))
	require.ErrorContains(t, err, "r1: the container engine does not answer")
}
