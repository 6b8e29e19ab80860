package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/leanvibe/hive/api/frame"
)

const (
	dialMax  = 5 * time.Second
	writeMax = 10 * time.Second
	// silenceMax is how long the hub may be silent: the client pings in between.
	silenceMax = 30 * time.Second
	pingEvery  = 10 * time.Second
	pauseFirst = 10 * time.Millisecond
	pauseMost  = time.Second
	// ackPause lets acknowledgements gather, or go along with a message.
	ackPause = 10 * time.Millisecond
)

// errFinal marks what no second try mends.
var errFinal = errors.New("final")

// Run keeps the connection until ctx ends; then it returns nil.
func (c *Client) Run(ctx context.Context) error {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var handler sync.WaitGroup
	handler.Go(func() { stop(c.handle(running)) })
	defer c.end()
	defer handler.Wait()
	pause := pauseFirst
	for {
		greeted, err := c.connection(running)
		if running.Err() != nil {
			if cause := context.Cause(running); ctx.Err() == nil && !errors.Is(cause, context.Canceled) {
				return cause
			}
			return nil
		}
		if errors.Is(err, errFinal) {
			stop(nil)
			return err
		}
		if greeted {
			pause = pauseFirst
		}
		c.cfg.Log.Info("hub connection ended, connecting again", "agent", c.cfg.Agent, "cause", err)
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-running.Done():
		case <-timer.C:
		}
		timer.Stop()
		pause = min(2*pause, pauseMost)
	}
}

// handle gives what has come to Handle and acknowledges it.
func (c *Client) handle(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case messages := <-c.inbox:
			if err := c.cfg.Handle(ctx, messages); err != nil {
				return fmt.Errorf("handle: %w", err)
			}
			last := messages[len(messages)-1]
			c.mu.Lock()
			if len(c.acks) == 0 { // else one is waiting
				time.AfterFunc(ackPause, c.ripe)
			}
			c.acks[last.Address] = last.Cursor
			c.mu.Unlock()
		}
	}
}

// connection is one WebSocket from its beginning to its end.
func (c *Client) connection(ctx context.Context) (greeted bool, err error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.CloseNow() }() // it may be closed already
	c.rewind()
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var writer sync.WaitGroup
	defer writer.Wait()
	writing, stop := context.WithCancel(ctx)
	defer stop()
	writer.Go(func() {
		defer cancel()
		if c.write(writing, conn) != nil {
			_ = conn.CloseNow() // ends the reader
			return
		}
		// Asked to end: the close waits for the hub's, which the reader takes.
		_ = conn.Close(websocket.StatusNormalClosure, "")
	})
	greeted, err = c.read(reading, conn)
	if websocket.CloseStatus(err) == frame.CloseReplaced {
		err = fmt.Errorf("%w: %w", errFinal, ErrReplaced)
	}
	return greeted, err
}

func (c *Client) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialMax)
	defer cancel()
	target := "ws" + strings.TrimPrefix(c.cfg.URL, "http") + "/v1/hub/connect?agent=" + url.QueryEscape(c.cfg.Agent)
	c.mu.Lock()
	if at, ok := c.cursors[c.cfg.Agent]; ok {
		target += "&cursor=" + at.String()
	}
	c.mu.Unlock()
	header := http.Header{}
	if c.cfg.Token != "" {
		header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	conn, resp, err := websocket.Dial(ctx, target, &websocket.DialOptions{
		HTTPClient: c.cfg.HTTP, HTTPHeader: header, Subprotocols: []string{frame.Subprotocol}, CompressionMode: websocket.CompressionDisabled,
	})
	if resp != nil && resp.Body != nil {
		defer resp.Body.Close()
	}
	if err != nil {
		if resp != nil && resp.StatusCode == http.StatusConflict {
			c.forget(c.cfg.Agent)
			return nil, err
		}
		if resp != nil && resp.StatusCode >= 400 && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
			return nil, fmt.Errorf("%w: the hub refuses the connection: %w", errFinal, err)
		}
		return nil, err
	}
	if conn.Subprotocol() != frame.Subprotocol {
		_ = conn.CloseNow()
		return nil, fmt.Errorf("%w: %s does not speak %s", errFinal, c.cfg.URL, frame.Subprotocol)
	}
	conn.SetReadLimit(-1) // an entry of the hub is bounded there
	return conn, nil
}

// forget drops a cursor that the hub does not know: Redis has lost what stood
// there. What is not acknowledged comes again.
func (c *Client) forget(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.cursors, address)
}

// write sends what there is until ctx ends (nil) or the connection does.
func (c *Client) write(ctx context.Context, conn *websocket.Conn) error {
	// A context with an end would cost each write more than the frame does.
	late := time.AfterFunc(writeMax, func() { _ = conn.CloseNow() })
	defer late.Stop()
	send := func(b []byte) error {
		late.Reset(writeMax)
		defer late.Stop()
		return conn.Write(context.Background(), websocket.MessageBinary, b)
	}
	late.Stop()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	buf := c.subscriptions(nil)
	for {
		if len(buf) > 0 {
			if err := send(buf); err != nil {
				return err
			}
		}
		if buf = c.batch(buf[:0]); len(buf) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			if buf = c.acknowledgements(buf); len(buf) > 0 {
				return send(buf)
			}
			return nil
		case <-ping.C:
			buf = frame.AppendItem(buf, &frame.Item{Op: frame.OpPing})
		case <-c.signal:
			// Who has queued one message may be about to queue more: they share the frame.
			runtime.Gosched()
		}
	}
}

func (c *Client) acknowledgements(buf []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for address, cursor := range c.acks {
		buf = frame.AppendItem(buf, &frame.Item{Op: frame.OpAck, Address: address, Cursor: cursor})
	}
	clear(c.acks)
	c.due = false
	return buf
}

func (c *Client) subscriptions(buf []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, topic := range c.cfg.Topics {
		buf = frame.AppendItem(buf, &frame.Item{Op: frame.OpSubscribe, Address: topic, Cursor: c.cursors[topic]})
	}
	return buf
}

// read takes frames until the connection ends.
func (c *Client) read(ctx context.Context, conn *websocket.Conn) (greeted bool, err error) {
	silence := time.AfterFunc(silenceMax, func() { _ = conn.CloseNow() })
	defer silence.Stop()
	for {
		// Who wants it to end closes the connection.
		_, r, err := conn.Reader(context.Background())
		if err != nil {
			return greeted, err
		}
		silence.Reset(silenceMax)
		hello, err := c.hear(ctx, r)
		greeted = greeted || hello
		if err != nil {
			return greeted, err
		}
	}
}

// inputs are for frames on their way in: a connection holds one only while a frame is there.
var inputs = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// hear takes one frame.
func (c *Client) hear(ctx context.Context, r io.Reader) (greeted bool, err error) {
	in := inputs.Get().(*bytes.Buffer)
	defer inputs.Put(in)
	in.Reset()
	if _, err := in.ReadFrom(r); err != nil {
		return false, err
	}
	for raw := in.Bytes(); len(raw) > 0; {
		it, rest, err := c.names.NextItem(raw)
		if err != nil {
			return greeted, err
		}
		raw = rest
		if err := c.take(ctx, &it); err != nil {
			return greeted, err
		}
		greeted = greeted || it.Op == frame.OpHello
	}
	return greeted, nil
}

func (c *Client) take(ctx context.Context, it *frame.Item) error {
	switch it.Op {
	case frame.OpHello, frame.OpSubscribed:
		c.mu.Lock()
		address := it.Address
		if _, known := c.cursors[address]; !known {
			c.cursors[address] = it.Cursor
		}
		c.mu.Unlock()
	case frame.OpSent:
		c.stored(it)
	case frame.OpRefused:
		c.refused(it)
	case frame.OpError:
		if it.Code == "cursor_ahead" {
			c.forget(it.Address)
		} else if it.Code == "too_many_topics" || slices.Contains(hopeless, it.Code) {
			return fmt.Errorf("%w: %s: %s", errFinal, it.Code, it.Message)
		}
		return fmt.Errorf("%s: %s", it.Code, it.Message)
	case frame.OpDeliver:
		return c.deliver(ctx, it)
	}
	return nil
}

// deliver hands an entry's messages on, without those that have come before.
func (c *Client) deliver(ctx context.Context, it *frame.Item) error {
	if c.cfg.Handle == nil {
		return nil
	}
	c.mu.Lock()
	after := c.cursors[it.Address]
	c.mu.Unlock()
	it.Body = bytes.Clone(it.Body) // the messages keep it
	messages, err := c.unpack(it, after)
	if err != nil || len(messages) == 0 {
		return err
	}
	select {
	case c.inbox <- messages:
	case <-ctx.Done():
		return io.ErrClosedPipe
	}
	c.mu.Lock()
	c.cursors[it.Address] = it.Cursor
	c.mu.Unlock()
	return nil
}

// unpack reads the messages of a deliver item behind a cursor.
func (c *Client) unpack(it *frame.Item, after frame.Cursor) ([]Message, error) {
	at := frame.Cursor{MS: it.Cursor.MS, N: it.Cursor.N - it.Count}
	messages := make([]Message, 0, min(it.Count, uint64(len(it.Body))))
	var name []byte
	for rest := it.Body; len(rest) > 0; {
		rec, next, err := c.names.NextRecord(rest)
		if err != nil {
			return nil, err
		}
		rest = next
		sentAt := time.UnixMicro(int64(rec.AtMicros))
		left := rec.Messages
		for i := range rec.Count {
			id, body, tail, err := frame.NextMessage(left)
			if err != nil {
				return nil, err
			}
			left = tail
			at.N++
			if !at.After(after) {
				continue
			}
			m := Message{Address: it.Address, From: rec.From, ID: string(id), Cursor: at, SentAt: sentAt, Body: body}
			if m.ID == "" && rec.Seq > 0 {
				name = append(append(name[:0], rec.Producer...), '.')
				m.ID = string(strconv.AppendUint(name, rec.Seq+i, 10))
			}
			messages = append(messages, m)
		}
	}
	return messages, nil
}
