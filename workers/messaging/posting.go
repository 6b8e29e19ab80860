package messaging

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
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

	records      []byte // the chunks', one behind the other
	prev, cursor frame.Cursor
	said         []string // of each chunk; none: all are stored
	acked        int
	err          error
}

// commit stores a round on one node in one round trip. Each posting has its own error.
func (s *store) commit(ctx context.Context, node *redis.Client, round []*posting) {
	pipe := node.Pipeline()
	cmds := make([]*redis.Cmd, len(round))
	for i, p := range round {
		keys, args := p.script()
		cmds[i] = roundScript.EvalSha(ctx, pipe, keys, args...)
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
		p.err = p.read(cmds[i])
		unknown = unknown || redis.HasErrorPrefix(p.err, "NOSCRIPT")
		if p.err == nil && len(p.chunks) > 0 {
			p.err = short
		}
	}
	if unknown {
		_ = roundScript.Load(ctx, node).Err()
	}
}

// script writes the posting as the script's keys and arguments.
func (p *posting) script() (keys []string, args []any) {
	address := p.box.address
	keys = []string{logKey(address), stateKey(address), numbersKey(address, "0"), numbersKey(address, "1")}
	// The script takes the numbered ones first. A sender sends either with numbers or
	// with ids, so that each one's order stays.
	numbered := 0
	for _, c := range p.chunks {
		if c.numbered() {
			numbered++
		}
	}
	if numbered > 0 && numbered < len(p.chunks) {
		chunks := slices.Collect(which(p.chunks, (*chunk).numbered))
		p.chunks = slices.AppendSeq(chunks, which(p.chunks, func(c *chunk) bool { return !c.numbered() }))
	}
	most := inboxMax
	if isTopic(address) {
		most = 0
	}
	var ms, n string
	if p.ack != nil {
		ms, n = strconv.FormatUint(p.ack.at.MS, 10), strconv.FormatUint(p.ack.at.N, 10)
	}
	size := 0
	for _, c := range p.chunks {
		size += c.size()
	}
	p.records = make([]byte, 0, size)
	sizes := packList(make([]byte, 0, 8+8*len(p.chunks)), 3*len(p.chunks))
	for _, c := range p.chunks {
		before := len(p.records)
		p.records = c.append(p.records)
		sizes = packNumber(packNumber(packNumber(sizes, c.seq), c.count), uint64(len(p.records)-before))
	}
	args = make([]any, 0, 9+2*len(p.chunks))
	args = append(args, most, topicEntries, mailboxKeep.Milliseconds(), dedupKeep.Milliseconds(), ms, n, p.records, sizes, numbered)
	for _, c := range p.chunks[:numbered] {
		args = append(args, c.sender, c.seq+c.count-1)
	}
	for _, c := range p.chunks[numbered:] {
		keys = append(keys, markKey(address, c.from, c.id))
		args = append(args, c.digest())
	}
	return keys, args
}

// read takes the script's answer.
func (p *posting) read(cmd *redis.Cmd) error {
	said, err := cmd.StringSlice()
	if err != nil {
		return err
	}
	const head = 3
	if len(said) != head && len(said) != head+len(p.chunks) {
		return fmt.Errorf("the script answered %d words for %d chunks", len(said), len(p.chunks))
	}
	if p.prev, err = frame.ParseCursor(said[0]); err != nil {
		return err
	}
	if p.cursor, err = frame.ParseCursor(said[1]); err != nil {
		return err
	}
	p.acked, err = strconv.Atoi(said[2])
	p.said = said[head:]
	return err
}

// which are the chunks that are of a kind.
func which(chunks []*chunk, is func(*chunk) bool) iter.Seq[*chunk] {
	return func(yield func(*chunk) bool) {
		for _, c := range chunks {
			if is(c) && !yield(c) {
				return
			}
		}
	}
}
