package operations

import (
	"context"
	"errors"
	"sync"

	"go.temporal.io/sdk/client"
)

// serving is the server that the worker polls, while it does.
type serving struct {
	mu sync.Mutex
	c  client.Client
}

func (s *serving) set(c client.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.c = c
}

func (s *serving) get() client.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c
}

// polling is the required check: the worker polls, and its server answers.
func (o *ops) polling(ctx context.Context) error {
	c := o.server.get()
	if c == nil {
		return errors.New("not connected to " + o.config.Temporal)
	}
	_, err := c.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err
}
