package archive

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

const (
	// batchMost bounds how many tasks are archived at once: half a MiB without their
	// bodies. The partition hands them out in 0.2 ms, in which it does nothing else.
	// Twice as many take a sixth less processor time each, and stop it for up to 1 ms.
	batchMost = 2048
	// batchLeast is how far a batch shrinks when one after the other fails: what is too
	// much for a PostgreSQL that crawls must not be tried again as it is for ever.
	batchLeast = 256
	// batchBytes bounds their bodies, in bytes, but for the last: large ones are read from
	// Redis for it, and the batch is one transaction, whose time is bounded.
	batchBytes = 16 << 20
	idle       = time.Second
	retry      = 2 * time.Second
	retryMost  = 30 * time.Second
)

// Source is where finished tasks come from: a *partition.Partition.
type Source interface {
	// Unarchived answers up to most finished tasks that Archived has not confirmed; their
	// bodies are up to bytes, or with the last task more.
	Unarchived(ctx context.Context, most, bytes int) ([]partition.Task, error)
	// Archived confirms the first n of Unarchived.
	Archived(ctx context.Context, n int) error
}

// Loop archives what sources offer. It may run for several at once.
type Loop struct {
	Store *Store
	// Segments may be nil: then PostgreSQL alone is the archive.
	Segments *Segments
	// Log is where failures are told; nil: slog.Default.
	Log *slog.Logger
	// OnError hears of each try that failed, OnArchived of each batch that the source
	// was told of; nil: nobody does.
	OnError    func()
	OnArchived func(n int)
	// Idle is the pause when nothing was there (0: 1 s), the shorter the fuller the last
	// batch was, so that a loaded partition is archived evenly and not in bursts. Retry is
	// the first pause after an error (0: 2 s); it doubles up to 30 s.
	Idle, Retry time.Duration
}

// Run archives what src offers until ctx ends or src answers partition.ErrLost; it
// answers nil then. Other errors are logged, and the batch is tried again: src is told
// of it only when the store and the segments have it.
func (l *Loop) Run(ctx context.Context, src Source) error {
	most, pause := batchMost, l.retry()
	for {
		wait, err := l.step(ctx, src, most)
		over := ctx.Err() != nil || errors.Is(err, partition.ErrLost)
		if over {
			return nil
		}
		var busy *partition.BusyError
		switch {
		case errors.As(err, &busy):
			wait = busy.RetryAfter
		case err != nil:
			l.failed(err, pause)
			wait, pause, most = pause, min(2*pause, retryMost), max(most/2, batchLeast)
		default:
			pause, most = l.retry(), min(2*most, batchMost)
		}
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

// step archives a batch of at most most tasks and answers how long to wait for the next.
func (l *Loop) step(ctx context.Context, src Source, most int) (time.Duration, error) {
	tasks, err := src.Unarchived(ctx, most, batchBytes)
	if err != nil || len(tasks) == 0 {
		return l.idle(), err
	}
	if err := l.Store.Insert(ctx, tasks); err != nil {
		return 0, err
	}
	if l.Segments != nil {
		if err := l.Segments.Append(tasks); err != nil {
			return 0, err
		}
	}
	if err := confirm(ctx, src, len(tasks)); err != nil {
		return 0, err
	}
	if l.OnArchived != nil {
		l.OnArchived(len(tasks))
	}
	if bytesOf(tasks) >= batchBytes {
		return 0, nil
	}
	return l.idle() * time.Duration(most-len(tasks)) / time.Duration(most), nil
}

// bytesOf answers what the tasks' bodies take.
func bytesOf(tasks []partition.Task) (size int) {
	for i := range tasks {
		size += len(tasks[i].Payload) + len(tasks[i].Result)
	}
	return size
}

// confirm asks a busy source again: the whole batch again would stand twice in the
// segments.
func confirm(ctx context.Context, src Source, n int) error {
	for {
		err := src.Archived(ctx, n)
		var busy *partition.BusyError
		if !errors.As(err, &busy) || !sleep(ctx, busy.RetryAfter) {
			return err
		}
	}
}

func (l *Loop) failed(err error, pause time.Duration) {
	log := l.Log
	if log == nil {
		log = slog.Default()
	}
	log.Warn("finished tasks could not be archived; they wait in their partition", "error", err, "again_in", pause)
	if l.OnError != nil {
		l.OnError()
	}
}

func (l *Loop) idle() time.Duration {
	if l.Idle > 0 {
		return l.Idle
	}
	return idle
}

func (l *Loop) retry() time.Duration {
	if l.Retry > 0 {
		return l.Retry
	}
	return retry
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
