package probe

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/leanvibe/hive/workflows/runbook"
)

// env runs a step as an activity of its own.
func env(ctx context.Context, before *tally) *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	e := suite.NewTestActivityEnvironment()
	e.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	if before != nil {
		e.SetHeartbeatDetails(*before)
	}
	return e
}

func TestWatchCountsUntilItIsToldToStop(t *testing.T) {
	const enough = 60
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var asked atomic.Int64
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch n := asked.Add(1); {
		case n == enough:
			cancel()
		case n > 10 && n <= 30:
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	e := env(ctx, nil)
	runbook.Watch.Bind(e, Hand{}.Watch)
	v, err := e.ExecuteActivity(runbook.Watch.Name, runbook.WatchInput{URLs: []string{url, url + "/other"}, Rate: 40})
	require.NoError(t, err, "cancelled is how it ends")
	var out runbook.Traffic
	require.NoError(t, v.Get(&out))
	require.Equal(t, "probe", out.Source)
	require.Equal(t, asked.Load(), out.Requests)
	require.EqualValues(t, 20, out.Failed)
	require.Nil(t, out.Duplicated)
	require.NotNil(t, out.LongestGapMS)
	require.Positive(t, *out.LongestGapMS)
	require.NotNil(t, out.P99DuringMS)
	require.Positive(t, *out.P99DuringMS)
}

func TestWatchGoesOnCountingAfterAKill(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	url := serve(t, func(http.ResponseWriter, *http.Request) { cancel() })
	e := env(ctx, &tally{Requests: 1000, Failed: 3, Gap: int64(2 * time.Second), Times: histogram{500: 997}})
	runbook.Watch.Bind(e, Hand{}.Watch)
	v, err := e.ExecuteActivity(runbook.Watch.Name, runbook.WatchInput{URLs: []string{url}})
	require.NoError(t, err)
	var out runbook.Traffic
	require.NoError(t, v.Get(&out))
	require.Greater(t, out.Requests, int64(1000))
	require.EqualValues(t, 3, out.Failed)
	require.InDelta(t, 2000, *out.LongestGapMS, 1)
	require.InDelta(t, 20, *out.P99DuringMS, 1)
}

// A gap is from success to success, however many failures are between.
func TestAGapIsWithoutSuccess(t *testing.T) {
	c := &count{all: tally{Times: histogram{}}}
	begun := time.Now()
	for n := range 60 {
		c.add(sent{at: begun.Add(time.Duration(n) * 10 * time.Millisecond), failed: n >= 10 && n < 30})
	}
	out := c.snapshot().traffic()
	require.EqualValues(t, 20, out.Failed)
	require.InDelta(t, 210, *out.LongestGapMS, 0)
}

func TestWatchWithoutASuccessKnowsNoGap(t *testing.T) {
	out := tally{Requests: 5, Failed: 5}.traffic()
	require.Nil(t, out.LongestGapMS)
	require.Nil(t, out.P99DuringMS)
}

// A kept connection that breaks under a request: the library asks again and gets
// 200, but the user's request was lost.
func TestAHiddenSecondTryIsAFailure(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	var requests atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for first := true; ; first = false {
					if _, err := c.Read(make([]byte, 4096)); err != nil {
						return
					}
					if requests.Add(1); !first {
						return // the second request of every connection is lost with it
					}
					_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
				}
			}()
		}
	}()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	first := pacer{}.send(context.Background(), transport, "http://"+l.Addr().String())
	require.False(t, first.failed)
	second := pacer{}.send(context.Background(), transport, "http://"+l.Addr().String())
	require.True(t, second.failed)
	require.EqualValues(t, 3, requests.Load(), "the library did ask again")
}

func TestSupply(t *testing.T) {
	var asked, connections atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1)%10 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	begun := time.Now()
	out, err := Hand{}.Supply(context.Background(), runbook.SupplyInput{URL: s.URL, Rate: 100, Window: runbook.Duration(500 * time.Millisecond)})
	require.NoError(t, err)
	require.LessOrEqual(t, float64(out.Sent), 100*time.Since(begun).Seconds()+1, "no more than the rate says, from the first moment on")
	require.Greater(t, out.Sent, 1, "fewer only where the machine stands still")
	require.Equal(t, int(asked.Load()), out.Sent)
	require.Equal(t, int(asked.Load())/10, out.Failed)
	require.Less(t, connections.Load(), asked.Load(), "connections are kept")

	// open loop: a server that answers late gets the rate all the same
	const together = 10
	var held sync.WaitGroup
	held.Add(1)
	var waiting atomic.Int64
	slow := serve(t, func(http.ResponseWriter, *http.Request) {
		if waiting.Add(1) == together {
			held.Done()
		}
		held.Wait()
	})
	out, err = Hand{}.Supply(context.Background(), runbook.SupplyInput{URL: slow, Rate: 200, Window: runbook.Duration(300 * time.Millisecond)})
	require.NoError(t, err)
	require.Zero(t, out.Failed)
	require.GreaterOrEqual(t, out.Sent, together)

	var keys sync.Map
	taskServer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err == nil && req.Method == http.MethodPost && string(body) == `{"queue":"probe"}` {
			keys.Store(req.Header.Get("Idempotency-Key"), true)
		}
	}))
	defer taskServer.Close()
	out, err = Hand{}.Supply(context.Background(), runbook.SupplyInput{URL: taskServer.URL, Post: `{"queue":"probe"}`, Rate: 50, Window: runbook.Duration(200 * time.Millisecond)})
	require.NoError(t, err)
	distinct := 0
	keys.Range(func(_, _ any) bool { distinct++; return true })
	require.Equal(t, out.Sent, distinct, "every task has a key of its own")

	e := env(context.Background(), &tally{Requests: 90, Failed: 1, Spent: time.Hour})
	runbook.SupplyTraffic.Bind(e, Hand{}.Supply)
	v, err := e.ExecuteActivity(runbook.SupplyTraffic.Name, runbook.SupplyInput{URL: s.URL, Rate: 10, Window: runbook.Duration(time.Second)})
	require.NoError(t, err)
	require.NoError(t, v.Get(&out))
	require.Equal(t, runbook.Supplied{Sent: 90, Failed: 1}, out, "the window was over when the worker was killed")

	for _, bad := range []runbook.SupplyInput{{URL: s.URL}, {URL: s.URL, Rate: 501, Window: 1}, {URL: "x", Rate: 1, Window: 1}, {URL: s.URL, Rate: 1}} {
		_, err := Hand{}.Supply(context.Background(), bad)
		require.Equal(t, runbook.Refused, runbook.KindOf(err))
	}
	_, err = Hand{}.Watch(context.Background(), runbook.WatchInput{})
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
}

func TestPercentile(t *testing.T) {
	h := histogram{}
	require.Nil(t, h.percentile(0.99))
	for n := range 1000 {
		h.add(time.Duration(n+1) * time.Millisecond)
	}
	require.InEpsilon(t, 990, *h.percentile(0.99), 0.021)
	require.InEpsilon(t, 500, *h.percentile(0.5), 0.021)
	require.Less(t, len(h), 400, "small enough for a heartbeat")
}
