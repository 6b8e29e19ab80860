package hub

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/leanvibe/hive/api/frame"
)

// Config says who the client is.
type Config struct {
	// URL of the hub or the proxy before it, for example http://127.0.0.1:8082.
	URL string
	// Agent whose inbox is read, and who the sender is.
	Agent string
	// Topics to read beside the inbox, for example topic:news.
	Topics []string
	// Handle gets messages in the order of each mailbox; nil acknowledges all of
	// them and those before, an error ends Run. Without Handle nothing is read.
	Handle func(context.Context, []Message) error
	// Window is how many messages may wait to be stored; default 4096.
	Window int
	// Token is sent with every connection: one of role agent, that may speak for
	// Agent (docs/access.md). Empty sends none.
	Token string
	// HTTP dials; default: a transport of its own.
	HTTP *http.Client
	// Log is told of lost connections; default: slog's.
	Log *slog.Logger
}

// Message is one message that came.
type Message struct {
	// Address is the agent's own or a topic's.
	Address, From string
	// ID is the sender's word for it, or PRODUCER.NUMBER; a repeat has the same.
	ID     string
	Cursor frame.Cursor
	SentAt time.Time
	Body   []byte
}

// Bounds, as the hub has them.
const (
	bodyMax       = 64 << 10
	windowDefault = 4096
)

// ErrClosed is what becomes of messages that were not confirmed when Run ended: they may be stored.
var ErrClosed = errors.New("the client has ended")

// ErrReplaced ends Run: another process has connected as this agent.
var ErrReplaced = errors.New("another process has connected with this agent's id")

// Client is one agent's place at the hub.
type Client struct {
	cfg    Config
	name   string
	window *semaphore.Weighted
	signal chan struct{}
	inbox  chan []Message

	mu      sync.Mutex
	closed  bool
	lanes   map[string]*lane
	dirty   []*lane
	acks    map[string]frame.Cursor
	cursors map[string]frame.Cursor // of what has come, by address
	renamed int
	scratch []byte      // the writer's
	names   frame.Names // the reader's
	gather
}

// New checks the configuration; nothing happens before Run.
func New(cfg Config) (*Client, error) {
	if !frame.ValidAgent(cfg.Agent) {
		return nil, fmt.Errorf("agent %q: want 1 to 128 of letters, digits, '.', '_', '-', for example worker-1", cfg.Agent)
	}
	for _, t := range cfg.Topics {
		if !frame.ValidTopic(t) {
			return nil, fmt.Errorf("topic %q: want 'topic:' and a name, for example topic:news", t)
		}
	}
	if cfg.Window <= 0 {
		cfg.Window = windowDefault
	}
	if cfg.HTTP == nil {
		// A shared transport would hand its pool of connections between clients.
		cfg.HTTP = &http.Client{Transport: &http.Transport{}}
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	var name [8]byte
	_, _ = rand.Read(name[:]) // never fails
	c := &Client{
		cfg: cfg, name: hex.EncodeToString(name[:]), window: semaphore.NewWeighted(int64(cfg.Window)),
		signal: make(chan struct{}, 1), inbox: make(chan []Message, 64),
		lanes: map[string]*lane{}, acks: map[string]frame.Cursor{}, cursors: map[string]frame.Cursor{},
	}
	c.gather.over = time.AfterFunc(gatherMax, c.gathered)
	return c, nil
}

// Send stores a message and waits until the hub says so.
func (c *Client) Send(ctx context.Context, to, id string, body []byte) error {
	done := make(chan error, 1)
	if err := c.Queue(ctx, to, id, body, func(err error) { done <- err }); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Queue hands a message over and waits only for room in the window; done is
// called once it is stored, or never will be by this client. The body must not be
// changed before that; done must not block.
func (c *Client) Queue(ctx context.Context, to, id string, body []byte, done func(error)) error {
	switch {
	case !frame.ValidAgent(to) && !frame.ValidTopic(to):
		return fmt.Errorf("to %q: want an agent's id or topic:NAME, for example worker-1", to)
	case !frame.ValidID(id):
		return fmt.Errorf("id %.40q: want at most 200 printable ASCII characters without blanks, for example order-17", id)
	case len(body) > bodyMax:
		return fmt.Errorf("body of %d bytes: want at most %d", len(body), bodyMax)
	}
	// Where there is room it is taken whatever ctx is: one that has ended means not to wait.
	if !c.window.TryAcquire(1) {
		if err := c.window.Acquire(ctx, 1); err != nil {
			return err
		}
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		c.window.Release(1)
		return ErrClosed
	}
	l := c.lanes[to]
	if l == nil {
		l = &lane{address: to, producer: c.name}
		c.lanes[to] = l
	}
	l.pending = append(l.pending, queued{id, body, done})
	c.mark(l)
	c.mu.Unlock()
	return nil
}

// mark puts a lane in line for the writer; the caller holds the lock.
func (c *Client) mark(l *lane) {
	if !l.dirty {
		l.dirty = true
		c.dirty = append(c.dirty, l)
	}
	if !c.holding {
		c.wake()
	}
}

func (c *Client) wake() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// settle tells what became of messages.
func (c *Client) settle(list []queued, err error) {
	for i := range list {
		list[i].done(err)
	}
	c.window.Release(int64(len(list)))
}

// end fails what is left.
func (c *Client) end() {
	c.mu.Lock()
	c.closed = true
	lanes := c.lanes
	c.lanes = map[string]*lane{}
	c.mu.Unlock()
	for _, l := range lanes {
		c.settle(l.pending, ErrClosed)
	}
}
