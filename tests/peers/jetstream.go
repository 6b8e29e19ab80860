package main

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	natsStream  = "TASKS"
	natsSubject = "tasks"
	natsWorkers = "workers"
)

func jetstreamSpec() Spec {
	return Spec{
		Name: "jetstream", About: "NATS JetStream work queue on file storage, 500 asynchronous publishes at a time, pull consumer, explicit ack",
		Room: Tasks, Part: Rival, Batch: 500, Lanes: 4, New: func() Peer { return &jetstreamPeer{} },
	}
}

// jetstreamPeer is a work-queue stream with one durable consumer. Submitters and
// workers have connections of their own, as they would in life.
type jetstreamPeer struct {
	nats   *natsServer
	conns  []*nats.Conn
	submit []jetstream.JetStream
	work   jetstream.JetStream
}

// Start starts the server and makes stream and consumer.
func (p *jetstreamPeer) Start(ctx context.Context, env Env) (err error) {
	if p.nats, err = startNATS(ctx, env.Durability); err != nil {
		return err
	}
	spec := jetstreamSpec()
	for range spec.Lanes {
		js, err := p.connect(p.nats.url)
		if err != nil {
			return err
		}
		p.submit = append(p.submit, js)
	}
	if p.work, err = p.connect(p.nats.url); err != nil {
		return err
	}
	if _, err = p.work.CreateStream(ctx, jetstream.StreamConfig{
		Name: natsStream, Subjects: []string{natsSubject}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage,
	}); err != nil {
		return err
	}
	_, err = p.work.CreateConsumer(ctx, natsStream, jetstream.ConsumerConfig{
		Durable: natsWorkers, AckPolicy: jetstream.AckExplicitPolicy, AckWait: leaseTerm, MaxAckPending: windowTasks,
	})
	return err
}

func (p *jetstreamPeer) connect(url string) (jetstream.JetStream, error) {
	conn, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	p.conns = append(p.conns, conn)
	return jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(windowTasks))
}

// Submit publishes a batch and waits for every acknowledgement.
func (p *jetstreamPeer) Submit(ctx context.Context, lane int, batch []Task) error {
	return publish(ctx, p.submit[lane], batch, func(Task) string { return natsSubject })
}

func publish(ctx context.Context, js jetstream.JetStream, batch []Task, subject func(Task) string) error {
	answers := make([]jetstream.PubAckFuture, len(batch))
	for i, t := range batch {
		answer, err := js.PublishAsync(subject(t), t.Payload)
		if err != nil {
			return err
		}
		answers[i] = answer
	}
	for _, a := range answers {
		select {
		case <-a.Ok():
		case err := <-a.Err():
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Consume pulls ahead as far as the library likes and acknowledges one by one.
func (p *jetstreamPeer) Consume(ctx context.Context, sink Sink) error {
	consumer, err := p.work.Consumer(ctx, natsStream, natsWorkers)
	if err != nil {
		return err
	}
	return pull(ctx, consumer, sink)
}

func pull(ctx context.Context, consumer jetstream.Consumer, sink Sink) error {
	running, err := consumer.Consume(func(m jetstream.Msg) {
		id := sink.Begin(m.Data())
		if err := m.Ack(); err != nil {
			sink.Fail(err)
			return
		}
		sink.Done(id)
	}, jetstream.PullMaxMessages(2000))
	if err != nil {
		return err
	}
	<-ctx.Done()
	running.Stop()
	<-running.Closed()
	return nil
}

// Left is what the stream holds: a work queue forgets what is acknowledged.
func (p *jetstreamPeer) Left(ctx context.Context) (int64, error) {
	return held(ctx, p.work, natsStream)
}

func held(ctx context.Context, js jetstream.JetStream, name string) (int64, error) {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", name, err)
	}
	return int64(stream.CachedInfo().State.Msgs), nil
}

// Stop ends the connections and the server.
func (p *jetstreamPeer) Stop() error {
	for _, c := range p.conns {
		c.Close()
	}
	return p.nats.stop()
}
