package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leanvibe/hive/api/hub"
)

const (
	mailers = 4
	// mailEvery is how often each of them sends.
	mailEvery = 80 * time.Millisecond
)

// mail is agents that write to each other.
type mail struct {
	*world
	sending context.CancelFunc
	reading context.CancelFunc
	senders sync.WaitGroup
	readers sync.WaitGroup
}

func (w *world) startMail(ctx context.Context, run string) (*mail, error) {
	m := &mail{world: w}
	var sending, reading context.Context
	sending, m.sending = context.WithCancel(ctx)
	reading, m.reading = context.WithCancel(ctx)
	for i := range mailers {
		me, peer := fmt.Sprint("mailer-", i+1), fmt.Sprint("mailer-", (i+1)%mailers+1)
		c, err := hub.New(hub.Config{URL: w.mails.url, Agent: me, Log: w.log, Handle: func(_ context.Context, list []hub.Message) error {
			for _, got := range list {
				if got.Address == me {
					w.received(Received{Reader: me, Body: string(got.Body), ID: got.ID})
				}
			}
			return nil
		}})
		if err != nil {
			return nil, err
		}
		m.readers.Go(func() {
			if err := c.Run(reading); err != nil {
				w.failed("hub client " + me + ": " + err.Error())
			}
		})
		m.senders.Go(func() { m.send(sending, c, peer, run+me) })
	}
	return m, nil
}

// send writes to a peer, each message a different one, whether or not the last is stored.
func (m *mail) send(ctx context.Context, c *hub.Client, to, run string) {
	tick := time.NewTicker(mailEvery)
	defer tick.Stop()
	var answers sync.WaitGroup
	defer answers.Wait()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		answers.Go(func() {
			// JSON, since the hub takes a body that is none for bytes of another kind.
			body := fmt.Sprintf(`{"n":"%s-%d"}`, run, n)
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerMost)
			defer cancel()
			err := c.Send(limited, to, "", []byte(body))
			rec := Sent{To: to, Body: body, Stored: err == nil}
			if err != nil && !errors.Is(err, context.Canceled) {
				rec.Err = err.Error()
			}
			m.sent(rec)
		})
	}
}

// stopSends sends no more and waits for the answers to all.
func (m *mail) stopSends() {
	m.sending()
	m.senders.Wait()
}

// stopReads ends the clients.
func (m *mail) stopReads() {
	m.reading()
	m.readers.Wait()
}
