package assignment

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leanvibe/hive/api/client"
	hivev1 "github.com/leanvibe/hive/api/hive/v1"
)

// submitted is what a test has handed to a submitter, and what it was answered.
type submitted struct {
	c         *client.Client
	submitter *client.Submitter
	queues    int // the tasks are spread over so many

	mu   sync.Mutex
	sent int
	ids  []string
	errs []error
}

func newSubmitted(c *client.Client, queues, inFlight int) *submitted {
	return &submitted{c: c, submitter: c.NewSubmitter(client.SubmitterConfig{MaxInFlight: inFlight}), queues: queues}
}

// submit hands over n tasks; their answers come later.
func (s *submitted) submit(ctx context.Context, n int) {
	s.sent += n
	for i := range n {
		d := &hivev1.Draft{Queue: fmt.Sprint("q", i%s.queues), Handler: "echo", Payload: []byte("x")}
		s.submitter.Go(ctx, d, func(r client.Receipt, err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ids, s.errs = append(s.ids, r.TaskID), append(s.errs, err)
		})
	}
}

// completed requires that all tasks were stored without an error, and waits until each has
// run: none is there twice, and no lease has run out.
func (s *submitted) completed(ctx context.Context, t *testing.T) {
	t.Helper()
	require.NoError(t, s.submitter.Close(ctx))
	require.NoError(t, errors.Join(s.errs...))
	require.Len(t, s.ids, s.sent)
	for _, id := range s.ids {
		task, err := s.c.Wait(ctx, id)
		require.NoError(t, err)
		require.Equal(t, hivev1.TaskState_TASK_STATE_COMPLETED, task.GetState(), task.GetError())
	}
	stats, err := s.c.Stats(ctx, "")
	require.NoError(t, err)
	require.EqualValues(t, s.sent, stats.GetTotal().GetSubmitted())
	require.EqualValues(t, s.sent, stats.GetTotal().GetCompleted())
	require.Zero(t, stats.GetTotal().GetLostAttempts(), "no lease has run out")
}
