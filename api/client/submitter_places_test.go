package client

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
	"github.com/leanvibe/hive/api/place"
)

// replicas are fakes that keep their drafts together.
type replicas struct {
	t       *testing.T
	ctx     context.Context // ends when the test has taken too long
	base    *store
	owners  []*store
	urls    []string
	submits *Submitter
	sent    int
}

// newReplicas serves some owners and another replica, which a submitter from inside calls.
func newReplicas(t *testing.T, owners int, edit func(*store)) *replicas {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	r := &replicas{t: t, ctx: ctx, base: newStore()}
	edit(r.base)
	for range owners {
		s := newStore()
		edit(s)
		s.shared = r.base
		r.owners, r.urls = append(r.owners, s), append(r.urls, listen(t, s))
	}
	r.submits = serve(t, r.base).NewSubmitter(SubmitterConfig{Log: silent, Inside: true, BatchMost: 20})
	return r
}

// placesAt says that four partitions are at these URLs, in turns; empty: not known where.
func placesAt(urls ...string) *hivev1.Places {
	const partitions = 4
	out := &hivev1.Places{Partitions: partitions}
	for i, url := range urls {
		if url == "" {
			continue
		}
		at := &hivev1.Place{Url: url}
		for n := i; n < partitions; n += len(urls) {
			at.Partitions = append(at.Partitions, uint32(n))
		}
		out.At = append(out.At, at)
	}
	return out
}

// say changes what every replica tells.
func (r *replicas) say(p *hivev1.Places) {
	for _, s := range append([]*store{r.base}, r.owners...) {
		s.mu.Lock()
		s.places = p
		close(s.said)
		s.said = make(chan struct{})
		s.mu.Unlock()
	}
}

const perRound = 40

// round submits drafts of queues in every partition, and answers how many frames came to
// base.
func (r *replicas) round() int {
	r.t.Helper()
	before := r.base.framesSeen()
	failed := make(chan error, perRound)
	for i := range perRound {
		r.sent++
		key := fmt.Sprint(r.sent)
		r.submits.Go(r.ctx, &hivev1.Draft{IdempotencyKey: key, Queue: fmt.Sprint("q", i)}, func(got Receipt, err error) {
			if err == nil && got.TaskID != "task-"+key {
				err = fmt.Errorf("draft %s is answered as %s", key, got.TaskID)
			}
			failed <- err
		})
	}
	for range perRound {
		select {
		case err := <-failed:
			require.NoError(r.t, err)
		case <-r.ctx.Done():
			require.NoError(r.t, r.ctx.Err(), "drafts are not answered")
		}
	}
	return r.base.framesSeen() - before
}

// rounds submits until enough is true of a round.
func (r *replicas) rounds(enough func(atBase int) bool) {
	r.t.Helper()
	for !enough(r.round()) {
		require.NoError(r.t, r.ctx.Err())
	}
}

func none(atBase int) bool { return atBase == 0 }

func (s *store) framesSeen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frames
}

func TestSubmitter_InsideGoesToOwners(t *testing.T) {
	r := newReplicas(t, 2, func(*store) {})
	r.say(placesAt(r.urls...))
	r.rounds(none)
	for _, s := range r.owners {
		require.Positive(t, s.framesSeen())
		require.Equal(t, 1, s.streams)
	}
	// All of it moves to the second one.
	r.say(placesAt(r.urls[1]))
	moved := 0
	r.rounds(func(int) bool {
		before := moved
		moved = r.owners[0].framesSeen()
		return moved == before
	})
	require.Eventually(t, func() bool {
		r.owners[0].mu.Lock()
		defer r.owners[0].mu.Unlock()
		return r.owners[0].live == 0
	}, patience, time.Millisecond, "the stream to who owns nothing any more has ended")
	closed(t, r.submits)
	require.Len(t, r.base.tasks, r.sent)
	for key, times := range r.base.seen {
		require.Equal(t, 1, times, key)
	}
}

// Where nobody is, or somebody who does not answer as a replica does, no draft is sent.
func TestSubmitter_InsideFallsBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := "http://" + l.Addr().String()
	require.NoError(t, l.Close())
	stranger := newStore()
	stranger.mute = true
	r := newReplicas(t, 1, func(*store) {})
	r.say(placesAt(r.urls[0], nobody, "no URL", listen(t, stranger)))
	r.rounds(func(int) bool { return r.owners[0].framesSeen() > 0 })
	require.Positive(t, r.round(), "the others' drafts go by the client's own address")
	r.say(placesAt(r.urls[0]))
	r.rounds(none)
	closed(t, r.submits)
	require.Zero(t, stranger.frames)
	for key, times := range r.base.seen {
		require.Equal(t, 1, times, key)
	}
}

func TestSubmitter_InsideEachKeyOnceThroughBrokenStreams(t *testing.T) {
	r := newReplicas(t, 3, func(s *store) { s.cuts, s.goodbyes, s.busy = 15, 15, 15 })
	plans := []*hivev1.Places{placesAt(r.urls...), placesAt(r.urls[1], ""), placesAt(r.urls[2]), {}, placesAt(r.urls[0], r.urls[2])}
	idle := func(s *store) bool { return s.framesSeen() == 0 }
	for i := 0; i < 40 || slices.ContainsFunc(r.owners, idle); i++ {
		r.say(plans[i%len(plans)])
		r.round()
	}
	closed(t, r.submits)
	require.Len(t, r.base.tasks, r.sent)
	require.Zero(t, r.submits.open)
}

// An owner that is told of does not make the stream to the address that it is the owner at.
func TestSubmitter_InsideAtTheOwnerItself(t *testing.T) {
	server := newStore()
	url := listen(t, server)
	server.places = placesAt(url + "/")
	s := New(url+"/", nil).NewSubmitter(SubmitterConfig{Log: silent, Inside: true})
	for range 3 {
		_, err := s.Submit(t.Context(), &hivev1.Draft{Queue: "q"})
		require.NoError(t, err)
	}
	closed(t, s)
	require.Equal(t, 1, server.streams)
}

func TestSubmitter_SaysThatItIsInsideOnlyWhenToldSo(t *testing.T) {
	for _, inside := range []bool{false, true} {
		server := newStore()
		s := serve(t, server).NewSubmitter(SubmitterConfig{Log: silent, Inside: inside})
		_, err := s.Submit(t.Context(), &hivev1.Draft{Queue: "q"})
		require.NoError(t, err)
		closed(t, s)
		require.Equal(t, inside, server.inside > 0)
	}
}

// A server that does not know what inside means takes the first frame for one without drafts.
func TestSubmitter_InsideOfAnOlderServer(t *testing.T) {
	s := serve(t, older{}).NewSubmitter(SubmitterConfig{Log: silent, Inside: true})
	r, err := s.Submit(t.Context(), &hivev1.Draft{Queue: "q"})
	require.NoError(t, err)
	require.NotEmpty(t, r.TaskID)
	closed(t, s)
}

// older answers a frame without drafts with one outcome.
type older struct{ answering }

func (o older) SubmitStream(ctx context.Context, stream *connect.BidiStream[hivev1.SubmitStreamRequest, hivev1.SubmitStreamResponse]) error {
	m, err := stream.Receive()
	if err != nil {
		return err
	}
	refused := []*hivev1.SubmitOutcome{{Refused: connect.CodeInvalidArgument.String(), Reason: "drafts must be 1 to 500, are 0"}}
	if err := stream.Send(&hivev1.SubmitStreamResponse{Sequence: m.GetSequence(), Outcomes: refused}); err != nil {
		return err
	}
	return o.answering.SubmitStream(ctx, stream)
}

func TestLaneOf(t *testing.T) {
	s := &Submitter{base: &lane{up: true}}
	require.Same(t, s.base, s.laneOf("q"), "nothing is known yet")
	up, down := &lane{up: true}, &lane{}
	s.places = []*lane{up, down, nil}
	for _, queue := range strings.Fields("a b c d e f g h i j") {
		want := s.base
		if place.Of(queue, 3) == 0 {
			want = up
		}
		require.Same(t, want, s.laneOf(queue), queue)
	}
}
