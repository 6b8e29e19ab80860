package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

// agents is how many WebSockets the contenders in messages have.
const agents = 64

// messageBatch is how many messages an agent sends before it waits for the answers.
const messageBatch = 64

// recipient spreads messages evenly: agent n gets every 64th.
func recipient(t Task) int { return int(t.ID % agents) }

func natsAgentsSpec() Spec {
	return Spec{
		Name: "nats-websocket", About: "JetStream over NATS WebSocket, file storage: 64 agents, direct subjects, a durable consumer each, explicit ack",
		Room: Messages, Part: Rival, Batch: messageBatch, Lanes: agents, New: func() Peer { return &natsAgents{} },
	}
}

// natsAgents is 64 connections, each sending to all and reading its own subject.
type natsAgents struct {
	jetstreamPeer

	consumers []jetstream.Consumer
}

// Start starts the server and connects the agents.
func (p *natsAgents) Start(ctx context.Context, env Env) (err error) {
	if p.nats, err = startNATS(ctx, env.Durability); err != nil {
		return err
	}
	for range agents {
		js, err := p.connect(p.nats.websocket)
		if err != nil {
			return err
		}
		p.submit = append(p.submit, js)
	}
	if _, err = p.submit[0].CreateStream(ctx, jetstream.StreamConfig{
		Name: natsStream, Subjects: []string{"agent.*"}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage,
	}); err != nil {
		return err
	}
	for i, js := range p.submit {
		consumer, err := js.CreateConsumer(ctx, natsStream, jetstream.ConsumerConfig{
			Durable: fmt.Sprint("agent", i), FilterSubject: subject(i), AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: leaseTerm, MaxAckPending: windowTasks,
		})
		if err != nil {
			return err
		}
		p.consumers = append(p.consumers, consumer)
	}
	return nil
}

func subject(agent int) string { return fmt.Sprint("agent.", agent) }

// Submit sends from the lane's agent.
func (p *natsAgents) Submit(ctx context.Context, lane int, batch []Task) error {
	return publish(ctx, p.submit[lane], batch, func(t Task) string { return subject(recipient(t)) })
}

// Consume reads every agent's inbox on its own connection.
func (p *natsAgents) Consume(ctx context.Context, sink Sink) error {
	var all sync.WaitGroup
	for _, c := range p.consumers {
		all.Go(func() {
			if err := pull(ctx, c, sink); err != nil {
				sink.Fail(err)
			}
		})
	}
	all.Wait()
	return nil
}

// Left is what the stream holds.
func (p *natsAgents) Left(ctx context.Context) (int64, error) {
	return held(ctx, p.submit[0], natsStream)
}
