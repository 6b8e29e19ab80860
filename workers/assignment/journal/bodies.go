package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/workers/assignment/codec"
)

// A Body is bytes that stand beside the log, in a key of their own.
type Body struct {
	Name  string
	Bytes []byte
}

// Bodies are what an append stores and drops together with its records: all of it
// happens, or nothing. The records must tell the bodies by a digest: a repeated append
// is known by its records alone.
type Bodies struct {
	Put  []Body
	Drop []string
}

// fit answers why an append with these bodies cannot be written; nil: it can.
func (b *Bodies) fit() error {
	size := 0
	for i := range b.Put {
		size += len(b.Put[i].Bytes)
	}
	if size > codec.MaxBytes {
		return fmt.Errorf("bodies: %d bytes in an append: want at most %d, for example 64000", size, codec.MaxBytes)
	}
	return nil
}

// BodyKey answers the key of a body.
func (l *Log) BodyKey(name string) string {
	return fmt.Sprintf("{p%d}:body:%s", l.opts.Partition, name)
}

// Bodies answers what is stored under names, in order, and nil for what is not there. Where
// something is not and somebody has taken over since, it answers ErrFenced instead: the next
// owner may have dropped it. It waits for no append, and asks again until ctx ends. How much
// it asks for is the caller's to bound.
func (l *Log) Bodies(ctx context.Context, names []string) ([][]byte, error) {
	out := make([][]byte, len(names))
	var epoch *redis.StringCmd
	var complete bool
	err := again(ctx, l.owner, func() {}, func() error {
		pipe := l.opts.Client.Pipeline()
		cmds := make([]*redis.StringCmd, len(names))
		for i, name := range names {
			cmds[i] = pipe.Get(ctx, l.BodyKey(name))
		}
		// Behind them: who is the owner after they were read was it before.
		epoch = pipe.HGet(ctx, l.owner, "epoch")
		_, _ = pipe.Exec(ctx) // each command has its own outcome
		complete = true
		for i, cmd := range cmds {
			b, err := cmd.Bytes()
			switch {
			case err == nil:
				out[i] = b
			case errors.Is(err, redis.Nil), redis.HasErrorPrefix(err, "WRONGTYPE"):
				out[i], complete = nil, false
			default:
				return err
			}
		}
		if err := epoch.Err(); !errors.Is(err, redis.Nil) {
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if now := epoch.Val(); !complete && now != strconv.FormatUint(l.epoch, 10) {
		return nil, fmt.Errorf("%w: epoch is %q, ours was %d", ErrFenced, now, l.epoch)
	}
	return out, nil
}
