package messaging

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/api/frame"
)

// Bounds of a mailbox.
const (
	// MaxBody is in bytes.
	MaxBody  = 64 << 10
	inboxMax = 10_000
	// topicEntries bounds a topic, in rounds stored; each holds at least one message.
	topicEntries = 10_000
	// dedupKeep is how long a sender's id is remembered; a producer's number stays as long as the mailbox.
	dedupKeep = 10 * time.Minute
	// mailboxKeep is how long an untouched mailbox stays.
	mailboxKeep = 7 * 24 * time.Hour
	// fetchEntries bounds one read of a mailbox.
	fetchEntries = 16
)

var (
	//go:embed scripts/round.lua
	roundSource string
	roundScript = redis.NewScript(roundSource)
)

// store is the mailboxes in Redis: for each a log (a stream of rounds) and a
// state (the last cursor, the acknowledged one), under one hash tag.
type store struct {
	redis *redis.ClusterClient
	// wait is how many replicas must hold a round before it counts as stored.
	wait int
}

// node answers the master of a mailbox.
func (s *store) node(ctx context.Context, address string) (*redis.Client, error) {
	return s.redis.MasterForKey(ctx, logKey(address))
}

// position asks for what follows a cursor.
type position struct {
	address string
	after   frame.Cursor
}

// fetch reads many mailboxes; the cluster client sends one pipeline to each node.
func (s *store) fetch(ctx context.Context, asked []position) ([][]*entry, []error) {
	cmds := make([]*redis.XMessageSliceCmd, len(asked))
	pipe := s.redis.Pipeline()
	for i, r := range asked {
		cmds[i] = pipe.XRangeN(ctx, logKey(r.address), "("+r.after.String(), "+", fetchEntries)
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	found, errs := make([][]*entry, len(asked)), make([]error, len(asked))
	for i, cmd := range cmds {
		found[i], errs[i] = entries(cmd)
	}
	return found, errs
}

func entries(cmd *redis.XMessageSliceCmd) ([]*entry, error) {
	list, err := cmd.Result()
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	out := make([]*entry, len(list))
	for i, m := range list {
		cursor, err := frame.ParseCursor(m.ID)
		if err != nil {
			return nil, err
		}
		raw, _ := m.Values["d"].(string)
		if out[i], err = newEntry(cursor, []byte(raw)); err != nil {
			return nil, fmt.Errorf("entry %s: %w", m.ID, err)
		}
	}
	return out, nil
}

// standing is where a mailbox stands: acked is an inbox's acknowledgements, end its last message.
type standing struct{ acked, end frame.Cursor }

// standing reads a mailbox's.
func (s *store) standing(ctx context.Context, address string) (st standing, err error) {
	got, err := s.redis.HMGet(ctx, stateKey(address), "ams", "an", "ms", "n").Result()
	if err != nil {
		return st, fmt.Errorf("redis: %w", err)
	}
	for i, half := range []*uint64{&st.acked.MS, &st.acked.N, &st.end.MS, &st.end.N} {
		text, ok := got[i].(string)
		if !ok {
			continue
		}
		if *half, err = strconv.ParseUint(text, 10, 64); err != nil {
			return st, fmt.Errorf("state of %s: %w", address, err)
		}
	}
	return st, nil
}

// from answers where a reader begins that names a cursor, or none: then after what is acknowledged.
func (s *store) from(ctx context.Context, address string, named frame.Cursor) (frame.Cursor, error) {
	st, err := s.standing(ctx, address)
	switch {
	case err != nil:
		return named, err
	case named == (frame.Cursor{}):
		return st.acked, nil
	case named.After(st.end):
		return named, ErrAhead
	}
	return named, nil
}

// ack acknowledges an inbox up to a cursor at once.
func (s *store) ack(ctx context.Context, agent string, c frame.Cursor) (int, error) {
	p := &posting{box: &box{address: agent}, ack: &ack{at: c}}
	keys, args := p.script()
	if err := p.read(roundScript.Run(ctx, s.redis, keys, args...)); err != nil {
		return 0, fmt.Errorf("redis: %w", err)
	}
	if p.acked < 0 {
		return 0, ErrAhead
	}
	return p.acked, nil
}

// connected counts an agent's connections, over all hubs.
func (s *store) connected(ctx context.Context, agent string) (int64, error) {
	pipe := s.redis.Pipeline()
	n := pipe.HIncrBy(ctx, stateKey(agent), "connected", 1)
	pipe.PExpire(ctx, stateKey(agent), mailboxKeep)
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, fmt.Errorf("redis: %w", err)
	}
	return n.Val(), nil
}

// subscribe answers where a reader of a topic stands; one that is new stands at the topic's end.
func (s *store) subscribe(ctx context.Context, topic, reader string) (frame.Cursor, error) {
	st, err := s.standing(ctx, topic)
	end := st.end
	if err != nil {
		return end, err
	}
	key := readerKey(topic, reader)
	if err := s.redis.SetNX(ctx, key, end.String(), mailboxKeep).Err(); err != nil {
		return end, fmt.Errorf("redis: %w", err)
	}
	text, err := s.redis.Get(ctx, key).Result()
	if err != nil {
		return end, fmt.Errorf("redis: %w", err)
	}
	return frame.ParseCursor(text)
}

// read keeps where a reader of a topic stands.
func (s *store) read(ctx context.Context, topic, reader string, c frame.Cursor) error {
	return s.redis.Set(ctx, readerKey(topic, reader), c.String(), mailboxKeep).Err()
}
