package messaging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/api/frame"
)

// waitMax bounds the wait for the replicas; the client's own time for an answer is longer.
const waitMax = 500 * time.Millisecond

// posting is a mailbox's part of a round.
type posting struct {
	box    *box
	chunks []*chunk
	ack    *ack

	prev, cursor frame.Cursor
	said         []string
	acked        int
	err          error
}

// commit stores a round on one node in one round trip. Each posting has its own error.
func (s *store) commit(ctx context.Context, node *redis.Client, round []*posting) {
	pipe := node.Pipeline()
	appends, acks := make([]*redis.Cmd, len(round)), make([]*redis.Cmd, len(round))
	for i, p := range round {
		keys := []string{logKey(p.box.address), stateKey(p.box.address)}
		if len(p.chunks) > 0 {
			appends[i] = appendTo(ctx, pipe, keys, p)
		}
		if p.ack != nil {
			acks[i] = ackScript.EvalSha(ctx, pipe, keys, p.ack.at.MS, p.ack.at.N, mailboxKeep.Milliseconds())
		}
	}
	var wait *redis.Cmd
	if s.wait > 0 && slices.ContainsFunc(round, func(p *posting) bool { return len(p.chunks) > 0 }) {
		// On the connection of the appends: it waits for what this one has written,
		// and, as each command moves its mark, for what a repeat found written.
		wait = pipe.Do(ctx, "wait", s.wait, waitMax.Milliseconds())
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	var short error
	if wait != nil {
		if n, err := wait.Int(); err != nil || n < s.wait {
			short = errors.Join(fmt.Errorf("%d of %d replicas confirmed", n, s.wait), err)
		}
	}
	unknown := false
	for i, p := range round {
		p.err = errors.Join(p.read(appends[i]), p.readAck(acks[i]))
		unknown = unknown || redis.HasErrorPrefix(p.err, "NOSCRIPT")
		if p.err == nil && len(p.chunks) > 0 {
			p.err = short
		}
	}
	if unknown {
		_ = appendScript.Load(ctx, node).Err()
		_ = ackScript.Load(ctx, node).Err()
	}
}

func appendTo(ctx context.Context, pipe redis.Pipeliner, keys []string, p *posting) *redis.Cmd {
	most := inboxMax
	if isTopic(p.box.address) {
		most = 0
	}
	args := make([]any, 0, 4+3*len(p.chunks))
	args = append(args, most, topicEntries, mailboxKeep.Milliseconds(), dedupKeep.Milliseconds())
	for _, c := range p.chunks {
		keys = append(keys, c.identity())
		args = append(args, c.number(), c.count, c.record)
	}
	return appendScript.EvalSha(ctx, pipe, keys, args...)
}

// read takes the script's answer.
func (p *posting) read(cmd *redis.Cmd) error {
	if cmd == nil {
		return nil
	}
	said, err := cmd.StringSlice()
	if err != nil {
		return err
	}
	if len(said) != 2 && len(said) != 2+len(p.chunks) {
		return fmt.Errorf("the script answered %d words for %d chunks", len(said), len(p.chunks))
	}
	if p.prev, err = frame.ParseCursor(said[0]); err != nil {
		return err
	}
	if p.cursor, err = frame.ParseCursor(said[1]); err != nil {
		return err
	}
	if p.said = said[2:]; len(p.said) == 0 {
		p.said = allStored(len(p.chunks))
	}
	return nil
}

// allStored is the script's short answer, written out.
func allStored(n int) []string {
	said := make([]string, n)
	for i := range said {
		said[i] = "stored"
	}
	return said
}

func (p *posting) readAck(cmd *redis.Cmd) (err error) {
	if cmd != nil {
		p.acked, err = cmd.Int()
	}
	return err
}
