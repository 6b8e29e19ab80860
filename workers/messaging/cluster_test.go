package messaging

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	client "github.com/leanvibe/hive/api/hub"
	"github.com/leanvibe/hive/workers/process/rediscluster"
	"github.com/leanvibe/hive/workers/redistest"
)

// TestWait_ReplicaKilled: with HIVE_REDIS_WAIT=1 a shard without its replica
// confirms nothing, says so with an error that may be retried, and what it had
// confirmed is there; with the replica back the same send is confirmed, once.
func TestWait_ReplicaKilled(t *testing.T) {
	cluster := redistest.NewCluster(t)
	cluster.Steady(t)
	h := startHubWaiting(t, "one", cluster.Addrs()[0], 1)
	nodes := rediscluster.New(cluster.Addrs(), "")
	defer nodes.Close()
	to := unique("to")
	post := func(key string) (int, http.Header, string) {
		return request(t, "POST", "http://"+h.addr+"/v1/messages", key, `{"from":"a","to":"`+to+`","body":"`+key+`"}`)
	}
	for i := range 20 {
		code, _, body := post(fmt.Sprint("before-", i))
		require.True(t, confirmed(code), body)
	}
	master, err := nodes.MasterForKey(t.Context(), logKey(to))
	require.NoError(t, err)
	restart := killReplica(t, master)

	code, header, body := post("without")
	require.Equal(t, http.StatusServiceUnavailable, code, body)
	require.Equal(t, "1", header.Get("Retry-After"))
	require.Contains(t, body, codeUnavailable)
	// A new session would have to be counted there, so it is refused as well; reading is not.
	code, _, body = request(t, "GET", "http://"+h.addr+"/v1/messages?of="+to, "", "")
	require.Equal(t, http.StatusOK, code, body)
	for i := range 20 {
		require.Contains(t, body, fmt.Sprintf(`"id":"before-%d"`, i))
	}

	restart()
	require.Eventually(t, func() bool {
		code, _, body = post("without")
		return confirmed(code)
	}, time.Minute, 10*time.Millisecond, body)
	reader := connect(t, h, to, "")
	for i := range 20 {
		require.Equal(t, fmt.Sprint("before-", i), reader.next(t).ID)
	}
	require.Equal(t, "without", reader.next(t).ID)
	code, _, body = post("after")
	require.True(t, confirmed(code), body)
	require.Equal(t, "after", reader.next(t).ID) // and not "without" a second time
}

// confirmed is the code of a stored message: where a replica took its time, the hub's own repeat found it stored.
func confirmed(code int) bool { return code == http.StatusCreated || code == http.StatusOK }

// TestWait_ReplicaStopped: a replica that is there and confirms nothing counts for
// nothing, in the hub's own repeats too, which find the message stored and write nothing.
func TestWait_ReplicaStopped(t *testing.T) {
	cluster := redistest.NewCluster(t)
	cluster.Steady(t)
	h := startHubWaiting(t, "one", cluster.Addrs()[0], 1)
	nodes := rediscluster.New(cluster.Addrs(), "")
	defer nodes.Close()
	to := unique("to")
	master, err := nodes.MasterForKey(t.Context(), logKey(to))
	require.NoError(t, err)
	replica := replicaOf(t, master)
	pid := processOf(t, replica)
	post := func() (int, string) {
		code, _, body := request(t, "POST", "http://"+h.addr+"/v1/messages", "k", `{"from":"a","to":"`+to+`","body":1}`)
		return code, body
	}
	// However long it takes: from its bound on, the master would refuse by itself.
	require.NoError(t, master.ConfigSet(t.Context(), "min-replicas-max-lag", "600").Err())
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	unconfirmed(t, post)
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	var code int
	var body string
	require.Eventually(t, func() bool { code, body = post(); return code == http.StatusOK }, time.Minute, 10*time.Millisecond, body)
	require.Contains(t, body, `"duplicate":true`)
}

// killReplica kills the only replica of a master; the answer starts it again.
func killReplica(t *testing.T, master *redis.Client) (restart func()) {
	t.Helper()
	replica := replicaOf(t, master)
	pid := processOf(t, replica)
	conf := replica.ConfigGet(t.Context(), "*").Val()
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.Eventually(t, func() bool {
		return field(master.Info(t.Context(), "replication").Val(), "connected_slaves") == "0"
	}, patience, time.Millisecond)
	return func() {
		var args []string
		for _, name := range []string{
			"port", "bind", "dir", "logfile", "cluster-enabled", "cluster-port", "cluster-node-timeout", "appendonly", "appendfsync", "min-replicas-to-write",
		} {
			args = append(args, "--"+name, conf[name])
		}
		cmd := exec.Command("redis-server", append(args, "--save", "")...)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
}

// replicaOf connects to the only replica of a master.
func replicaOf(t *testing.T, master *redis.Client) *redis.Client {
	t.Helper()
	var port string
	require.Eventually(t, func() bool {
		line := field(master.Info(t.Context(), "replication").Val(), "slave0") // ip=127.0.0.1,port=1,state=online,...
		_, rest, _ := strings.Cut(line, "port=")
		var ok bool
		port, _, ok = strings.Cut(rest, ",")
		return ok
	}, patience, time.Millisecond)
	replica := redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1", port)})
	t.Cleanup(func() { _ = replica.Close() })
	return replica
}

func processOf(t *testing.T, node *redis.Client) int {
	t.Helper()
	pid, err := strconv.Atoi(field(node.Info(t.Context(), "server").Val(), "process_id"))
	require.NoError(t, err)
	return pid
}

// field reads a line of INFO.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}

// TestWait_MastersKilled: with HIVE_REDIS_WAIT=1 each master is killed once while
// agents send to inboxes all over the cluster; all that was confirmed comes, in
// order, and each message once.
func TestWait_MastersKilled(t *testing.T) {
	cluster := redistest.NewCluster(t)
	h := startHubWaiting(t, "one", cluster.Addrs()[0], 1)
	const n = 12
	l := &ledger{received: map[string][]client.Message{}}
	var names []string
	for range n {
		names = append(names, unique("agent"))
	}
	var agents []*running
	for _, name := range names {
		agents = append(agents, runClient(t, client.Config{URL: "http://" + h.addr, Agent: name, Handle: l.keep(name), Window: 16}))
	}
	sending, quiet := context.WithCancel(t.Context())
	defer quiet()
	var senders sync.WaitGroup
	for i, c := range agents {
		senders.Go(func() { l.send(sending, c.Client, []string{names[(i+1)%n], names[(i+2)%n]}) })
	}
	for _, slot := range []int{100, 6000, 12000} { // one of each master
		want := l.total.Load() + 500
		require.Eventually(t, func() bool { return l.total.Load() >= want }, time.Minute, time.Millisecond)
		cluster.KillMaster(t, slot)
		cluster.Synced(t, slot)
	}
	want := l.total.Load() + 500
	require.Eventually(t, func() bool { return l.total.Load() >= want }, time.Minute, time.Millisecond)
	quiet()
	senders.Wait()
	require.Eventually(t, l.answered, time.Minute, 10*time.Millisecond)
	require.Empty(t, l.refused)
	require.Eventually(t, func() bool { return len(l.missing(nil)) == 0 }, time.Minute, 20*time.Millisecond)
	for _, name := range names {
		l.verify(t, name)
	}
	t.Logf("%d messages confirmed, %d handled", len(l.stored), l.total.Load())
}
