package messaging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/frame"
	client "github.com/leanvibe/hive/api/hub"
	"github.com/leanvibe/hive/tests/port"
	"github.com/leanvibe/hive/workers/redistest"
)

// killedHub is a hub process that can be killed and comes back at its address.
type killedHub struct {
	addr, redis string
	cmd         *exec.Cmd
}

func (h *killedHub) start(t *testing.T) {
	t.Helper()
	h.cmd = exec.Command(os.Args[0])
	h.cmd.Env = append(os.Environ(), serveAs+"=1", "HIVE_LISTEN="+h.addr, "HIVE_REDIS_ADDRS="+h.redis)
	require.NoError(t, h.cmd.Start())
}

func (h *killedHub) kill() {
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait()
}

func (h *killedHub) ready() bool {
	resp, err := http.Get("http://" + h.addr + "/readyz")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// proxy stands before the hubs as nginx does: each connection goes to one that answers.
func proxy(t *testing.T, hubs []*killedHub) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	var next atomic.Uint32
	pass := func(caller net.Conn) {
		defer caller.Close()
		for range hubs {
			server, err := net.Dial("tcp", hubs[int(next.Add(1))%len(hubs)].addr)
			if err != nil {
				continue
			}
			defer server.Close()
			go func() { _, _ = io.Copy(server, caller); _ = server.Close() }()
			_, _ = io.Copy(caller, server)
			return
		}
	}
	go func() {
		for {
			caller, err := l.Accept()
			if err != nil {
				return
			}
			go pass(caller)
		}
	}()
	return "http://" + l.Addr().String()
}

// reserved is an address that stays a hub's own while the hub is killed and comes back.
func reserved(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", port.Reserve(t))
}

// ledger is what both sides saw.
type ledger struct {
	mu       sync.Mutex
	sent     int
	warm     int      // of them, before the load began
	stored   []string // address and body, as the hub confirmed
	refused  []string
	received map[string][]client.Message // by receiver
	total    atomic.Int64
}

func (l *ledger) answered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.stored)+len(l.refused) == l.sent-l.warm
}

// heard counts the agents that anything has come to.
func (l *ledger) heard() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.received)
}

// keep is an agent's Handle.
func (l *ledger) keep(agent string) func(context.Context, []client.Message) error {
	return func(_ context.Context, messages []client.Message) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.received[agent] = append(l.received[agent], messages...)
		l.total.Add(int64(len(messages)))
		return nil
	}
}

// missing are messages that were confirmed and did not come to all who should have them.
func (l *ledger) missing(readers []string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	came := map[string]bool{}
	for agent, messages := range l.received {
		for _, m := range messages {
			came[agent+" "+m.Address+" "+string(m.Body)] = true
		}
	}
	var out []string
	for _, s := range l.stored {
		address, _, _ := strings.Cut(s, " ")
		to := []string{address}
		if isTopic(address) {
			to = readers
		}
		for _, agent := range to {
			if !came[agent+" "+s] {
				out = append(out, agent+" "+s)
			}
		}
	}
	return out
}

// verify holds one receiver's history to the promise: each sender's numbers in
// order, nothing twice, cursors that only grow.
func (l *ledger) verify(t *testing.T, agent string) {
	t.Helper()
	last := map[string]int{}
	ids := map[string]bool{}
	cursors := map[string]client.Message{}
	for _, m := range l.received[agent] {
		n, err := strconv.Atoi(string(m.Body))
		require.NoError(t, err)
		from := m.Address + " " + m.From
		require.Greater(t, n, last[from], "%s got %s from %s out of order or twice", agent, m.ID, from)
		last[from] = n
		require.False(t, ids[m.Address+" "+m.From+" "+m.ID], "%s got id %s twice", agent, m.ID)
		ids[m.Address+" "+m.From+" "+m.ID] = true
		require.True(t, m.Cursor.After(cursors[m.Address].Cursor))
		cursors[m.Address] = m
	}
}

// kills is how many there are; HIVE_HUB_KILLS=100 is what the release is judged by.
func kills(t *testing.T) int {
	text := os.Getenv("HIVE_HUB_KILLS")
	if text == "" {
		return 6
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// TestKills kills hubs and Redis at random moments while agents send in a ring
// and to a topic, and holds both sides' records against each other.
func TestKills(t *testing.T) {
	store := redistest.Own(t)
	hubs := []*killedHub{{addr: reserved(t), redis: store.Addr()}, {addr: reserved(t), redis: store.Addr()}}
	for _, h := range hubs {
		h.start(t)
		t.Cleanup(h.kill)
	}
	require.Eventually(t, func() bool { return hubs[0].ready() && hubs[1].ready() }, patience, 20*time.Millisecond)
	url := proxy(t, hubs)

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := &ledger{received: map[string][]client.Message{}}
	const n = 6
	topic := frame.TopicPrefix + unique("all")
	var names []string
	for range n {
		names = append(names, unique("agent"))
	}
	running, stop := context.WithCancel(t.Context())
	defer stop()
	var clients, senders sync.WaitGroup
	sending, quiet := context.WithCancel(t.Context())
	defer quiet()
	agents := make([]*client.Client, n)
	for i, name := range names {
		c, err := client.New(client.Config{
			URL: url, Agent: name, Topics: []string{topic}, Handle: l.keep(name), Window: 64, Log: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		agents[i] = c
		clients.Go(func() {
			if err := c.Run(running); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	// A topic's reader begins when its first subscription is answered: the load begins after that.
	require.Eventually(t, func() bool {
		l.sent++
		return agents[0].Send(t.Context(), topic, "", []byte(fmt.Sprint(l.sent))) == nil && l.heard() == n
	}, patience, 10*time.Millisecond)
	l.warm = l.sent
	for i, c := range agents {
		senders.Go(func() { l.send(sending, c, []string{names[(i+1)%n], topic}) })
	}
	for kill := range kills(t) {
		want := l.total.Load() + 1 + random.Int64N(2000)
		require.Eventually(t, func() bool { return l.total.Load() >= want }, 2*time.Minute, time.Millisecond)
		if kill%3 == 2 {
			store.Kill(t)
			continue
		}
		h := hubs[random.IntN(len(hubs))]
		h.kill()
		h.start(t)
	}
	quiet()
	senders.Wait()
	require.Eventually(t, l.answered, time.Minute, 10*time.Millisecond)
	require.Empty(t, l.refused)
	require.Eventually(t, func() bool { return len(l.missing(names)) == 0 }, time.Minute, 20*time.Millisecond)
	stop()
	clients.Wait()
	for _, name := range names {
		l.verify(t, name)
	}
	t.Logf("%d messages confirmed, %d handled", len(l.stored), l.total.Load())
}

// send numbers messages until ctx ends.
func (l *ledger) send(ctx context.Context, c *client.Client, to []string) {
	for i := 0; ctx.Err() == nil; i++ {
		address := to[0]
		if i%10 == 0 {
			address = to[1]
		}
		l.mu.Lock()
		l.sent++
		body := fmt.Sprint(l.sent)
		l.mu.Unlock()
		entry := address + " " + body
		err := c.Queue(context.WithoutCancel(ctx), address, "", []byte(body), func(err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if err != nil {
				l.refused = append(l.refused, entry+": "+err.Error())
				return
			}
			l.stored = append(l.stored, entry)
		})
		if err != nil {
			l.mu.Lock()
			l.refused = append(l.refused, entry+": "+err.Error())
			l.mu.Unlock()
			return
		}
	}
}
