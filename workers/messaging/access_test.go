package messaging

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/frame"
	hubclient "github.com/leanvibe/hive/api/hub"
	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/process/rediscluster"
	"github.com/leanvibe/hive/workers/redistest"
)

const (
	workerToken = "worker-token-0123456789"
	senderToken = "sender-token-0123456789"
)

// startGuarded runs a hub that wants tokens.
func startGuarded(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(file, []byte("agent "+workerToken+" guarded\nclient "+senderToken+"\n"), 0o600))
	p, err := process.New(process.Config{
		Service: "communication-hub", Version: "test", Instance: "guarded", Listen: "127.0.0.1:0", AccessFile: file,
		DrainMin: 20 * time.Millisecond, ShutdownMax: patience,
	})
	require.NoError(t, err)
	client := rediscluster.New([]string{redistest.Addr(t)}, "")
	bind(p, client, 0)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done; _ = client.Close() })
	addr, err := p.Addr(t.Context())
	require.NoError(t, err)
	return addr.String()
}

func TestAccess_WebSocket(t *testing.T) {
	addr := startGuarded(t)
	dial := func(t *testing.T, agent string, o *websocket.DialOptions) (*websocket.Conn, *http.Response, error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, resp, err := websocket.Dial(ctx, "ws://"+addr+"/v1/hub/connect?agent="+agent, o)
		if err == nil {
			t.Cleanup(func() { _ = c.CloseNow() })
		}
		return c, resp, err
	}
	for name, c := range map[string]struct {
		agent, token string
		status       int
	}{
		"no token":        {"guarded", "", 401},
		"unknown token":   {"guarded", workerToken + "0", 401},
		"a client's":      {"guarded", senderToken, 403},
		"another's inbox": {"other", workerToken, 403},
	} {
		t.Run(name, func(t *testing.T) {
			o := &websocket.DialOptions{HTTPHeader: http.Header{}}
			if c.token != "" {
				o.HTTPHeader.Set("Authorization", "Bearer "+c.token)
			}
			_, resp, err := dial(t, c.agent, o)
			require.Error(t, err)
			require.Equal(t, c.status, resp.StatusCode)
		})
	}
	t.Run("a browser's", func(t *testing.T) {
		c, resp, err := dial(t, "guarded", &websocket.DialOptions{Subprotocols: []string{"bearer." + workerToken, frame.SubprotocolJSON}})
		require.NoError(t, err)
		require.Equal(t, frame.SubprotocolJSON, c.Subprotocol())
		require.NotContains(t, resp.Header.Get("Sec-WebSocket-Protocol"), workerToken)
		var hello frame.Frame
		require.NoError(t, wsjson.Read(t.Context(), c, &hello))
		require.Equal(t, frame.Hello, hello.Type)
	})
	t.Run("an oversized frame", func(t *testing.T) {
		c, _, err := dial(t, "guarded-1", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + workerToken}}})
		require.NoError(t, err)
		require.NoError(t, c.Write(t.Context(), websocket.MessageText, make([]byte, frameMax+1)))
		require.Equal(t, websocket.StatusMessageTooBig, (&agent{Conn: c}).closed(t))
	})
}

func TestAccess_Messages(t *testing.T) {
	addr := startGuarded(t)
	post := func(t *testing.T, path, token, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		return resp.StatusCode
	}
	const send = `{"to":"guarded","from":"other","body":1}`
	require.Equal(t, http.StatusCreated, post(t, "/v1/messages", senderToken, send))
	require.Equal(t, http.StatusForbidden, post(t, "/v1/messages", workerToken, send), "an agent writes under its own name")
	require.Equal(t, http.StatusCreated, post(t, "/v1/messages", workerToken, strings.Replace(send, "other", "guarded", 1)))
	require.Equal(t, http.StatusForbidden, post(t, "/v1/messages/ack", workerToken, `{"of":"other","cursor":"1-1"}`))
	require.Equal(t, http.StatusForbidden, post(t, "/v1/messages/ack", senderToken, `{"of":"guarded","cursor":"1-1"}`))
}

func TestAccess_GoClient(t *testing.T) {
	addr := startGuarded(t)
	refused, err := hubclient.New(hubclient.Config{URL: "http://" + addr, Agent: "guarded", Token: senderToken})
	require.NoError(t, err)
	require.ErrorContains(t, refused.Run(t.Context()), "the hub refuses the connection")

	c, err := hubclient.New(hubclient.Config{URL: "http://" + addr, Agent: "guarded", Token: workerToken})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	require.NoError(t, c.Send(t.Context(), "somebody", "", []byte(`{}`)))
	stop()
	require.NoError(t, <-done)
}
