package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/coder/websocket"
	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/api/frame"
)

// frameMax is more than any frame of this measurement.
const frameMax = 1 << 20

func hubSpec() Spec {
	return Spec{
		Name: "hub", About: "our communication-hub as this checkout has it: 64 agents over WebSocket, JSON frames, an inbox each, cumulative ack",
		Room: Messages, Part: Ours, Batch: messageBatch, Lanes: agents, New: func() Peer { return &hubPeer{} },
	}
}

type hubPeer struct {
	service *service
	redis   *redis.ClusterClient
	agents  []*hubAgent
}

// Start starts Redis and the hub and connects the agents.
func (p *hubPeer) Start(ctx context.Context, env Env) (err error) {
	if p.service, err = startService(ctx, env, "hub"); err != nil {
		return err
	}
	p.redis = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{p.service.redis.addr}})
	for i := range agents {
		conn, _, err := websocket.Dial(ctx, "ws://"+p.service.base+"/v1/hub/connect?agent="+hubName(i), nil)
		if err != nil {
			return err
		}
		conn.SetReadLimit(frameMax)
		p.agents = append(p.agents, &hubAgent{conn: conn, answers: make(chan frame.Frame, 2*messageBatch)})
	}
	return nil
}

func hubName(agent int) string { return fmt.Sprint("agent", agent) }

// Submit sends a batch from the lane's agent and waits for every answer.
func (p *hubPeer) Submit(ctx context.Context, lane int, batch []Task) error {
	a := p.agents[lane]
	for _, t := range batch {
		// A JSON string of payloadSize bytes with its quotes: the body is as long as the peers' is.
		body := append(append([]byte{'"'}, t.Payload[:payloadSize-2]...), '"')
		if err := a.write(ctx, frame.Frame{Type: frame.Send, ID: string(t.Payload[:stampSize]), To: hubName(recipient(t)), Body: body}); err != nil {
			return err
		}
	}
	for range batch {
		select {
		case f := <-a.answers:
			if f.Type != frame.Sent {
				return fmt.Errorf("the hub answers %s: %s %s", f.Type, f.Code, f.Message)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Consume reads every agent's socket.
func (p *hubPeer) Consume(ctx context.Context, sink Sink) error {
	var all sync.WaitGroup
	for _, a := range p.agents {
		all.Go(func() {
			if err := a.read(ctx, sink); err != nil && ctx.Err() == nil {
				sink.Fail(err)
			}
		})
	}
	all.Wait()
	return nil
}

// Left is what the inboxes hold.
func (p *hubPeer) Left(ctx context.Context) (int64, error) {
	var sum int64
	for i := range p.agents {
		n, err := p.redis.XLen(ctx, "hub:{"+hubName(i)+"}:inbox").Result()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// Stop ends the sockets, the hub and its Redis.
func (p *hubPeer) Stop() error {
	var errs []error
	for _, a := range p.agents {
		_ = a.conn.CloseNow() // its reader may have closed it already
	}
	if p.redis != nil {
		errs = append(errs, p.redis.Close())
	}
	return errors.Join(append(errs, p.service.stop())...)
}

// hubAgent is one socket.
type hubAgent struct {
	conn    *websocket.Conn
	answers chan frame.Frame
}

func (a *hubAgent) write(ctx context.Context, f frame.Frame) error {
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return a.conn.Write(ctx, websocket.MessageText, raw)
}

// read takes deliveries and answers.
func (a *hubAgent) read(ctx context.Context, sink Sink) error {
	for {
		f, err := a.next(ctx)
		if err != nil {
			return err
		}
		switch f.Type {
		case frame.Deliver:
			if err := a.acknowledge(ctx, f, sink); err != nil {
				return err
			}
		case frame.Sent, frame.Error:
			select {
			case a.answers <- f:
			default:
				return fmt.Errorf("an answer that nobody waits for: %s %s", f.Type, f.Message)
			}
		case frame.Hello:
		default:
			return fmt.Errorf("unexpected frame %q", f.Type)
		}
	}
}

func (a *hubAgent) next(ctx context.Context) (f frame.Frame, err error) {
	_, raw, err := a.conn.Read(ctx)
	if err != nil {
		return f, err
	}
	return f, json.Unmarshal(raw, &f)
}

// acknowledge sends one acknowledgement per message, as the peers do. It has no
// answer; that the inboxes are empty in the end, Left, shows that it arrived.
func (a *hubAgent) acknowledge(ctx context.Context, f frame.Frame, sink Sink) error {
	var payload string
	if err := json.Unmarshal(f.Body, &payload); err != nil {
		return err
	}
	id := sink.Begin([]byte(payload))
	if err := a.write(ctx, frame.Frame{Type: frame.Ack, Cursor: f.Cursor}); err != nil {
		return err
	}
	sink.Done(id)
	return nil
}
