package proxy

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/leanvibe/hive/workflows/runbook"
)

func millisecond(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }

func TestMeasureTraffic(t *testing.T) {
	start := time.Date(2026, 11, 24, 23, 59, 30, 0, time.UTC)
	end := start.Add(time.Minute)
	b := newLogbook(t)
	b.log(
		entry{at: start.Add(-2 * time.Minute), status: 200, took: 9}, // too early to matter
		entry{at: start.Add(-30 * time.Second), status: 200, took: 0.004},
		entry{at: start.Add(1 * time.Second), status: 200, addrs: addressA, took: 0.010},
		entry{at: start.Add(2 * time.Second), status: 200, addrs: addressA + ", " + addressB, statuses: "502, 200", took: 0.020, times: "0.001, 0.018"},
		entry{at: start.Add(3 * time.Second), status: 502, addrs: addressA, took: 1},
		entry{at: start.Add(4 * time.Second), status: 499, addrs: addressA, statuses: "-", took: 7},
		entry{at: start.Add(5 * time.Second), status: 101, uri: "/v1/hub/connect", addrs: addressB, took: 300},
		entry{at: start.Add(6 * time.Second), status: 200, uri: "/v1/tasks/1/wait", addrs: addressB, took: 30},
		entry{at: start.Add(7 * time.Second), status: 204, uri: ourPath + "generation", took: 0},
		entry{at: start.Add(40 * time.Second), status: 404, took: 0.001},
		entry{at: end.Add(10 * time.Second), status: 200, took: 0.006},
	)
	in := runbook.MeasureTrafficInput{ProxyInput: b.input(), Started: start, Finished: end}
	got, err := b.hand.MeasureTraffic(t.Context(), in)
	require.NoError(t, err)
	ms := func(f float64) *float64 { return &f }
	require.Equal(t, runbook.Traffic{
		Source: "nginx", Requests: 7, Failed: 1, LongestGapMS: ms(38_000), P99BeforeMS: ms(4), P99DuringMS: ms(20), P99AfterMS: ms(6),
	}, got)

	in.Started, in.Finished = end.Add(time.Hour), end.Add(2*time.Hour)
	got, err = b.hand.MeasureTraffic(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, runbook.Traffic{Source: "nginx"}, got, "no data is no number")

	in.Finished = start
	_, err = b.hand.MeasureTraffic(t.Context(), in)
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
}

func TestMeasureWindowCountsEachTryWhereItWent(t *testing.T) {
	b := newLogbook(t)
	since := time.Now().Add(-time.Minute)
	at := func(ms int) time.Time { return since.Add(millisecond(ms)) }
	b.log(
		entry{at: at(-2000), status: 500, addrs: addressA}, // before the window
		entry{at: at(100), status: 200, addrs: addressA, took: 0.010},
		entry{at: at(200), status: 200, addrs: addressA + ", " + addressB, statuses: "502, 200", took: 0.030, times: "0.001, 0.029"},
		entry{at: at(300), status: 200, addrs: addressA + ", " + addressB, statuses: "503, 200", took: 0.030, times: "0.001, 0.029"},
		entry{at: at(400), status: 200, addrs: addressB + ", " + addressA, statuses: "503, 200", took: 0.030, times: "0.001, 0.012"},
		entry{at: at(500), status: 504, addrs: addressB, took: 60},
		entry{at: at(600), status: 499, addrs: addressA, statuses: "-", took: 3},
		entry{at: at(700), status: 101, uri: "/v1/hub/connect", addrs: addressA, took: 500},
		entry{at: at(800), status: 200, addrs: "10.231.16.99:8081", took: 7}, // nobody asked about it
		entry{at: at(900), status: 502, addrs: "u", took: 0},                 // no live upstream
		entry{at: at(11_000), status: 500, addrs: addressA},                  // after the window
	)
	in := runbook.MeasureWindowInput{
		ProxyInput: b.input(), Upstream: "u", Address: addressA, Others: []string{addressB}, Since: since,
		Window: runbook.Duration(10 * time.Second), Rolling: runbook.RollingPolicy{MinRequests: 50, MaxErrorRatio: 0.01},
	}
	got, err := b.hand.MeasureWindow(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, runbook.WindowMeasure{
		Address: runbook.WindowCounts{Requests: 6, Failed: 2, P50MS: 10, P99MS: 12},
		Others:  runbook.WindowCounts{Requests: 4, Failed: 1, P50MS: 29, P99MS: 29},
		Took:    runbook.Duration(10 * time.Second),
	}, got)

	in.Window = 0
	_, err = b.hand.MeasureWindow(t.Context(), in)
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
	in.Window, in.Address = runbook.Duration(time.Second), "orchestrator:8081"
	_, err = b.hand.MeasureWindow(t.Context(), in)
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
}

func TestMeasureWindowEndsWhenItIsDecided(t *testing.T) {
	b := newLogbook(t)
	since := time.Now()
	for n := range 50 {
		status := 200
		if n%10 == 9 {
			status = 500
		}
		b.log(entry{at: since.Add(millisecond(n)), status: status, addrs: addressA, took: 0.01})
	}
	got, err := b.hand.MeasureWindow(t.Context(), runbook.MeasureWindowInput{
		ProxyInput: b.input(), Address: addressA, Upstream: "u", Since: since, Window: runbook.Duration(time.Minute),
		Rolling: runbook.RollingPolicy{MinRequests: 50, MaxErrorRatio: 0.01},
	})
	require.NoError(t, err)
	require.Equal(t, 50, got.Address.Requests)
	require.Equal(t, 5, got.Address.Failed)
	require.Less(t, got.Took.D(), time.Minute)
	require.Zero(t, got.Others)
}

func TestDecided(t *testing.T) {
	p := runbook.RollingPolicy{MinRequests: 50, MaxErrorRatio: 0.01}
	for name, c := range map[string]struct {
		requests, failed int
		want             bool
	}{
		"nothing": {0, 0, false}, "too few to tell": {49, 49, false}, "enough": {50, 1, true},
		"good": {1000, 0, false}, "at the ratio": {1000, 10, false}, "over it": {1000, 11, true},
	} {
		require.Equal(t, c.want, (&counts{requests: c.requests, failed: c.failed}).decided(p), name)
	}
	require.False(t, (&counts{}).decided(runbook.RollingPolicy{}), "a policy of zeros decides nothing without a request")
}

func TestAwaitTraffic(t *testing.T) {
	b := newLogbook(t)
	now := time.Now()
	in := runbook.WatchTrafficInput{ProxyInput: b.input(), Upstream: "u", Address: addressA, Since: now, Requests: 2, Deadline: runbook.Duration(patience)}
	b.log(
		entry{at: now.Add(-time.Second), status: 200, addrs: addressA},
		entry{at: now.Add(millisecond(1)), status: 200, addrs: addressA + ", " + addressB, statuses: "502, 200", times: "0.000, 0.001"},
		entry{at: now.Add(millisecond(2)), status: 500, addrs: addressA},
		entry{at: now.Add(millisecond(3)), status: 200, addrs: addressA},
	)
	late := time.AfterFunc(600*time.Millisecond, func() { b.log(entry{at: time.Now(), status: 404, addrs: addressA}) })
	defer late.Stop()
	got, err := b.hand.AwaitTraffic(t.Context(), in)
	require.NoError(t, err)
	require.True(t, got.Met)
	require.Equal(t, 2, got.Requests, "what the address refused or failed is no proof")
	require.Positive(t, got.Took)

	in.Requests, in.Deadline = 3, runbook.Duration(300*time.Millisecond)
	got, err = b.hand.AwaitTraffic(t.Context(), in)
	require.NoError(t, err)
	require.False(t, got.Met, "not met is an answer")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.hand.AwaitTraffic(ctx, in)
	require.ErrorIs(t, err, context.Canceled)
}

func TestAwaitQuiet(t *testing.T) {
	b := newLogbook(t)
	const ago = 10 * time.Minute
	moved := time.Now().Add(-ago)
	in := runbook.WatchTrafficInput{ProxyInput: b.input(), Upstream: "u", Address: addressA, Since: moved, Quiet: runbook.Duration(ago / 2), Deadline: runbook.Duration(patience)}
	b.log(
		entry{at: moved.Add(2 * time.Second), status: 200, addrs: addressA, took: 0.01},
		entry{at: time.Now(), status: 101, addrs: addressA, took: 3600},               // began long ago
		entry{at: time.Now(), status: 200, addrs: addressA, took: ago.Seconds() - 1},  // began a second after the move
		entry{at: time.Now(), status: 200, addrs: addressB, took: 0.001},              // another address
		entry{at: moved.Add(-time.Second), status: 200, addrs: addressA},              // before the move
		entry{at: time.Now(), status: 200, addrs: addressA, took: ago.Seconds() + 60}, // began before the move
		entry{at: moved.Add(2100 * time.Millisecond), status: 200, addrs: ""},         // no upstream
	)
	got, err := b.hand.AwaitQuiet(t.Context(), in)
	require.NoError(t, err)
	require.True(t, got.Met)
	require.Equal(t, 2, got.Requests)
	require.Less(t, got.Took.D(), in.Quiet.D(), "the quiet time had passed already")

	b.log(entry{at: time.Now(), status: 200, addrs: addressA, took: 0.5})
	in.Deadline = runbook.Duration(500 * time.Millisecond)
	got, err = b.hand.AwaitQuiet(t.Context(), in)
	require.NoError(t, err)
	require.False(t, got.Met)

	in.Quiet, in.Deadline = runbook.Duration(2*time.Second), runbook.Duration(patience)
	got, err = b.hand.AwaitQuiet(t.Context(), in)
	require.NoError(t, err)
	require.True(t, got.Met)

	in.Quiet, in.Proxy.Quiet = 0, 0
	_, err = b.hand.AwaitQuiet(t.Context(), in)
	require.Equal(t, runbook.Refused, runbook.KindOf(err))
}

// As an activity: heartbeats, and a time that began when the act was asked for.
func TestAsAnActivity(t *testing.T) {
	b := newLogbook(t)
	env := (&testsuite.WorkflowTestSuite{}).NewTestActivityEnvironment()
	env.RegisterActivity(b.hand.AwaitTraffic)
	b.log(entry{at: time.Now().Add(patience / 2), status: 200, addrs: addressA}) // after the asking, however late that is
	value, err := env.ExecuteActivity(b.hand.AwaitTraffic, runbook.WatchTrafficInput{
		ProxyInput: b.input(), Upstream: "u", Address: addressA, Requests: 1, Deadline: runbook.Duration(patience),
	})
	require.NoError(t, err)
	var got runbook.TrafficSeen
	require.NoError(t, value.Get(&got))
	require.True(t, got.Met)
}
