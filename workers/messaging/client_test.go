package messaging

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/frame"
	client "github.com/leanvibe/hive/api/hub"
	"github.com/leanvibe/hive/workers/process/rediscluster"
	"github.com/leanvibe/hive/workers/redistest"
)

// running is a client whose Run goes on until the test ends.
type running struct {
	*client.Client
	stop context.CancelFunc
	done chan error
}

func runClient(t *testing.T, cfg client.Config) *running {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	c, err := client.New(cfg)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{Client: c, stop: stop, done: make(chan error, 1)}
	ended := make(chan struct{})
	go func() { r.done <- c.Run(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	return r
}

// counting is a Handle that holds the messages to 1, 2, 3, ...
type counting struct {
	last atomic.Int64
	bad  atomic.Int64
}

func (c *counting) handle(_ context.Context, messages []client.Message) error {
	for _, m := range messages {
		if string(m.Body) != fmt.Sprint(c.last.Add(1)) {
			c.bad.Add(1)
		}
	}
	return nil
}

func (c *counting) wait(t *testing.T, n int64) {
	t.Helper()
	require.Eventually(t, func() bool { return c.last.Load() >= n }, patience, 5*time.Millisecond)
	require.Equal(t, n, c.last.Load())
	require.Zero(t, c.bad.Load())
}

func TestClient_WaitsForAFullInbox(t *testing.T) {
	h := startHub(t, "one")
	to := unique("to")
	sender := runClient(t, client.Config{URL: "http://" + h.addr, Agent: unique("from"), Window: 20_000})
	const all = inboxMax + 500
	var stored, failed atomic.Int64
	for i := 1; i <= all; i++ {
		require.NoError(t, sender.Queue(t.Context(), to, "", []byte(fmt.Sprint(i)), func(err error) {
			if err != nil {
				failed.Add(1)
			}
			stored.Add(1)
		}))
	}
	require.Eventually(t, func() bool {
		_, _, metrics := request(t, "GET", "http://"+h.addr+"/metrics", "", "")
		return stored.Load() > inboxMax-1000 && !strings.Contains(metrics, "leanvibe_message_events_total{event=\"refused\"} 0\n")
	}, patience, 10*time.Millisecond)
	require.LessOrEqual(t, stored.Load(), int64(inboxMax))

	var got counting
	runClient(t, client.Config{URL: "http://" + h.addr, Agent: to, Handle: got.handle})
	got.wait(t, all)
	require.Eventually(t, func() bool { return stored.Load() == all }, patience, 5*time.Millisecond)
	require.Zero(t, failed.Load())
}

func TestClient_BeginsAnewWhereItWasForgotten(t *testing.T) {
	h := startHub(t, "one")
	to := unique("to")
	var got counting
	runClient(t, client.Config{URL: "http://" + h.addr, Agent: to, Handle: got.handle})
	sender := runClient(t, client.Config{URL: "http://" + h.addr, Agent: unique("from")})
	for i := 1; i <= 3; i++ {
		require.NoError(t, sender.Send(t.Context(), to, "", []byte(fmt.Sprint(i))))
	}
	redis := rediscluster.New([]string{redistest.Addr(t)}, "")
	defer redis.Close()
	known := redis.Keys(t.Context(), "hub:{"+to+"}:numbers:*").Val()
	require.Len(t, known, 1)
	require.NoError(t, redis.Del(t.Context(), known...).Err())
	for i := 4; i <= 6; i++ {
		require.NoError(t, sender.Send(t.Context(), to, "", []byte(fmt.Sprint(i))))
	}
	got.wait(t, 6)
}

func TestClient_DrainedHubsLoseNothing(t *testing.T) {
	one, two := startHub(t, "one"), startHub(t, "two")
	url := proxy(t, []*killedHub{{addr: one.addr}, {addr: two.addr}})
	to := unique("to")
	var got counting
	runClient(t, client.Config{URL: url, Agent: to, Handle: got.handle})
	senders := []*running{
		runClient(t, client.Config{URL: url, Agent: unique("from")}), runClient(t, client.Config{URL: url, Agent: unique("idle")}),
	}
	var stored atomic.Int64
	queue := func(from, upTo int) {
		for i := from; i <= upTo; i++ {
			require.NoError(t, senders[0].Queue(t.Context(), to, "", []byte(fmt.Sprint(i)), func(err error) {
				if err == nil {
					stored.Add(1)
				}
			}))
		}
	}
	queue(1, 3000)
	one.stop() // in the middle of it
	queue(3001, 6000)
	require.NoError(t, <-one.done)
	one.done <- nil
	queue(6001, 7000)
	got.wait(t, 7000)
	require.Eventually(t, func() bool { return stored.Load() == 7000 }, patience, 5*time.Millisecond)
}

func TestClient_ReplacedOneEnds(t *testing.T) {
	h := startHub(t, "one")
	id := unique("twin")
	first := runClient(t, client.Config{URL: "http://" + h.addr, Agent: id})
	require.NoError(t, first.Send(t.Context(), unique("x"), "", nil))
	second := runClient(t, client.Config{URL: "http://" + h.addr, Agent: id})
	require.NoError(t, second.Send(t.Context(), unique("x"), "", nil))
	select {
	case err := <-first.done:
		require.ErrorIs(t, err, client.ErrReplaced)
	case <-time.After(patience):
		t.Fatal("the replaced client goes on")
	}
	require.ErrorIs(t, first.Send(t.Context(), "x", "", nil), client.ErrClosed)
}

func TestClient_RefusesBadInputEarly(t *testing.T) {
	_, err := client.New(client.Config{Agent: "a b"})
	require.ErrorContains(t, err, "for example worker-1")
	_, err = client.New(client.Config{Agent: "a", Topics: []string{"news"}})
	require.ErrorContains(t, err, "for example topic:news")
	c, err := client.New(client.Config{Agent: "a"})
	require.NoError(t, err)
	done := func(error) {}
	require.ErrorContains(t, c.Queue(t.Context(), "queue:a", "", nil, done), "for example")
	require.ErrorContains(t, c.Queue(t.Context(), "a", "b c", nil, done), "for example")
	require.ErrorContains(t, c.Queue(t.Context(), "a", "", make([]byte, MaxBody+1), done), "65536")
}

func TestSlowReader_FindsEverythingInRedis(t *testing.T) {
	h := startHub(t, "one")
	to := unique("to")
	reader := connectBatch(t, h, to) // and reads nothing for now
	sender := runClient(t, client.Config{URL: "http://" + h.addr, Agent: unique("from")})
	const n = 600
	var group sync.WaitGroup
	for range n {
		group.Add(1)
		require.NoError(t, sender.Queue(t.Context(), to, "", make([]byte, 16<<10), func(error) { group.Done() }))
	}
	group.Wait() // all 9.6 MB are stored, far more than the hub holds for a session
	var cursor frame.Cursor
	for cursor.N < n {
		raw, err := reader.raw(t)
		if websocket.CloseStatus(err) == frame.CloseSlow { // the machine stood still, and the hub took it for the reader's doing
			reader = connectAfter(t, h, to, cursor)
			continue
		}
		require.NoError(t, err)
		cursor = follow(t, raw, cursor)
	}
}

func TestWait_WithoutReplicaNothingIsConfirmed(t *testing.T) {
	h := startHubWaiting(t, "one", redistest.Addr(t), 1)
	to := unique("to")
	unconfirmed(t, func() (int, string) {
		code, _, body := request(t, "POST", "http://"+h.addr+"/v1/messages", "k", `{"from":"a","to":"`+to+`","body":1}`)
		return code, body
	})
	// The outcome was unknown: a repeat under the same id, once replicas count no more, is a duplicate.
	h = startHub(t, "two")
	code, _, body := request(t, "POST", "http://"+h.addr+"/v1/messages", "k", `{"from":"a","to":"`+to+`","body":1}`)
	require.Equal(t, http.StatusOK, code, body)
	require.Contains(t, body, `"duplicate":true`)
}

// unconfirmed sends until the refusal says why: of a machine that stood still it tells the last try's timeout.
func unconfirmed(t *testing.T, send func() (code int, body string)) {
	t.Helper()
	require.Eventually(t, func() bool {
		code, body := send()
		require.Equal(t, http.StatusServiceUnavailable, code, body)
		return strings.Contains(body, "0 of 1 replicas")
	}, patience, time.Millisecond)
}

func TestFrames_TooLargeEndTheSocket(t *testing.T) {
	a := connect(t, startHub(t, "one"), unique("a"), "")
	require.NoError(t, a.Write(t.Context(), websocket.MessageText, make([]byte, frameMax+1)))
	require.Equal(t, websocket.StatusMessageTooBig, a.closed(t))
}

// FuzzCheckBatch: what passes can be walked and cut to its end.
func FuzzCheckBatch(f *testing.F) {
	f.Add("b", "p", uint64(1), uint64(2), frame.AppendMessage(frame.AppendMessage(nil, "a", []byte("1")), "", nil))
	f.Add("topic:b", "p", uint64(1), uint64(1)<<63, []byte{0, 0})
	f.Fuzz(func(t *testing.T, to, producer string, seq, count uint64, body []byte) {
		if _, code := checkBatch(&frame.Item{Address: to, Producer: producer, Seq: seq, Count: count, Body: body}); code != "" {
			return
		}
		c := &chunk{to: to, from: "a", producer: producer, seq: seq, count: count, messages: body, taken: time.UnixMicro(1)}
		e, err := newEntry(frame.Cursor{MS: 1, N: count}, c.append(nil))
		require.NoError(t, err)
		require.Equal(t, count, e.count)
		frames, err := deliveries(&outgoing{entry: e, address: to})
		require.NoError(t, err)
		require.Len(t, frames, int(count))
		require.NoError(t, c.skip(seq+count-2))
		require.LessOrEqual(t, c.count, uint64(1))
	})
}
