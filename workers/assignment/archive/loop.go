package archive

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

const (
	// batchMost bounds how many tasks are archived at once: a MiB without their bodies.
	batchMost = 4096
	// batchLeast is how far a batch shrinks when one after the other fails: what is too
	// much for a PostgreSQL that crawls must not be tried again as it is for ever.
	batchLeast = 256
	// batchBytes bounds their bodies, in bytes, but for the last: large ones are read from
	// Redis for it, and a transaction's time is bounded.
	batchBytes = 16 << 20
	idle       = time.Second
	retry      = 2 * time.Second
	retryMost  = 30 * time.Second
)

// Source is where finished tasks come from: a *partition.Partition.
type Source interface {
	// Unarchived is told that the first archived of what it has answered last are in the
	// archive, and answers up to most finished tasks that are not; their bodies are up to
	// bytes, or with the last task more.
	Unarchived(ctx context.Context, archived, most, bytes int) ([]partition.Task, error)
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
	most, pause, archived := batchMost, l.retry(), 0
	for {
		wait, err := l.step(ctx, src, &archived, most)
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
// archived is how many of the batch before are archived and src does not know it yet: in a
// hurry it hears of them with the question for the next ones.
func (l *Loop) step(ctx context.Context, src Source, archived *int, most int) (time.Duration, error) {
	tasks, err := l.next(ctx, src, archived, most)
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
	*archived = len(tasks)
	if len(tasks) == most || bytesOf(tasks) >= batchBytes {
		return 0, nil
	}
	_, err = l.next(ctx, src, archived, 0)
	return l.idle() * time.Duration(most-len(tasks)) / time.Duration(most), err
}

// next tells src what is archived and answers what it offers next.
func (l *Loop) next(ctx context.Context, src Source, archived *int, most int) ([]partition.Task, error) {
	tasks, err := src.Unarchived(ctx, *archived, most, batchBytes)
	if err == nil && *archived > 0 && l.OnArchived != nil {
		l.OnArchived(*archived)
	}
	*archived = 0 // after an error it is not known whether src has heard: what it has not, it offers again
	return tasks, err
}

// bytesOf answers what the tasks' bodies take.
func bytesOf(tasks []partition.Task) (size int) {
	for i := range tasks {
		size += len(tasks[i].Payload) + len(tasks[i].Result)
	}
	return size
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
