package messaging

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/frame"
	"github.com/leanvibe/hive/workers/redistest"
)

// TestDrain_AnswersWhatIsUnderWay: Redis holds its writes back while sends are
// under way and the hub is told to stop; each is answered before the 1001.
func TestDrain_AnswersWhatIsUnderWay(t *testing.T) {
	store := redistest.Own(t)
	h := startHubAt(t, "one", store.Addr())
	direct := redis.NewClient(&redis.Options{Addr: store.Addr()})
	defer direct.Close()
	texts, batches := connect(t, h, unique("text"), ""), connectBatch(t, h, unique("batch"))
	require.NoError(t, direct.Do(t.Context(), "client", "pause", 60_000, "write").Err())

	const n = 20
	for i := range n {
		texts.write(t, frame.Frame{Type: frame.Send, ID: fmt.Sprint(i), To: "b", Body: json.RawMessage("1")})
		require.NoError(t, batches.Write(t.Context(), websocket.MessageBinary, frame.AppendItem(nil, &frame.Item{
			Op: frame.OpSend, Address: "b", Producer: "p", Seq: uint64(i + 1), Count: 1, Body: frame.AppendMessage(nil, "", []byte("1")),
		})))
	}
	// Pings behind the sends: once they are answered, the hub has taken all sends in.
	texts.write(t, frame.Frame{Type: frame.Ping, ID: "p"})
	require.Equal(t, frame.Pong, texts.next(t).Type)
	require.Equal(t, frame.OpPong, batches.ask(t, frame.Item{Op: frame.OpPing}).Op)

	h.stop()
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + h.addr + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	}, patience, time.Millisecond)
	require.NoError(t, direct.Do(t.Context(), "client", "unpause").Err())
	for i := range n {
		got := texts.next(t)
		require.Equal(t, frame.Sent, got.Type)
		require.Equal(t, fmt.Sprint(i), got.ID)
	}
	for last := uint64(0); last < n; {
		got := batches.next(t)
		require.Equal(t, frame.OpSent, got.Op)
		last = got.Seq
	}
	require.Equal(t, websocket.StatusGoingAway, texts.closed(t))
	require.Equal(t, websocket.StatusGoingAway, batches.closed(t))
	require.NoError(t, <-h.done)
	h.done <- nil
}

// TestDrain_IsBounded: what Redis never confirms is refused as unknown, and the hub ends.
func TestDrain_IsBounded(t *testing.T) {
	store := redistest.Own(t)
	h := startHubBounded(t, "one", store.Addr(), 0, 10*time.Second)
	a := connect(t, h, unique("a"), "")
	direct := redis.NewClient(&redis.Options{Addr: store.Addr()})
	defer direct.Close()
	require.NoError(t, direct.Do(t.Context(), "client", "pause", 60_000, "write").Err())
	a.write(t, frame.Frame{Type: frame.Send, ID: "1", To: "b", Body: json.RawMessage("1")})
	a.write(t, frame.Frame{Type: frame.Ping})
	require.Equal(t, frame.Pong, a.next(t).Type)
	h.stop()
	got := a.next(t)
	require.Equal(t, frame.Error, got.Type)
	require.Equal(t, codeUnavailable, got.Code)
	require.Equal(t, websocket.StatusGoingAway, a.closed(t))
	require.NoError(t, <-h.done)
	h.done <- nil
}

// closed reads on to the close frame.
func (a *batchAgent) closed(t *testing.T) websocket.StatusCode {
	return (&agent{Conn: a.Conn}).closed(t)
}

// metric reads one of the hub's.
func metric(t *testing.T, addr, name string) float64 {
	t.Helper()
	value, err := scrape(addr, name)
	require.NoError(t, err)
	return value
}

// scrape is metric for a goroutine of a test's; what the hub does not have is 0.
func scrape(addr, name string) (value float64, err error) {
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			_, err := fmt.Sscan(rest, &value)
			return value, err
		}
	}
	return 0, err
}
