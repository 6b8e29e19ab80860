package engine

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leanvibe/hive/api/hub"
)

const (
	// hubWindow bounds the reports that wait for the hub; with it full they are dropped.
	hubWindow = 1024
	// flushMax bounds the wait for the last reports when the engine stops.
	flushMax = 2 * time.Second
)

// hubSender is the engine's place at the hub. Reports are worth less than tasks:
// while the hub is away they are dropped, and nothing waits for it.
type hubSender struct {
	client  *hub.Client
	metrics *metrics
	log     *slog.Logger
	waiting sync.WaitGroup
	failed  atomic.Pointer[error]
}

func newHubSender(url, instance, token string, m *metrics, log *slog.Logger) (*hubSender, error) {
	c, err := hub.New(hub.Config{URL: url, Agent: instance, Token: token, Window: hubWindow, Log: log})
	return &hubSender{client: c, metrics: m, log: log}, err
}

// expired makes a wait for room in the window end at once.
var expired = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// publish implements the function type of that name.
func (s *hubSender) publish(to, id string, body []byte) {
	s.waiting.Add(1)
	settled := func(err error) {
		outcome := "stored"
		if err != nil {
			outcome = "dropped"
		}
		s.metrics.progress.WithLabelValues(outcome).Inc()
		s.waiting.Done()
	}
	if err := s.client.Queue(expired, to, id, body, settled); err != nil {
		settled(err)
	}
}

// run keeps the connection until ctx ends.
func (s *hubSender) run(ctx context.Context) {
	if err := s.client.Run(ctx); err != nil {
		err = errors.Join(errors.New("progress is not sent any more"), err)
		s.failed.Store(&err)
		s.log.Error("the hub refuses this engine", "error", err)
	}
}

// flush waits until what was published is stored or given up. Nothing may be
// published any more.
func (s *hubSender) flush() {
	done := make(chan struct{})
	go func() { s.waiting.Wait(); close(done) }() // ends with run at the latest, which settles the rest
	timer := time.NewTimer(flushMax)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// check answers why progress is not sent any more; nil while it is.
func (s *hubSender) check(context.Context) error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}
