package bootstrap

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/tests/port"
)

func nodes(n int) []member {
	out := make([]member, n)
	for i := range out {
		a := fmt.Sprintf("10.0.0.%d:6379", i+1)
		out[i] = member{address: a, id: fmt.Sprint("id", i+1), master: true, knows: []string{a}}
	}
	return out
}

// whole is six nodes that are one cluster.
func whole() []member {
	m := nodes(6)
	var all []string
	for _, n := range m {
		all = append(all, n.address)
	}
	for i := range m {
		m[i].knows = all
	}
	for i, part := range parts(3) {
		m[i].slots = []slotRange{part}
		m[i+3].master, m[i+3].of = false, m[i].id
	}
	return m
}

func TestNextClusterSteps(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func([]member) []member
		want    []string
		refused string
	}{
		{"whole", func(m []member) []member { return m }, nil, ""},
		{"whole after a failover", func(m []member) []member {
			m[0], m[3] = member{address: m[0].address, id: m[0].id, of: m[3].id, knows: m[0].knows}, member{address: m[3].address, id: m[3].id, master: true, slots: m[0].slots, knows: m[3].knows}
			return m
		}, nil, ""},
		{"fresh", func([]member) []member { return nodes(6) }, []string{"slots 10.0.0.1", "slots 10.0.0.2", "slots 10.0.0.3"}, ""},
		{"cut off after two nodes had slots", func([]member) []member {
			m := nodes(6)
			m[0].slots, m[1].slots = parts(3)[:1], parts(3)[1:2]
			return m
		}, []string{"slots 10.0.0.3"}, ""},
		{"slots given, nobody met", func(m []member) []member {
			fresh := nodes(6)
			for i := range 3 {
				fresh[i].slots = m[i].slots
			}
			return fresh
		}, []string{"meet 10.0.0.1", "meet 10.0.0.1", "meet 10.0.0.1", "meet 10.0.0.1", "meet 10.0.0.1"}, ""},
		{"met, no replicas", func(m []member) []member {
			for i := 3; i < 6; i++ {
				m[i].master, m[i].of = true, ""
			}
			return m
		}, []string{"replicate 10.0.0.4 id1", "replicate 10.0.0.5 id2", "replicate 10.0.0.6 id3"}, ""},
		{"one replica came back empty", func(m []member) []member {
			m[4].master, m[4].of, m[4].knows = true, "", []string{m[4].address}
			return m
		}, []string{"meet 10.0.0.1"}, ""},
		{"one without its master's group", func(m []member) []member {
			m[4].master, m[4].of = true, ""
			return m
		}, []string{"replicate 10.0.0.5 id2"}, ""},
		{"a stranger", func(m []member) []member {
			m[2].knows = append([]string{"10.9.9.9:6379"}, m[2].knows...)
			return m
		}, nil, "10.9.9.9:6379"},
		{"a slot lost", func(m []member) []member {
			m[1].slots = []slotRange{{5461, 7000}, {7002, 10921}}
			return m
		}, nil, "1 of the slots 5461-10921 have no owner"},
		{"a slot claimed twice", func(m []member) []member {
			m[1].slots = append(m[1].slots, slotRange{0, 0})
			return m
		}, nil, "slot 0 is claimed by"},
		{"four masters", func(m []member) []member {
			m[0].slots = []slotRange{{0, 4000}}
			m[3].master, m[3].of, m[3].slots = true, "", []slotRange{{4001, 5460}}
			return m
		}, nil, "4 nodes own slots, and 3 should"},
		{"a whole part lost, its node emptied", func(m []member) []member { m[1].slots, m[1].keys = nil, 5; return m }, nil, "is in use already"},
		{"keys on a node without slots", func(m []member) []member {
			m[5].master, m[5].of, m[5].keys = true, "", 3
			return m
		}, nil, "holds 3 keys"},
		{"too few", func([]member) []member { return nodes(4) }, nil, "fewer than three masters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps, err := nextClusterSteps(c.change(whole()), 1)
			if c.refused != "" {
				require.ErrorContains(t, err, c.refused)
				return
			}
			require.NoError(t, err)
			var got []string
			for _, s := range steps {
				text := s.do + " " + strings.TrimSuffix(s.on, ":6379")
				if s.do == "replicate" {
					text += " " + s.with
				}
				got = append(got, text)
			}
			require.Equal(t, c.want, got)
		})
	}
}

// patience bounds what must come, on a machine that may stand still for a while.
const patience = 3 * time.Minute

// servers starts n Redis nodes that know nothing yet.
func servers(t *testing.T, n int) []string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("this test needs a real Redis: apt-get install redis-server")
	}
	var addresses []string
	for range n {
		number := strconv.Itoa(port.ReservePair(t, 10_000)) // the bus is that far above
		dir := t.TempDir()
		server := exec.Command(path, "--port", number, "--bind", "127.0.0.1", "--dir", dir, "--cluster-enabled", "yes",
			"--cluster-announce-ip", "127.0.0.1", "--repl-diskless-sync-delay", "0", "--save", "",
			"--requirepass", "pw", "--masterauth", "pw", "--logfile", filepath.Join(dir, "log"))
		require.NoError(t, server.Start())
		t.Cleanup(func() {
			_ = server.Process.Kill()
			_ = server.Wait()
		})
		addresses = append(addresses, net.JoinHostPort("127.0.0.1", number))
	}
	return addresses
}

func TestClusterIsMadeCompletedAndLeftAlone(t *testing.T) {
	addresses := servers(t, 6)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// A predecessor came as far as one node's slots.
	first := redis.NewClient(&redis.Options{Addr: addresses[0], Password: "pw"})
	defer first.Close()
	require.Eventually(t, func() bool { return first.Ping(ctx).Err() == nil }, patience, 50*time.Millisecond)
	part := parts(3)[0]
	require.NoError(t, first.ClusterAddSlotsRange(ctx, part.first, part.last).Err())

	changed, err := cluster(ctx, addresses, "pw", 1, NewProgress(io.Discard).begin("cluster"))
	require.NoError(t, err)
	require.True(t, changed)
	for _, a := range addresses {
		node := redis.NewClient(&redis.Options{Addr: a, Password: "pw"})
		info, err := node.ClusterInfo(ctx).Result()
		require.NoError(t, err)
		require.Contains(t, info, "cluster_state:ok")
		require.Contains(t, info, "cluster_size:3\r\n")
		require.NoError(t, node.Close())
	}
	changed, err = cluster(ctx, addresses, "pw", 1, NewProgress(io.Discard).begin("cluster"))
	require.NoError(t, err)
	require.False(t, changed)

	// Somebody takes a slot away: that is not ours to hide.
	owner := ownerOf(ctx, t, addresses)
	require.NoError(t, owner.ClusterDelSlots(ctx, 42).Err())
	_, err = cluster(ctx, addresses, "pw", 1, NewProgress(io.Discard).begin("cluster"))
	require.ErrorContains(t, err, "have no owner")
}

// ownerOf is the node with slot 42, as its own list says.
func ownerOf(ctx context.Context, t *testing.T, addresses []string) *redis.Client {
	t.Helper()
	for _, a := range addresses {
		node := redis.NewClient(&redis.Options{Addr: a, Password: "pw"})
		t.Cleanup(func() { _ = node.Close() })
		text, err := node.ClusterNodes(ctx).Result()
		require.NoError(t, err)
		m, err := parseMember(a, text)
		require.NoError(t, err)
		if len(m.slots) > 0 && m.slots[0].first <= 42 && m.slots[0].last >= 42 {
			return node
		}
	}
	t.Fatal("nobody owns slot 42")
	return nil
}

func TestClusterSaysWhoDoesNotAnswer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := cluster(ctx, []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"}, "", 0, NewProgress(io.Discard).begin("cluster"))
	require.ErrorContains(t, err, "Redis at 127.0.0.1:1")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
