package main

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func result(name string, part Part, throughput, p99 float64) *Result {
	delay := func(rate float64) Delay { return Delay{rate, Figure{Value: p99 / 2}, Figure{Value: p99}} }
	return &Result{
		Spec: Spec{Name: name, Room: Tasks, Part: part}, Durability: EverySec,
		Throughput: Figure{Value: throughput}, Delays: []Delay{delay(fixedRate), delay(4000)},
	}
}

func row(t *testing.T, list []Row, name string) Row {
	t.Helper()
	for _, r := range list {
		if r.Name == name {
			return r
		}
	}
	require.Fail(t, "no row "+name)
	return Row{}
}

func TestOursIsHeldAgainstTheBestPeer(t *testing.T) {
	all := []*Result{
		result("streams", Rival, 200e3, 1.5), result("jetstream", Rival, 100e3, 1.25),
		result("xadd", Ceiling, 700e3, 0.5), result("orchestrator", Ours, 210e3, 1),
	}
	list := rows(all)
	r := row(t, list, "tasks/everysec/orchestrator/throughput")
	require.Equal(t, "streams", r.Peer, "the ceiling is no peer")
	require.InDelta(t, 240e3, *r.Bar, 1)
	require.InDelta(t, 1.05, *r.Ratio, 1e-9)
	require.False(t, *r.Met, "faster than streams, but not by the bar")

	r = row(t, list, "tasks/everysec/orchestrator/start p99 at 2000/s")
	require.Equal(t, "jetstream", r.Peer)
	require.InDelta(t, 0.8, *r.Ratio, 1e-9)
	require.True(t, *r.Met)
	require.Nil(t, row(t, list, "tasks/everysec/orchestrator/start p50 at 2000/s").Bar)
	require.Nil(t, row(t, list, "tasks/everysec/streams/throughput").Met)
}

func TestHubHasBarsOfItsOwn(t *testing.T) {
	hub, peer := result("hub", Ours, 80e3, 25), result("nats-websocket", Rival, 50e3, 5)
	hub.Spec.Room, peer.Spec.Room = Messages, Messages
	list := rows([]*Result{hub, peer})
	r := row(t, list, "messages/everysec/hub/throughput")
	require.InDelta(t, 90e3, *r.Bar, 0)
	require.InDelta(t, 1.6, *r.Ratio, 1e-9)
	require.False(t, *r.Met, "faster than the peer, but below the bar")

	r = row(t, list, "messages/everysec/hub/start p99 at half its own")
	require.True(t, *r.Met)
	require.Nil(t, r.Ratio, "the two are at different rates")
	require.Nil(t, row(t, list, "messages/everysec/hub/start p99 at 2000/s").Bar)
}

func TestNoDataIsNeverANumberNorMet(t *testing.T) {
	ours := result("orchestrator", Ours, 0, 0)
	ours.Throughput = Figure{NoData: errors.New("task 3 was never acknowledged")}
	broken := result("jetstream", Rival, 0, 0)
	broken.Throughput = Figure{NoData: errors.New("task 9 was acknowledged 2 times")}
	list := rows([]*Result{result("streams", Rival, 200e3, 1.5), broken, ours})
	r := row(t, list, "tasks/everysec/orchestrator/throughput")
	require.Nil(t, r.Value)
	require.Nil(t, r.Ratio)
	require.False(t, *r.Met)
	require.Equal(t, "streams", r.Peer)
	require.Equal(t, "task 3 was never acknowledged", r.Note)
	var out bytes.Buffer
	require.NoError(t, printTable(&out, list))
	require.Contains(t, out.String(), "no data")
}

func TestSecondRateIsHalfOfTheSlowestButRiver(t *testing.T) {
	river := result("river", Rival, 1e3, 1)
	river.Spec.Slow = true
	ours, ceiling := result("orchestrator", Ours, 500, 1), result("xadd", Ceiling, 900, 1)
	all := []*Result{result("streams", Rival, 200e3, 1), result("asynq", Rival, 8e3, 1), river, ours, ceiling}
	require.InDelta(t, 4e3, secondRate(ours, all), 0)
	hub := &Result{Spec: Spec{Room: Messages}, Throughput: Figure{Value: 90e3}}
	require.InDelta(t, 45e3, secondRate(hub, all), 0)
}

func TestPercentilesAndMedian(t *testing.T) {
	l := &latencies{}
	for i := range 100 {
		l.add(time.Duration(100-i) * time.Millisecond)
	}
	require.InDelta(t, 51, l.percentile(0.50), 0)
	require.InDelta(t, 100, l.percentile(0.99), 0)
	require.InDelta(t, 2.5, median([]float64{4, 1, 3, 2}), 0)
	require.InDelta(t, 3, median([]float64{9, 1, 3}), 0)
}
