package journal

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed scripts/*.lua
var scriptFiles embed.FS

var (
	appendScript   = load("append")
	takeoverScript = load("takeover")
	leaseScript    = load("lease")
	chunkScript    = load("chunk")
	flipScript     = load("flip")
)

// load makes a script of an embedded one behind what all share; a missing one is a mistake of the build.
func load(name string) *redis.Script {
	return redis.NewScript(allowOOM + read("told") + read(name))
}

// allowOOM lets the scripts run when Redis is full: what was accepted can be finished, and a
// snapshot trims the log. That nothing new is accepted by then is the owner's to see to.
const allowOOM = "#!lua flags=allow-oom\n"

// read answers an embedded script's text.
func read(name string) string {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(fmt.Sprintf("embedded script: %v", err))
	}
	return string(b)
}

const (
	retryFirst  = 10 * time.Millisecond
	retryMax    = 320 * time.Millisecond // a fraction of a failover's seconds
	waitTimeout = 500 * time.Millisecond // below the clients' read timeout of 1 s
)

// link is one pinned connection to the partition's master: WAIT speaks only of
// what its own connection wrote.
type link struct {
	client   redis.UniversalClient
	key      string
	replicas int
	conn     *redis.Conn
}

func (l *link) connect(ctx context.Context) error {
	if l.conn != nil {
		return nil
	}
	switch c := l.client.(type) {
	case *redis.Client:
		l.conn = c.Conn()
	case *redis.ClusterClient:
		c.ReloadState(ctx)
		master, err := c.MasterForKey(ctx, l.key)
		if err != nil {
			return err
		}
		l.conn = master.Conn()
	}
	return nil
}

func (l *link) close() {
	if l.conn != nil {
		_ = l.conn.Close() // its outcome changes nothing: the connection is given up
		l.conn = nil
	}
}

// run repeats a script until Redis, and the replicas that were asked for, have
// confirmed it, or ctx ends. Every script here may be repeated.
func (l *link) run(ctx context.Context, s *redis.Script, keys []string, args ...any) (reply []any, err error) {
	full := false
	err = again(ctx, l.key, l.close, func() error {
		reply, err = l.once(ctx, s, full, keys, args)
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			full = true
			reply, err = l.once(ctx, s, full, keys, args)
		}
		return err
	})
	return reply, err
}

// read repeats a read until Redis answers or ctx ends.
func (l *link) read(ctx context.Context, do func(*redis.Conn) error) error {
	return again(ctx, l.key, l.close, func() error {
		if err := l.connect(ctx); err != nil {
			return err
		}
		return do(l.conn)
	})
}

// again repeats what may be repeated, each time after it has given the connection up, so
// that the next is to whoever is the master by then, and after a pause that doubles up to
// retryMax.
func again(ctx context.Context, key string, giveUp func(), do func() error) error {
	for wait := retryFirst; ; wait = min(2*wait, retryMax) {
		err := do()
		if err == nil || errors.Is(err, redis.Nil) {
			return err
		}
		giveUp()
		if err = judge(key, err); !repeatable(err) {
			return err
		}
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			return fmt.Errorf("%w: %w", ErrUnknown, err)
		case <-pause.C:
		}
	}
}

func (l *link) once(ctx context.Context, s *redis.Script, full bool, keys []string, args []any) ([]any, error) {
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	pipe := l.conn.Pipeline()
	var script *redis.Cmd
	if full {
		script = s.Eval(ctx, pipe, keys, args...)
	} else {
		script = s.EvalSha(ctx, pipe, keys, args...)
	}
	var wait *redis.Cmd
	if l.replicas > 0 {
		wait = pipe.Do(ctx, "wait", l.replicas, waitTimeout.Milliseconds())
	}
	_, err := pipe.Exec(ctx)
	if err != nil {
		return nil, err
	}
	reply, err := script.Slice()
	if err != nil {
		return nil, err
	}
	if len(reply) == 0 {
		return nil, fmt.Errorf("empty answer of a script on %s", l.key)
	}
	if wait != nil && reply[0] == "ok" {
		got, err := wait.Int()
		if err != nil {
			return nil, err
		}
		if got < l.replicas {
			return nil, fmt.Errorf("%d replicas confirmed, %d needed", got, l.replicas)
		}
	}
	return reply, nil
}
