package journal

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
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

// load reads an embedded script; a missing one is a mistake of the build.
func load(name string) *redis.Script {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(fmt.Sprintf("embedded script: %v", err))
	}
	return redis.NewScript(string(b))
}

const (
	retryPause  = 20 * time.Millisecond
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
func (l *link) run(ctx context.Context, s *redis.Script, keys []string, args ...any) ([]any, error) {
	full := false
	for {
		reply, err := l.once(ctx, s, full, keys, args)
		if err == nil {
			return reply, nil
		}
		full = redis.HasErrorPrefix(err, "NOSCRIPT")
		if full {
			continue
		}
		if err := l.again(ctx, err); err != nil {
			return nil, err
		}
	}
}

// read repeats a look until Redis answers, or ctx ends.
func (l *link) read(ctx context.Context, look func(*redis.Conn) error) error {
	for {
		err := l.connect(ctx)
		if err == nil {
			err = look(l.conn)
		}
		if err == nil || errors.Is(err, redis.Nil) {
			return err
		}
		if err := l.again(ctx, err); err != nil {
			return err
		}
	}
}

// passing are answers of Redis that go by: it loads, fails over, has no replica or
// no memory for now, or another node has the slot.
var passing = []string{"LOADING", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "READONLY", "MASTERDOWN", "NOREPLICAS", "OOM", "BUSY"}

// again gives the connection up and waits for the next try. It answers what ends the
// tries: an answer that stays, or ctx.
func (l *link) again(ctx context.Context, err error) error {
	var answer redis.Error
	if errors.As(err, &answer) && !slices.ContainsFunc(passing, func(p string) bool { return redis.HasErrorPrefix(err, p) }) {
		return &RefusedError{l.key, err}
	}
	l.close()
	pause := time.NewTimer(retryPause)
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	case <-pause.C:
		return nil
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
