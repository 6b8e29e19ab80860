package messaging

import (
	"context"
	"log/slog"
	"testing"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/frame"
	"github.com/leanvibe/hive/workers/process/rediscluster"
)

// deafSession is a session without a socket and with a Redis that is closed: it
// takes frames in and queues what it would answer.
func deafSession(f *testing.F, sp speech) *session {
	f.Helper()
	client := rediscluster.New([]string{"127.0.0.1:1"}, "")
	require.NoError(f, client.Close())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	count := func(string) {}
	st := &store{redis: client}
	h := &hub{
		store: st, feeds: newFeeds(st, count), metrics: newMetrics(prometheus.NewRegistry()),
		log: slog.New(slog.DiscardHandler), countError: count, sessions: map[string]map[*session]struct{}{},
		commits: newCommitter(ctx, st),
	}
	h.commits.count, h.commits.gauge = count, func(float64) {}
	s := &session{
		hub: h, agent: "a", speech: sp, feeds: map[string]*feed{},
		out: outbox{signal: make(chan struct{}, 1), wakes: &h.commits.wakes},
	}
	s.ended, s.ending = context.WithCancelCause(context.Background())
	s.flight.room = make(chan struct{}, 1)
	return s
}

// FuzzHearBatch: any binary frame is taken in or answered.
func FuzzHearBatch(f *testing.F) {
	one := frame.AppendMessage(nil, "id", []byte("1"))
	for _, it := range []frame.Item{
		{Op: frame.OpSend, Address: "b", Producer: "p", Seq: 1, Count: 1, Body: one},
		{Op: frame.OpAck, Address: "a", Cursor: frame.Cursor{MS: 5, N: 5}},
		{Op: frame.OpSubscribe, Address: "topic:t"},
		{Op: frame.OpUnsubscribe, Address: "topic:t"},
		{Op: frame.OpPing, Message: "p"},
	} {
		f.Add(frame.AppendItem(nil, &it))
	}
	s := deafSession(f, &batchSpeech{})
	f.Fuzz(func(t *testing.T, raw []byte) { hearOne(t, s, websocket.MessageBinary, raw) })
}

// FuzzHearJSON: any text frame is taken in or answered.
func FuzzHearJSON(f *testing.F) {
	for _, raw := range []string{
		`{"type":"send","id":"1","to":"b","body":{"x":1}}`, `{"type":"ack","cursor":"1-1"}`, `{"type":"ack","topic":"topic:t","cursor":"1-1"}`,
		`{"type":"subscribe","topic":"topic:t","cursor":"1-1"}`, `{"type":"unsubscribe","topic":"topic:t"}`, `{"type":"ping","id":"p"}`, `{`,
	} {
		f.Add([]byte(raw))
	}
	s := deafSession(f, jsonSpeech{})
	f.Fuzz(func(t *testing.T, raw []byte) { hearOne(t, s, websocket.MessageText, raw) })
}

// hearOne lets a session take a frame in and drops what it would answer.
func hearOne(t *testing.T, s *session, kind websocket.MessageType, raw []byte) {
	t.Helper()
	s.speech.hear(t.Context(), s, kind, raw)
	queue, _ := s.waiting(nil)
	for i := range queue {
		require.Nil(t, queue[i].entry)
	}
	require.LessOrEqual(t, len(queue), answersMax)
	if s.ended.Err() != nil {
		require.ErrorIs(t, context.Cause(s.ended), endSlow)
	}
}

// FuzzEntry: what lies in Redis is read to its end, or refused; it never brings the hub down.
func FuzzEntry(f *testing.F) {
	two := frame.AppendMessage(frame.AppendMessage(nil, "a", []byte("1")), "", []byte{0xff})
	f.Add(frame.AppendRecord(nil, &frame.Record{From: "a", Producer: "p", Seq: 3, AtMicros: 5, Count: 2, Messages: two}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := newEntry(frame.Cursor{MS: 1, N: 1 << 40}, raw)
		if err != nil {
			require.ErrorIs(t, err, frame.ErrMalformed)
			return
		}
		frames, err := deliveries(&outgoing{entry: e, address: "a"})
		if err != nil {
			require.ErrorIs(t, err, frame.ErrMalformed)
			return
		}
		require.Len(t, frames, int(e.count))
	})
}
