package load

import (
	"context"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

const (
	// patience bounds what must come, on a machine that may stand still for a while.
	patience = 30 * time.Second
	// rate of requests a second, and how many of them are enough: half a second's.
	rate, plenty = 400, 200
)

// drive puts traffic on a planted stack until there were plenty of requests, and its faults have happened.
func drive(t *testing.T, p *planted, adjust ...func(*Config)) *Result {
	t.Helper()
	server := start(t, p)
	defer server.Close()
	c := Config{
		BaseURL: server.URL, Run: "test", Rate: rate, Connections: 8, Sockets: 3, Slow: -1, Writes: 50,
		Beat: 20 * time.Millisecond, Timeout: patience, Settle: patience,
	}
	for _, a := range adjust {
		a(&c)
	}
	l, err := begin(context.Background(), c, During)
	require.NoError(t, err)
	reached(t, l, plenty)
	require.Eventually(t, p.happened, patience, time.Millisecond)
	r, err := l.Stop(context.Background())
	require.NoError(t, err)
	return r
}

func TestLoadFindsNothingWrongWithASoundStack(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	r := drive(t, &planted{})
	orderly(t, r)
	require.True(t, r.Agree)
	require.LessOrEqual(t, float64(r.Requests), rate*r.DurationS+1, "no more than the rate says")
	require.Equal(t, 3, r.Websockets.Survived)
	require.Positive(t, r.Websockets.Stored)
	require.Nil(t, r.P99BeforeMS, "nothing was sent before")
	require.NotNil(t, r.P99DuringMS)
	require.Equal(t, r.Client.Acknowledged, r.Server.LookedUp)
	goleak.VerifyNone(t, ignore)
}

// TestLoadFinds plants each fault; a ledger that misses one proves nothing about the stack.
func TestLoadFinds(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant *planted
		check func(*testing.T, *Result)
	}{
		{"a POST whose connection is dropped after the task was stored", &planted{dropPost: 20}, func(t *testing.T, r *Result) {
			require.EqualValues(t, 1, r.Failed)
			require.EqualValues(t, 1, r.Client.Unknown)
			require.Zero(t, r.Duplicated, "its outcome is unknown, and one more on the server is no duplicate")
			require.True(t, r.Agree)
		}},
		{"a GET whose connection is dropped", &planted{dropGet: 20}, func(t *testing.T, r *Result) {
			require.EqualValues(t, 1, r.Failed, "Go's own client would have repeated it in silence")
		}},
		{"a GET answered 502", &planted{failGet: 20}, func(t *testing.T, r *Result) { require.EqualValues(t, 1, r.Failed) }},
		{"a task executed twice", &planted{executeTwice: 20}, func(t *testing.T, r *Result) {
			require.EqualValues(t, 1, r.Duplicated)
			require.False(t, r.Agree)
		}},
		{"a task completed twice", &planted{completeTwice: 20}, func(t *testing.T, r *Result) { require.EqualValues(t, 1, r.Duplicated) }},
		{"a request stored twice", &planted{storeTwice: 20}, func(t *testing.T, r *Result) {
			require.EqualValues(t, 1, r.Duplicated)
			require.False(t, r.Agree)
		}},
		{"an acknowledged task that is not there", &planted{forget: 20}, func(t *testing.T, r *Result) {
			require.EqualValues(t, 1, r.Lost)
			require.False(t, r.Agree)
		}},
		{"an acknowledged task that is never done", &planted{never: 20}, func(t *testing.T, r *Result) {
			require.EqualValues(t, 1, r.Lost)
			require.False(t, r.Agree)
		}},
		{"two requests answered with one task", &planted{share: 20}, func(t *testing.T, r *Result) { require.EqualValues(t, 1, r.Lost) }},
		{"an answer about another task", &planted{wrongTask: 20}, func(t *testing.T, r *Result) { require.EqualValues(t, 1, r.Failed) }},
		{"a WebSocket closed with a code of its own", &planted{closeCode: websocket.StatusInternalError}, func(t *testing.T, r *Result) {
			require.Equal(t, 3, r.Websockets.ClosedOther)
			require.Zero(t, r.Websockets.Returned)
		}},
		{"a WebSocket that cannot come back within a second", &planted{closeCode: websocket.StatusGoingAway, refuse: 1100 * time.Millisecond}, func(t *testing.T, r *Result) {
			require.Equal(t, 3, r.Websockets.Closed1001)
			require.Zero(t, r.Websockets.Returned)
		}},
		{"a WebSocket that is let in and not greeted", &planted{closeCode: websocket.StatusGoingAway, refuse: 1100 * time.Millisecond, mute: true}, func(t *testing.T, r *Result) {
			require.Equal(t, 3, r.Websockets.Closed1001, "one outage each, however often it was let in")
			require.Zero(t, r.Websockets.Returned)
		}},
		{"a message that never arrives", &planted{loseMail: 5}, func(t *testing.T, r *Result) { require.EqualValues(t, 1, r.Websockets.Lost) }},
		{"a message that arrives twice", &planted{doubleMail: 5}, func(t *testing.T, r *Result) { require.EqualValues(t, 1, r.Websockets.Duplicated) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := drive(t, c.plant, func(c *Config) { c.Settle = 5 * time.Second }) // some never settle
			require.Error(t, r.Err())
			c.check(t, r)
		})
	}
}

func TestLoadCountsAWebSocketThatReturnsInTimeAsInOrder(t *testing.T) {
	r := drive(t, &planted{closeCode: websocket.StatusGoingAway, again: 3}, func(c *Config) { c.back = patience })
	require.Equal(t, 3, r.Websockets.Returned)
	require.Equal(t, 3, r.Websockets.Closed1001)
	require.NotNil(t, r.Websockets.ReconnectMaxMS)
	require.Zero(t, r.Failed)
}

func TestLoadHonoursConnectionsThatAreClosedPolitely(t *testing.T) {
	r := drive(t, &planted{polite: 10})
	require.Zero(t, r.Failed)
	require.Greater(t, r.Client.Opened, int64(10))
}

// TestLoadDoesNotOmitAStall: a closed loop would send 8 requests into the stall, one a connection, and call it quiet.
func TestLoadDoesNotOmitAStall(t *testing.T) {
	r := drive(t, &planted{stallAt: 20, together: 80})
	require.Zero(t, r.Failed, "requests fall due whether or not the server answers")
	require.Greater(t, *r.Latency[During].P90MS, 50.0, "80 of some 200 fell due in 200 ms and waited for the last of them: far more than a tenth")
	require.Greater(t, *r.LongestGapMS, 150.0)
}

func TestLoadKeepsLongPollsApart(t *testing.T) {
	r := drive(t, &planted{}, func(c *Config) { c.Slow, c.SlowFor = 20, 250*time.Millisecond })
	orderly(t, r)
	require.Positive(t, r.Slow.Requests)
	require.GreaterOrEqual(t, *r.Slow.P50MS, 249.0)
	require.Equal(t, r.Client.ByClass[Slow].Requests, r.Slow.Requests)
	require.Equal(t, r.Requests, r.Latency[During].Requests+r.Slow.Requests)
}

func TestLoadDividesTheRunByMarks(t *testing.T) {
	server := start(t, &planted{})
	l, err := Start(context.Background(), Config{BaseURL: server.URL, Rate: rate, Connections: 8, Sockets: -1, Slow: -1})
	require.NoError(t, err)
	for _, p := range []Phase{During, After} {
		reached(t, l, 40)
		l.Mark(p)
	}
	reached(t, l, 40)
	r, err := l.Stop(context.Background())
	require.NoError(t, err)
	orderly(t, r)
	for _, p := range []Phase{Before, During, After} {
		require.Positive(t, r.Latency[p].Requests, p)
	}
}

func TestLoadFindsAnAnswerOfAnOldVersion(t *testing.T) {
	p := &planted{}
	server := start(t, p)
	l, err := Start(context.Background(), Config{BaseURL: server.URL, Rate: rate, Connections: 8, Sockets: -1, Slow: -1})
	require.NoError(t, err)
	reached(t, l, 40)
	l.Expect("2") // the stack still answers as 1
	reached(t, l, 40)
	r, err := l.Stop(context.Background())
	require.NoError(t, err)
	require.Positive(t, r.WrongVersion)
	require.Error(t, r.Err())
}

// reached waits until n more requests have been answered.
func reached(t *testing.T, l *Loader, n int64) {
	t.Helper()
	count := func() int64 {
		l.ledger.mu.Lock()
		defer l.ledger.mu.Unlock()
		return int64(len(l.ledger.entries))
	}
	goal := count() + n
	require.Eventually(t, func() bool { return count() >= goal }, patience, time.Millisecond)
}

func TestLoadGivesNoVerdictWhenItFellBehind(t *testing.T) {
	r := drive(t, &planted{})
	orderly(t, r)
	r.RateS = 0.9 * float64(r.WantedS)
	require.ErrorContains(t, r.Err(), "no verdict")
}

func TestLoadRefusesToBegin(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		want   string
	}{
		{"nobody listens", Config{BaseURL: "http://127.0.0.1:1"}, "hive up"},
		{"not HTTP", Config{BaseURL: "https://127.0.0.1"}, "want http://host:port"},
		{"shares beyond everything", Config{Writes: 90, Slow: 20}, "more than everything"},
		{"a name with a slash", Config{Run: "a/b"}, "letters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Start(context.Background(), c.config)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// orderly holds that nothing was lost or doubled and that both sides agree. Whether the rate was kept up is left out:
// half a second on a busy machine says nothing of it.
func orderly(t *testing.T, r *Result) {
	t.Helper()
	whole := *r
	whole.WantedS = 0
	require.NoError(t, whole.Err())
}
