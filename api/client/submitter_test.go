package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
)

// store is a server that keeps drafts by their keys, and misbehaves as it is told.
type store struct {
	hivev1connect.UnimplementedAssignmentServiceHandler
	// One frame in so many: the stream is cut before or after storing, is ended with a
	// Goodbye, or has a part refused for now; 0 never.
	cuts, goodbyes, busy int
	// hold, when set, keeps answers until it is closed.
	hold chan struct{}
	// shared, when set, is where drafts are kept: another store.
	shared *store

	mu      sync.Mutex
	tasks   map[string]string // key → id
	seen    map[string]int    // key → how often it came
	places  *hivev1.Places    // what who is inside is told
	said    chan struct{}     // closed when that changes
	inside  int               // how often it was told to who is
	mute    bool              // nobody is told anything
	frames  int
	largest int
	streams int
	live    int // of them
}

func newStore() *store {
	return &store{tasks: map[string]string{}, seen: map[string]int{}, said: make(chan struct{})}
}

func (s *store) SubmitStream(
	_ context.Context, stream *connect.BidiStream[hivev1.SubmitStreamRequest, hivev1.SubmitStreamResponse],
) error {
	s.mu.Lock()
	s.streams++
	s.live++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.live--
		s.mu.Unlock()
	}()
	frames := make(chan *hivev1.SubmitStreamRequest, 16)
	go func() {
		defer close(frames)
		for {
			m, err := stream.Receive()
			if err != nil {
				return // the client has no more, or the stream is over
			}
			frames <- m
		}
	}()
	defer func() {
		go func() {
			for range frames { // so that its writer ends
			}
		}()
	}()
	var said chan struct{} // of who is inside
	for {
		var m *hivev1.SubmitStreamRequest
		more := true
		var tell bool
		select {
		case m, more = <-frames:
			tell = m.GetInside()
		case <-said:
			tell = true
		}
		if !more {
			return nil
		}
		if tell && s.mute {
			continue
		}
		if tell {
			var places *hivev1.Places
			places, said = s.tell()
			if err := stream.Send(&hivev1.SubmitStreamResponse{Places: places}); err != nil {
				return err
			}
			continue
		}
		if oneIn(s.cuts) {
			return s.cut()
		}
		owed := []*hivev1.SubmitStreamResponse{s.keep(m)}
		if s.hold != nil {
			<-s.hold
		}
		for range len(frames) {
			if m, ok := <-frames; ok {
				owed = append(owed, s.keep(m))
			}
		}
		if oneIn(s.cuts) {
			return s.cut()
		}
		if oneIn(s.goodbyes) {
			owed[0].Goodbye = &hivev1.Goodbye{Reason: hivev1.Goodbye_REASON_DRAINING}
			return stream.Send(owed[0]) // the others stay unanswered
		}
		rand.Shuffle(len(owed), func(i, j int) { owed[i], owed[j] = owed[j], owed[i] })
		for _, r := range owed {
			if err := stream.Send(r); err != nil {
				return err
			}
		}
	}
}

func (s *store) cut() error {
	if oneIn(2) {
		panic(http.ErrAbortHandler)
	}
	return connect.NewError(connect.CodeUnavailable, errors.New("cut"))
}

// tell answers where partitions are, and what is closed when that changes.
func (s *store) tell() (*hivev1.Places, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inside++
	return s.places, s.said
}

func (s *store) keep(m *hivev1.SubmitStreamRequest) *hivev1.SubmitStreamResponse {
	s.mu.Lock()
	s.frames++
	s.largest = max(s.largest, len(m.GetDrafts()))
	busy := oneIn(s.busy)
	s.mu.Unlock()
	if s.shared != nil {
		s = s.shared
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &hivev1.SubmitStreamResponse{Sequence: m.GetSequence()}
	for _, d := range m.GetDrafts() {
		s.seen[d.GetIdempotencyKey()]++
		id, known := s.tasks[d.GetIdempotencyKey()]
		o := &hivev1.SubmitOutcome{}
		switch {
		case busy && oneIn(2):
			o.Refused, o.Reason = "unavailable", "a bound"
			if oneIn(2) && d.GetQueue() == "q" {
				s.tasks[d.GetIdempotencyKey()] = "task-" + d.GetIdempotencyKey() // stored, yet not known to be
			}
		case d.GetQueue() == "bad":
			o.Refused, o.Reason = "invalid_argument", "queue is bad"
		case d.GetQueue() == "other":
			o.Refused, o.Reason = "already_exists", "another body"
		default:
			if !known {
				id = "task-" + d.GetIdempotencyKey()
				s.tasks[d.GetIdempotencyKey()] = id
			}
			o.TaskId, o.Duplicate = id, known
		}
		r.Outcomes = append(r.Outcomes, o)
	}
	return r
}

func closed(t *testing.T, s *Submitter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, s.Close(ctx))
}

func TestSubmitter_EachKeyOnceThroughBrokenStreams(t *testing.T) {
	server := newStore()
	server.cuts, server.goodbyes, server.busy = 25, 25, 25
	s := serve(t, server).NewSubmitter(SubmitterConfig{MaxInFlight: 600, BatchMost: 20, Log: silent})
	const callers, each = 40, 100
	var wrong atomic.Pointer[string]
	var answered atomic.Int64
	var all sync.WaitGroup
	for c := range callers {
		all.Go(func() {
			for i := range each {
				key := fmt.Sprintf("%d-%d", c, i)
				check := func(r Receipt, err error) {
					answered.Add(1)
					if says := fmt.Sprint(r.TaskID, err); says != "task-"+key+"<nil>" {
						wrong.Store(&says)
					}
				}
				d := &hivev1.Draft{IdempotencyKey: key, Queue: "q"}
				if i%2 == 0 {
					s.Go(t.Context(), d, check)
				} else {
					check(s.Submit(t.Context(), d))
				}
			}
		})
	}
	all.Wait()
	closed(t, s)
	require.Nil(t, wrong.Load())
	require.EqualValues(t, callers*each, answered.Load())
	server.mu.Lock()
	defer server.mu.Unlock()
	require.Len(t, server.tasks, callers*each)
	require.Greater(t, server.streams, 1)
	t.Logf("%d streams, %d frames of at most %d", server.streams, server.frames, server.largest)
}

func TestSubmitter_PutsManyInOneFrame(t *testing.T) {
	server := newStore()
	s := serve(t, server).NewSubmitter(SubmitterConfig{Log: silent, Linger: time.Hour, BatchMost: 100})
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			r, err := s.Submit(t.Context(), &hivev1.Draft{Queue: "q"})
			require.NoError(t, err)
			require.NotEmpty(t, r.TaskID)
		})
	}
	all.Wait()
	require.Equal(t, 1, server.frames)
	closed(t, s)
	require.Len(t, server.tasks, 100, "a draft without a key got one of its own")
}

func TestSubmitter_RefusedForGood(t *testing.T) {
	s := serve(t, newStore()).NewSubmitter(SubmitterConfig{Log: silent})
	for queue, code := range map[string]connect.Code{"bad": connect.CodeInvalidArgument, "other": connect.CodeAlreadyExists} {
		_, err := s.Submit(t.Context(), &hivev1.Draft{Queue: queue})
		var refused *RefusedError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, code, refused.Code)
		require.Equal(t, code, connect.CodeOf(err))
		require.NotEmpty(t, refused.Reason)
	}
	for name, d := range map[string]*hivev1.Draft{
		"large": {Payload: make([]byte, payloadMost+1)}, "not UTF-8": {Queue: "\xff"}, "nor here": {Capabilities: []string{"\xff"}},
	} {
		_, err := s.Submit(t.Context(), d)
		require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), name)
	}
	_, err := s.Submit(t.Context(), &hivev1.Draft{Queue: "q"})
	require.NoError(t, err)
	closed(t, s)
}

func TestSubmitter_StreamRefusedForGood(t *testing.T) {
	s := serve(t, hivev1connect.UnimplementedAssignmentServiceHandler{}).NewSubmitter(SubmitterConfig{Log: silent})
	_, err := s.Submit(t.Context(), &hivev1.Draft{Queue: "q"})
	require.Equal(t, connect.CodeUnimplemented, connect.CodeOf(err))
	closed(t, s)
}

func TestSubmitter_WaitsForRoom(t *testing.T) {
	server := newStore()
	server.hold = make(chan struct{})
	s := serve(t, server).NewSubmitter(SubmitterConfig{Log: silent, MaxInFlight: 2})
	done := make(chan error, 2)
	for range 2 {
		s.Go(t.Context(), &hivev1.Draft{Queue: "q"}, func(_ Receipt, err error) { done <- err })
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Submit(ended, &hivev1.Draft{IdempotencyKey: "third", Queue: "q"})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "was not sent: 2 others are unanswered")
	close(server.hold)
	require.NoError(t, <-done)
	require.NoError(t, <-done)
	_, err = s.Submit(t.Context(), &hivev1.Draft{Queue: "q"})
	require.NoError(t, err)
	closed(t, s)
	require.NotContains(t, server.tasks, "third")
}

func TestSubmitter_CloseAnswersAll(t *testing.T) {
	server := newStore()
	server.hold = make(chan struct{})
	s := serve(t, server).NewSubmitter(SubmitterConfig{Log: silent})
	done := make(chan error, 1)
	s.Go(t.Context(), &hivev1.Draft{Queue: "q"}, func(_ Receipt, err error) { done <- err })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, s.Close(ctx), context.Canceled)
	require.ErrorIs(t, <-done, ErrSubmitterClosed)
	_, err := s.Submit(t.Context(), &hivev1.Draft{Queue: "q"})
	require.ErrorIs(t, err, ErrSubmitterClosed)
	require.NoError(t, s.Close(t.Context()), "repeating it changes nothing")
	close(server.hold)
}

func TestSubmitter_CloseWithoutDrafts(t *testing.T) {
	s := serve(t, newStore()).NewSubmitter(SubmitterConfig{})
	closed(t, s)
}

func TestSubmitter_SaysWhoItIs(t *testing.T) {
	heard := make(chan string, 1)
	s := serve(t, tokens{heard: heard}, WithToken("secret")).NewSubmitter(SubmitterConfig{Log: silent})
	_, err := s.Submit(t.Context(), &hivev1.Draft{Queue: "q"})
	require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err))
	require.Equal(t, "Bearer secret application/grpc", <-heard)
	closed(t, s)
}

// tokens tells who came, and lets nobody in.
type tokens struct {
	hivev1connect.UnimplementedAssignmentServiceHandler
	heard chan string
}

func (s tokens) SubmitStream(
	_ context.Context, stream *connect.BidiStream[hivev1.SubmitStreamRequest, hivev1.SubmitStreamResponse],
) error {
	s.heard <- stream.RequestHeader().Get("Authorization") + " " + stream.RequestHeader().Get("Content-Type")
	return connect.NewError(connect.CodePermissionDenied, errors.New("not you"))
}

// BenchmarkSubmitter stores small drafts, as many as may be in flight at once.
func BenchmarkSubmitter(b *testing.B) {
	s := serve(b, &answering{}).NewSubmitter(SubmitterConfig{Log: silent})
	payload := make([]byte, 64)
	b.ReportAllocs()
	done := func(_ Receipt, err error) {
		if err != nil {
			b.Error(err)
		}
	}
	for b.Loop() {
		s.Go(b.Context(), &hivev1.Draft{IdempotencyKey: "k", Queue: "q", Handler: "h", Payload: payload}, done)
	}
	require.NoError(b, s.Close(context.Background()))
}

// answering answers each frame with the same outcomes.
type answering struct {
	hivev1connect.UnimplementedAssignmentServiceHandler
}

func (answering) SubmitStream(
	_ context.Context, stream *connect.BidiStream[hivev1.SubmitStreamRequest, hivev1.SubmitStreamResponse],
) error {
	outcome := &hivev1.SubmitOutcome{TaskId: "0197a3c4-0000-7000-8000-000000000000"}
	r := &hivev1.SubmitStreamResponse{}
	for {
		m, err := stream.Receive()
		if err != nil {
			return nil //nolint:nilerr // the client has no more
		}
		r.Sequence, r.Outcomes = m.GetSequence(), r.Outcomes[:0]
		for range m.GetDrafts() {
			r.Outcomes = append(r.Outcomes, outcome)
		}
		if err := stream.Send(r); err != nil {
			return err
		}
	}
}
