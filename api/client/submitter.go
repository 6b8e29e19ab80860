package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// ErrSubmitterClosed is the answer to drafts that were still unanswered when Close's
// time was over, which may or may not be stored, and to those that came after Close.
var ErrSubmitterClosed = errors.New("the submitter is closed; NewSubmitter opens another")

// draftsMost is what the server takes in a frame.
const draftsMost = 500

// payloadMost is what the server takes as a draft's payload or an execution's result, in bytes.
const payloadMost = 256 << 10

// frameBytes is about where a frame is full; one draft or result may be larger.
const frameBytes = 1 << 20

// SubmitterConfig describes a submitter; its zero value is a good one.
type SubmitterConfig struct {
	// MaxInFlight is how many drafts may be unanswered; Submit and Go wait for room. 0 means 16384.
	MaxInFlight int
	// BatchMost is how many drafts go in one frame, at most 500, which 0 means.
	BatchMost int
	// Linger is how long a draft waits for others to go with; 0 means 1 ms, less than 0 not at all.
	Linger time.Duration
	// Inside says that this client is on the replicas' own network. Then the replicas tell
	// it where each partition is served, and drafts go straight to the owner of their
	// queue's, on a stream for each owner; what cannot go there goes to the client's own
	// address, as everything does otherwise. The token goes to the addresses that are told.
	Inside bool
	Log    *slog.Logger
}

func (cfg SubmitterConfig) withDefaults() SubmitterConfig {
	if cfg.MaxInFlight <= 0 {
		cfg.MaxInFlight = 16384
	}
	if cfg.BatchMost <= 0 || cfg.BatchMost > draftsMost {
		cfg.BatchMost = draftsMost
	}
	if cfg.Linger == 0 {
		cfg.Linger = time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return cfg
}

// Receipt says that a task is durable.
type Receipt struct {
	TaskID string
	// Duplicate: the key was submitted before with the same body; possibly by this
	// very draft, sent before on a stream that broke.
	Duplicate bool
}

// RefusedError is a draft that was refused for good: sending it again changes nothing.
// connect.CodeOf answers its code too.
type RefusedError struct {
	// Code is CodeInvalidArgument, CodeAlreadyExists, or what the server said else.
	Code   connect.Code
	Reason string
}

// Error says the code and the reason.
func (e *RefusedError) Error() string { return fmt.Sprintf("refused: %s: %s", e.Code, e.Reason) }

// Unwrap answers it as an error of a call.
func (e *RefusedError) Unwrap() error { return connect.NewError(e.Code, errors.New(e.Reason)) }

// refusedAs is an outcome's refusal as an error.
func refusedAs(code, reason string) *RefusedError {
	e := &RefusedError{Reason: reason}
	if e.Code.UnmarshalText([]byte(code)) != nil {
		e.Code, e.Reason = connect.CodeUnknown, code+": "+reason
	}
	return e
}

// mayPass tells whether a refusal of one part of a frame is one that passes.
func mayPass(refused string) bool { return refused == connect.CodeUnavailable.String() }

// pending is a draft that is not answered.
type pending struct {
	draft *hivev1.Draft
	done  func(Receipt, error)
}

// Submitter stores drafts of many goroutines over one stream, or from inside over one to
// each owner: it puts them together in frames and has several frames on their way. What a
// broken stream leaves unanswered is sent again with the same keys, so that each draft is
// stored exactly once.
type Submitter struct {
	cfg   SubmitterConfig
	rpc   *Client
	room  chan struct{} // holds one per unanswered draft
	begin func(*lane)   // runs the lane of an owner
	cut   context.CancelFunc
	run   sync.WaitGroup
	base  *lane

	mu      sync.Mutex
	owners  map[string]*lane // by URL
	places  []*lane          // of each partition's owner; nil: base
	open    int              // unanswered: waiting or on their way
	closed  bool
	drained chan struct{} // closed when closed and open is 0
}

// NewSubmitter opens a submitter; Close ends it. Its stream opens with the first draft.
func (c *Client) NewSubmitter(cfg SubmitterConfig) *Submitter {
	cfg = cfg.withDefaults()
	ctx, cut := context.WithCancel(context.Background())
	s := &Submitter{cfg: cfg, rpc: c, room: make(chan struct{}, cfg.MaxInFlight), cut: cut, drained: make(chan struct{})}
	s.base = newLane(s, "", c.streams)
	s.base.up = true
	s.begin = func(l *lane) { s.run.Go(func() { l.serve(ctx) }) }
	s.run.Go(func() { s.base.streams(ctx) })
	return s
}

// answer is what Submit waits for.
type answer struct {
	receipt Receipt
	err     error
}

// Submit stores a task and answers when it is durable: a *RefusedError when the server
// refuses it for good, ErrSubmitterClosed, or ctx's error. After the latter two the task may
// be stored or not, unless it says that the draft was not sent; the same key tells. The
// draft must not be changed any more.
func (s *Submitter) Submit(ctx context.Context, d *hivev1.Draft) (Receipt, error) {
	answered := make(chan answer, 1)
	s.Go(ctx, d, func(r Receipt, err error) { answered <- answer{r, err} })
	select {
	case a := <-answered:
		return a.receipt, a.err
	case <-ctx.Done():
	}
	select {
	case a := <-answered:
		return a.receipt, a.err
	default:
		return Receipt{}, fmt.Errorf("draft %s is not answered yet, it may be stored: %w", d.GetIdempotencyKey(), context.Cause(ctx))
	}
}

// Go hands a draft over and calls done exactly once with what Submit would answer. It
// blocks while MaxInFlight drafts are unanswered, for as long as ctx lets it; ctx says
// nothing to the draft after that. done must not block, nor call Go: other answers wait behind it.
// The draft must not be changed any more; without an idempotency key it gets one.
func (s *Submitter) Go(ctx context.Context, d *hivev1.Draft, done func(Receipt, error)) {
	if flaw := unsendable(d); flaw != "" {
		done(Receipt{}, &RefusedError{Code: connect.CodeInvalidArgument, Reason: flaw})
		return
	}
	if d.GetIdempotencyKey() == "" {
		d.IdempotencyKey = uuid.NewString()
	}
	select {
	case s.room <- struct{}{}:
	default:
		select {
		case s.room <- struct{}{}:
		case <-ctx.Done():
			done(Receipt{}, fmt.Errorf("draft %s was not sent: %d others are unanswered: %w",
				d.GetIdempotencyKey(), s.cfg.MaxInFlight, context.Cause(ctx)))
			return
		}
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		<-s.room
		done(Receipt{}, fmt.Errorf("draft %s was not sent: %w", d.GetIdempotencyKey(), ErrSubmitterClosed))
		return
	}
	l := s.laneOf(d.GetQueue())
	l.waiting = append(l.waiting, pending{d, done})
	s.open++
	// The writer sleeps until the first, and lingers until a frame is full.
	n := len(l.waiting) - l.head
	call := n == 1 || n == s.cfg.BatchMost
	s.mu.Unlock()
	if call {
		l.rouse()
	}
}

// unsendable says what in a draft would break the stream that others share, instead of
// being refused by the server: then it would be sent again for ever.
func unsendable(d *hivev1.Draft) string {
	if n := len(d.GetPayload()); n > payloadMost {
		return fmt.Sprintf("payload has %d bytes, at most %d are accepted", n, payloadMost)
	}
	if !utf8.ValidString(d.GetIdempotencyKey()) || !utf8.ValidString(d.GetQueue()) || !utf8.ValidString(d.GetHandler()) ||
		!allUTF8(d.GetCapabilities()) {
		return "idempotency_key, queue, handler and capabilities must be UTF-8"
	}
	return ""
}

func allUTF8(list []string) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !utf8.ValidString(s) })
}

// Close takes no more drafts and waits until those before it are answered, or until ctx
// ends: then it answers the rest with ErrSubmitterClosed and returns ctx's error. Safe
// to repeat.
func (s *Submitter) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		if s.open == 0 {
			close(s.drained)
		}
	}
	s.rouseAll()
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.run.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		s.cut()
		<-ended
	}
	s.cut()
	// What owners had not answered has gone back to base.
	if left := s.base.abandon(fmt.Errorf("the draft may be stored or not: %w", ErrSubmitterClosed)); left > 0 {
		return fmt.Errorf("%d drafts are unanswered: %w", left, context.Cause(ctx))
	}
	return nil
}

// settle answers drafts for good and makes room for others.
func (s *Submitter) settle(list []pending, with func(i int) answer) {
	for i, p := range list {
		a := with(i)
		<-s.room
		p.done(a.receipt, a.err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open -= len(list)
	if s.closed && s.open == 0 && len(list) > 0 {
		close(s.drained)
	}
}
