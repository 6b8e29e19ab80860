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

// serveAs makes the test binary a hub, so that one can be killed.
const serveAs = "HIVE_TEST_HUB"

func TestMain(m *testing.M) {
	if os.Getenv(serveAs) != "" {
		process.Main("communication-hub", "test", ":0", Setup)
		return
	}
	os.Exit(redistest.Run(m))
}

// patience bounds what must come, on a machine that may stand still for a while.
const patience = time.Minute

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
	return startHubWaiting(t, name, redisAddr, 0)
}

func startHubWaiting(t *testing.T, name, redisAddr string, replicas int) *testHub {
	t.Helper()
	return startHubBounded(t, name, redisAddr, replicas, patience)
}

// startHubBounded is startHubWaiting with a bound of its end's own.
func startHubBounded(t *testing.T, name, redisAddr string, replicas int, shutdown time.Duration) *testHub {
	t.Helper()
	p, err := process.New(process.Config{
		Service: "communication-hub", Version: "test", Instance: name, Listen: "127.0.0.1:0",
		DrainMin: 20 * time.Millisecond, ShutdownMax: shutdown,
	})
	require.NoError(t, err)
	client := rediscluster.New([]string{redisAddr}, "")
	bind(p, client, replicas)
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
		{"no JSON", `{`, "malformed_frame", "JSON"},
		{"unknown type", `{"type":"shout","id":"1"}`, "invalid_argument", "known: send, ack, ping"},
		{"no receiver", `{"type":"send","id":"1","body":1}`, "invalid_address", "to must be"},
		{"no body", `{"type":"send","id":"1","to":"b"}`, "invalid_argument", "body is missing"},
		{"bad id", `{"type":"send","id":"a b","to":"b","body":1}`, "invalid_argument", "id must be"},
		{"bad cursor", `{"type":"ack","cursor":"now"}`, "invalid_argument", "cursor must be"},
		{"body too large", `{"type":"send","id":"1","to":"b","body":"` + strings.Repeat("x", MaxBody) + `"}`, "payload_too_large", "65536"},
	}
	to := unique("b")
	require.Equal(t, frame.Sent, a.send(t, to, "same", "1").Type)
	tests = append(tests, []struct{ name, raw, code, message string }{
		{"id of another body", `{"type":"send","id":"same","to":"` + to + `","body":2}`, "id_conflict", "another id"},
		{"acknowledged ahead", `{"type":"ack","cursor":"9999999999999-1"}`, "cursor_ahead", "end"},
		{"subscribed ahead", `{"type":"subscribe","topic":"topic:` + to + `","cursor":"9999999999999-1"}`, "cursor_ahead", "end"},
		{"no such topic name", `{"type":"subscribe","topic":"news"}`, "invalid_address", "topic:news"},
	}...)
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
		{"unknown field", "POST", "/v1/messages", "", `{"too":"a"}`, 400, "malformed_frame"},
		{"no address", "POST", "/v1/messages", "", `{"from":"a","to":"queue:x","body":1}`, 400, "invalid_address"},
		{"id of another body", "POST", "/v1/messages", "k", `{"from":"a","to":"` + to + `","body":{"x":2}}`, 409, "id_conflict"},
		{"read from a cursor of the future", "GET", "/v1/messages?of=" + to + "&cursor=9999999999999-1", "", "", 409, "cursor_ahead"},
		{"acknowledge the future", "POST", "/v1/messages/ack", "", `{"of":"` + to + `","cursor":"9999999999999-1"}`, 409, "cursor_ahead"},
		{"connect in the future", "GET", "/v1/hub/connect?agent=" + to + "&cursor=9999999999999-1", "", "", 409, "cursor_ahead"},
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
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	for a.Write(ctx, websocket.MessageText, []byte(huge)) == nil {
	}
	require.NoError(t, ctx.Err(), "the hub never closed it")
	require.Eventually(t, func() bool {
		_, _, body := request(t, "GET", "http://"+h.addr+"/metrics", "", "")
		return strings.Contains(body, `leanvibe_hub_closed_total{reason="slow"} 1`)
	}, patience, 10*time.Millisecond)
}

func TestInbox_Full(t *testing.T) {
	h := startHub(t, "one")
	to := unique("full")
	sender := connectBatch(t, h, unique("from"))
	var messages []byte
	for range inboxMax / 2 {
		messages = frame.AppendMessage(messages, "", []byte("1"))
	}
	half := frame.Item{Op: frame.OpSend, Address: to, Producer: "p", Seq: 1, Count: inboxMax / 2, Body: messages}
	require.Equal(t, frame.OpSent, sender.ask(t, half).Op)
	half.Seq += inboxMax / 2
	require.Equal(t, frame.OpSent, sender.ask(t, half).Op)

	one := frame.Item{Op: frame.OpSend, Address: to, Producer: "p", Seq: inboxMax + 1, Count: 1, Body: frame.AppendMessage(nil, "", []byte("1"))}
	refused := sender.ask(t, one)
	require.Equal(t, frame.OpRefused, refused.Op)
	require.Equal(t, codeFull, refused.Code)
	code, _, body := request(t, "POST", "http://"+h.addr+"/v1/messages", "k", `{"from":"a","to":"`+to+`","body":1}`)
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, codeFull)

	// Its own repeat is no new message, so it is not refused.
	require.Equal(t, frame.OpSent, sender.ask(t, half).Op)

	code, _, body = request(t, "GET", "http://"+h.addr+"/v1/messages?limit=10&of="+to, "", "")
	require.Equal(t, http.StatusOK, code, body)
	var page struct {
		Messages []frame.Frame `json:"messages"`
		Cursor   string        `json:"cursor"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &page))
	require.Len(t, page.Messages, 10)
	require.Equal(t, "p.10", page.Messages[9].ID)
	_, _, body = request(t, "POST", "http://"+h.addr+"/v1/messages/ack", "", `{"of":"`+to+`","cursor":"`+page.Cursor+`"}`)
	require.JSONEq(t, `{"acknowledged":10}`, body)
	require.Equal(t, frame.OpSent, sender.ask(t, one).Op)
}

// batchAgent is a client's end of a binary WebSocket.
type batchAgent struct {
	*websocket.Conn
	rest  []byte
	hello frame.Item
}

func connectBatch(t *testing.T, h *testHub, id string) *batchAgent {
	t.Helper()
	return connectAfter(t, h, id, frame.Cursor{})
}

func connectAfter(t *testing.T, h *testHub, id string, cursor frame.Cursor) *batchAgent {
	t.Helper()
	url := "ws://" + h.addr + "/v1/hub/connect?agent=" + id
	if cursor != (frame.Cursor{}) {
		url += "&cursor=" + cursor.String()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{frame.Subprotocol}})
	require.NoError(t, err)
	require.Equal(t, frame.Subprotocol, c.Subprotocol())
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	a := &batchAgent{Conn: c}
	a.hello = a.next(t)
	require.Equal(t, frame.OpHello, a.hello.Op)
	return a
}

// raw is what is left of the last frame, or the next one.
func (a *batchAgent) raw(t *testing.T) ([]byte, error) {
	t.Helper()
	if rest := a.rest; len(rest) > 0 {
		a.rest = nil
		return rest, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	kind, raw, err := a.Read(ctx)
	if err == nil {
		require.Equal(t, websocket.MessageBinary, kind)
	}
	return raw, err
}

func (a *batchAgent) next(t *testing.T) frame.Item {
	t.Helper()
	raw, err := a.raw(t)
	require.NoError(t, err)
	it, rest, err := frame.NextItem(raw)
	require.NoError(t, err)
	a.rest = rest
	return it
}

func (a *batchAgent) ask(t *testing.T, it frame.Item) frame.Item {
	t.Helper()
	require.NoError(t, a.Write(t.Context(), websocket.MessageBinary, frame.AppendItem(nil, &it)))
	return a.next(t)
}

func TestBatch_Wrong(t *testing.T) {
	a := connectBatch(t, startHub(t, "one"), unique("a"))
	one := frame.AppendMessage(nil, "", []byte("1"))
	send := func(change func(*frame.Item)) frame.Item {
		it := frame.Item{Op: frame.OpSend, Address: "b", Producer: "p", Seq: 1, Count: 1, Body: one}
		change(&it)
		return it
	}
	tests := []struct {
		name          string
		item          frame.Item
		code, message string
	}{
		{"unknown item", frame.Item{Op: '?'}, codeInvalid, "known: S, A, U, N, P"},
		{"bad address", send(func(it *frame.Item) { it.Address = "queue:x" }), codeAddress, "topic:news"},
		{"bad producer", send(func(it *frame.Item) { it.Producer = "" }), codeInvalid, "producer must"},
		{"no number", send(func(it *frame.Item) { it.Seq = 0 }), codeInvalid, "seq must"},
		{"count too large", send(func(it *frame.Item) { it.Count = 1 << 40 }), codeInvalid, "count must"},
		{"count and body differ", send(func(it *frame.Item) { it.Count = 2 }), codeMalformed, "message 2 of 2"},
		{"bytes behind", send(func(it *frame.Item) { it.Body = append(it.Body, 1) }), codeMalformed, "follow the last"},
		{"bad id", send(func(it *frame.Item) { it.Body = frame.AppendMessage(nil, "a b", nil) }), codeInvalid, "id must"},
		{"body too large", send(func(it *frame.Item) { it.Body = frame.AppendMessage(nil, "", make([]byte, MaxBody+1)) }), codeTooLarge, "65536"},
		{"gap", send(func(it *frame.Item) { it.Seq = 5; it.Address = unique("gap") }), codeGap, "out of sequence"},
		{"topic without a name", frame.Item{Op: frame.OpSubscribe, Address: "topic:"}, codeAddress, "topic:news"},
		{"no topic", frame.Item{Op: frame.OpSubscribe, Address: "news"}, codeAddress, "topic:news"},
		{"not subscribed", frame.Item{Op: frame.OpUnsubscribe, Address: "topic:none"}, codeInvalid, "subscribed"},
		{"another's inbox", frame.Item{Op: frame.OpAck, Address: "other"}, codeAddress, "your own"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := a.ask(t, test.item)
			require.Equal(t, test.code, got.Code)
			require.Contains(t, got.Message, test.message)
		})
	}
	ahead := frame.Cursor{MS: 1 << 50, N: 1}
	require.Equal(t, codeAhead, a.ask(t, frame.Item{Op: frame.OpAck, Address: a.hello.Address, Cursor: ahead}).Code)
	require.Equal(t, codeAhead, a.ask(t, frame.Item{Op: frame.OpSubscribe, Address: frame.TopicPrefix + unique("t"), Cursor: ahead}).Code)
	require.NoError(t, a.Write(t.Context(), websocket.MessageBinary, []byte{'S', 0xff}))
	require.Contains(t, a.next(t).Message, "malformed")
	require.NoError(t, a.Write(t.Context(), websocket.MessageText, []byte(`{}`)))
	require.Contains(t, a.next(t).Message, "binary")
	require.NoError(t, a.Write(t.Context(), websocket.MessageBinary, make([]byte, frame.BatchMax+1)))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, _, err := a.Read(ctx)
	require.Equal(t, websocket.StatusMessageTooBig, websocket.CloseStatus(err))
}

func TestTopic_StoredOnceReadByAllAndResumed(t *testing.T) {
	one, two := startHub(t, "one"), startHub(t, "two")
	topic := frame.TopicPrefix + unique("news")
	first, second := unique("first"), unique("second")
	sender := connect(t, one, unique("from"), "")
	a, b := connect(t, one, first, ""), connect(t, two, second, "")
	for _, reader := range []*agent{a, b} {
		reader.write(t, frame.Frame{Type: frame.Subscribe, ID: "s", Topic: topic})
		require.Equal(t, frame.Subscribed, reader.next(t).Type)
	}
	var cursors []string
	for i := range 20 {
		require.Equal(t, frame.Sent, sender.send(t, topic, fmt.Sprint(i), fmt.Sprint(i)).Type)
		for _, reader := range []*agent{a, b} {
			got := reader.next(t)
			require.Equal(t, topic, got.Topic)
			require.Equal(t, fmt.Sprint(i), got.ID)
			cursors = append(cursors, got.Cursor)
		}
	}
	a.write(t, frame.Frame{Type: frame.Ack, Topic: topic, Cursor: cursors[2*9]})
	a.write(t, frame.Frame{Type: frame.Ping, ID: "p"})
	require.Equal(t, frame.Pong, a.next(t).Type)
	require.NoError(t, a.Close(websocket.StatusNormalClosure, ""))

	// On the other hub: where the acknowledgements stand.
	again := connect(t, two, first, "")
	again.write(t, frame.Frame{Type: frame.Subscribe, Topic: topic})
	require.Equal(t, cursors[2*9], again.next(t).Cursor)
	require.Equal(t, "10", again.next(t).ID)
	// And from any cursor that is named.
	b.write(t, frame.Frame{Type: frame.Subscribe, Topic: topic, Cursor: cursors[2*17]})
	require.Equal(t, frame.Subscribed, b.next(t).Type)
	require.Equal(t, "18", b.next(t).ID)
	require.Equal(t, "19", b.next(t).ID)
	b.write(t, frame.Frame{Type: frame.Unsubscribe, Topic: topic})
	require.Equal(t, frame.Unsubscribed, b.next(t).Type)
	require.Equal(t, frame.Sent, sender.send(t, topic, "20", "20").Type)
	b.write(t, frame.Frame{Type: frame.Ping, ID: "after"})
	require.Equal(t, frame.Pong, b.next(t).Type)
}

func TestBatch_PartOfARepeatIsStored(t *testing.T) {
	h := startHub(t, "one")
	to := unique("to")
	sender := connectBatch(t, h, unique("from"))
	var messages []byte
	for i := range 5 {
		messages = frame.AppendMessage(messages, "", []byte{byte('0' + i)})
	}
	_, _, tail, err := frame.NextMessage(messages)
	require.NoError(t, err)
	head := messages[:len(messages)-len(tail)]
	require.Equal(t, frame.OpSent, sender.ask(t, frame.Item{Op: frame.OpSend, Address: to, Producer: "p", Seq: 1, Count: 1, Body: head}).Op)
	all := sender.ask(t, frame.Item{Op: frame.OpSend, Address: to, Producer: "p", Seq: 1, Count: 5, Body: messages})
	require.Equal(t, frame.OpSent, all.Op)
	require.EqualValues(t, 5, all.Seq)
	receiver := connect(t, h, to, "")
	for i := range 5 {
		got := receiver.next(t)
		require.Equal(t, fmt.Sprintf("p.%d", i+1), got.ID)
		require.Equal(t, fmt.Sprint(i), string(got.Body))
	}
}
