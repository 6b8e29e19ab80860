package messaging

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/frame"
	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/process/rediscluster"
	"github.com/leanvibe/hive/workers/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Run(m)) }

const patience = 15 * time.Second

// testHub is one hub process in the test's own.
type testHub struct {
	addr string
	stop context.CancelFunc
	done chan error
}

func startHub(t *testing.T, name string) *testHub {
	t.Helper()
	return startHubAt(t, name, redistest.Addr(t))
}

func startHubAt(t *testing.T, name, redisAddr string) *testHub {
	t.Helper()
	p, err := process.New(process.Config{
		Service: "communication-hub", Version: "test", Instance: name, Listen: "127.0.0.1:0",
		DrainMin: 20 * time.Millisecond, ShutdownMax: 10 * time.Second,
	})
	require.NoError(t, err)
	client := rediscluster.New([]string{redisAddr}, "")
	bind(p, client)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	h := &testHub{stop: stop, done: make(chan error, 1)}
	go func() { h.done <- p.Run(ctx) }()
	t.Cleanup(func() { stop(); <-h.done; _ = client.Close() })
	addr, err := p.Addr(t.Context())
	require.NoError(t, err)
	h.addr = addr.String()
	return h
}

// agent is a client's end of a WebSocket.
type agent struct {
	*websocket.Conn
	hello frame.Frame
}

func connect(t *testing.T, h *testHub, id, cursor string) *agent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, "ws://"+h.addr+"/v1/hub/connect?agent="+id+"&cursor="+cursor, nil)
	require.NoError(t, err)
	require.Equal(t, "test", resp.Header.Get("X-Hive-Version"))
	t.Cleanup(func() { _ = c.CloseNow() })
	a := &agent{Conn: c}
	a.hello = a.next(t)
	require.Equal(t, frame.Hello, a.hello.Type)
	require.Equal(t, id, a.hello.Agent)
	return a
}

func (a *agent) next(t *testing.T) frame.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var f frame.Frame
	require.NoError(t, wsjson.Read(ctx, a.Conn, &f))
	return f
}

func (a *agent) write(t *testing.T, f frame.Frame) {
	t.Helper()
	require.NoError(t, wsjson.Write(t.Context(), a.Conn, f))
}

func (a *agent) closed(t *testing.T) websocket.StatusCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := a.Read(ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func (a *agent) send(t *testing.T, to, id, body string) frame.Frame {
	t.Helper()
	a.write(t, frame.Frame{Type: frame.Send, ID: id, To: to, Body: json.RawMessage(body)})
	return a.next(t)
}

func unique(name string) string { return name + uuid.NewString() }

func TestMessages_OrderedAcrossHubsAndResumed(t *testing.T) {
	one, two := startHub(t, "one"), startHub(t, "two")
	from, to := unique("from"), unique("to")
	sender, receiver := connect(t, one, from, ""), connect(t, two, to, "")
	var cursors []string
	for i := range 100 {
		sent := sender.send(t, to, fmt.Sprint(i), fmt.Sprintf(`{"n":%d}`, i))
		require.Equal(t, frame.Sent, sent.Type)
		got := receiver.next(t)
		require.Equal(t, frame.Deliver, got.Type)
		require.Equal(t, sent.Cursor, got.Cursor)
		require.Equal(t, from, got.From)
		require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, i), string(got.Body))
		cursors = append(cursors, got.Cursor)
	}
	// On the other hub, from a cursor: everything after it again.
	again := connect(t, one, to, cursors[89])
	for i := 90; i < 100; i++ {
		require.Equal(t, cursors[i], again.next(t).Cursor)
	}
	require.EqualValues(t, frame.CloseReplaced, receiver.closed(t))

	again.write(t, frame.Frame{Type: frame.Ack, Cursor: cursors[94]})
	again.write(t, frame.Frame{Type: frame.Ping, ID: "p"})
	require.Equal(t, frame.Frame{Type: frame.Pong, ID: "p"}, again.next(t))
	require.NoError(t, again.Close(websocket.StatusNormalClosure, ""))

	// Without a cursor: everything not acknowledged.
	last := connect(t, two, to, "")
	require.Equal(t, cursors[94], last.hello.Cursor)
	for i := 95; i < 100; i++ {
		require.Equal(t, cursors[i], last.next(t).Cursor)
	}
}

func TestMessages_SentWhileAway(t *testing.T) {
	h := startHub(t, "one")
	to := unique("to")
	sender := connect(t, h, unique("from"), "")
	first := sender.send(t, to, "x", `1`)
	second := sender.send(t, to, "x", `1`)
	require.False(t, first.Duplicate)
	require.True(t, second.Duplicate)
	require.Equal(t, first.Cursor, second.Cursor)
	third := sender.send(t, to, "y", `2`)

	receiver := connect(t, h, to, "")
	require.Equal(t, first.Cursor, receiver.next(t).Cursor)
	require.Equal(t, third.Cursor, receiver.next(t).Cursor)
}

func TestDrain_Closes1001AndResumes(t *testing.T) {
	one, two := startHub(t, "one"), startHub(t, "two")
	id := unique("a")
	a := connect(t, one, id, "")
	one.stop()
	require.Equal(t, websocket.StatusGoingAway, a.closed(t))
	err := <-one.done
	one.done <- nil
	require.NoError(t, err)

	sent := connect(t, two, unique("b"), "").send(t, id, "1", `"late"`)
	require.Equal(t, sent.Cursor, connect(t, two, id, a.hello.Cursor).next(t).Cursor)
}

func TestFrames_Wrong(t *testing.T) {
	a := connect(t, startHub(t, "one"), unique("a"), "")
	tests := []struct {
		name, raw, code, message string
	}{
		{"no JSON", `{`, "invalid_argument", "JSON"},
		{"unknown type", `{"type":"shout","id":"1"}`, "invalid_argument", "known: send, ack, ping"},
		{"no receiver", `{"type":"send","id":"1","body":1}`, "invalid_argument", "to must be"},
		{"no body", `{"type":"send","id":"1","to":"b"}`, "invalid_argument", "body is missing"},
		{"bad id", `{"type":"send","id":"a b","to":"b","body":1}`, "invalid_argument", "id must be"},
		{"bad cursor", `{"type":"ack","cursor":"now"}`, "invalid_argument", "cursor must be"},
		{"body too large", `{"type":"send","id":"1","to":"b","body":"` + strings.Repeat("x", MaxBody) + `"}`, "payload_too_large", "65536"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.NoError(t, a.Write(t.Context(), websocket.MessageText, []byte(test.raw)))
			f := a.next(t)
			require.Equal(t, frame.Error, f.Type)
			require.Equal(t, test.code, f.Code)
			require.Contains(t, f.Message, test.message)
		})
	}
}

func TestHTTP(t *testing.T) {
	h := startHub(t, "one")
	to := unique("to")
	valid := `{"from":"a","to":"` + to + `","body":{"x":1}}`
	tests := []struct {
		name, method, path, key, body string
		code                          int
		want                          string
	}{
		{"stored", "POST", "/v1/messages", "k", valid, 201, `"duplicate":false`},
		{"repeated", "POST", "/v1/messages", "k", valid, 200, `"duplicate":true`},
		{"without key", "POST", "/v1/messages", "", valid, 201, `"duplicate":false`},
		{"wrong fields", "POST", "/v1/messages", "", `{"from":"a b","to":"","body":1}`, 400, `"field":"from"`},
		{"unknown field", "POST", "/v1/messages", "", `{"too":"a"}`, 400, "unknown field"},
		{"too large", "POST", "/v1/messages", "", `{"from":"a","to":"b","body":"` + strings.Repeat("x", MaxBody+8<<10) + `"}`, 413, "payload_too_large"},
		{"connect without agent", "GET", "/v1/hub/connect", "", "", 400, `"field":"agent"`},
		{"connect with a wrong cursor", "GET", "/v1/hub/connect?agent=a&cursor=x", "", "", 400, `"field":"cursor"`},
		{"connect without upgrade", "GET", "/v1/hub/connect?agent=a", "", "", 426, ""},
		{"health", "GET", "/health", "", "", 200, `"redis":"ok"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, _, body := request(t, test.method, "http://"+h.addr+test.path, test.key, test.body)
			require.Equal(t, test.code, code, body)
			require.Contains(t, body, test.want)
		})
	}
	receiver := connect(t, h, to, "")
	require.Equal(t, "k", receiver.next(t).ID)
	require.Empty(t, receiver.next(t).ID)
}

func request(t *testing.T, method, url, key, body string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(raw)
}

func TestRedisAway(t *testing.T) {
	h := startHubAt(t, "one", "127.0.0.1:1")
	code, header, body := request(t, "POST", "http://"+h.addr+"/v1/messages", "k", `{"from":"a","to":"b","body":1}`)
	require.Equal(t, http.StatusServiceUnavailable, code, body)
	require.Equal(t, "1", header.Get("Retry-After"))
	code, _, _ = request(t, "GET", "http://"+h.addr+"/readyz", "", "")
	require.Equal(t, http.StatusServiceUnavailable, code)
}

func TestSlowConsumer_IsClosed(t *testing.T) {
	h := startHub(t, "one")
	a := connect(t, h, unique("slow"), "")
	// It asks and asks and never reads: kernel buffers fill, then the hub's.
	huge := `{"type":"send","id":"` + strings.Repeat("i", 190) + ` ","to":"b","body":1}`
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 1000 {
			if a.Write(ctx, websocket.MessageText, []byte(huge)) != nil {
				return true
			}
		}
		return false
	}, 60*time.Second, time.Millisecond)
	require.Eventually(t, func() bool {
		_, _, body := request(t, "GET", "http://"+h.addr+"/metrics", "", "")
		return strings.Contains(body, `leanvibe_hub_closed_total{reason="slow"} 1`)
	}, patience, 10*time.Millisecond)
}

func TestInbox_Full(t *testing.T) {
	b := &Inboxes{redis: rediscluster.New([]string{redistest.Addr(t)}, ""), now: time.Now}
	to := unique("full")
	pipe := b.redis.Pipeline()
	for range inboxMax {
		_, err := sendScript.Eval(t.Context(), pipe, []string{streamKey(to), markKey(to, "")}, "a", "", "1",
			1, inboxMax, 1000, 60_000, wakeChannel, to).Result()
		require.NoError(t, err)
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
	_, _, err = b.Put(t.Context(), to, Message{From: "a", Body: []byte("1")})
	require.ErrorIs(t, err, ErrFull)

	all, err := b.After(t.Context(), to, "0-0")
	require.NoError(t, err)
	n, err := b.Ack(t.Context(), to, all[9].Cursor)
	require.NoError(t, err)
	require.Equal(t, 10, n)
	_, _, err = b.Put(t.Context(), to, Message{From: "a", Body: []byte("1")})
	require.NoError(t, err)
}
