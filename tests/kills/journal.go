package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/workers/assignment/codec"
)

// journalPage is how many entries one read asks for.
const journalPage = 500

// readJournal answers what the partitions' journals say, partition by partition, each
// in its order; whole is false when the front of one was trimmed.
func readJournal(ctx context.Context, client redis.UniversalClient, partitions int) (changes []Change, whole bool, err error) {
	whole = true
	for n := range partitions {
		key, next := fmt.Sprintf("{p%d}:log", n), uint64(0)
		for {
			page, err := client.XRangeN(ctx, key, strconv.FormatUint(next, 10), "+", journalPage).Result()
			if err != nil {
				return nil, false, fmt.Errorf("%s: %w", key, err)
			}
			for _, m := range page {
				seq, err := strconv.ParseUint(strings.TrimSuffix(m.ID, "-0"), 10, 64)
				if err != nil {
					return nil, false, fmt.Errorf("%s: entry %s: %w", key, m.ID, err)
				}
				switch {
				case next == 0 && seq != 1:
					whole = false
				case next != 0 && seq != next:
					return nil, false, fmt.Errorf("%s: entry %d follows %d", key, seq, next-1)
				}
				if changes, err = appendEntry(changes, n, seq, m); err != nil {
					return nil, false, fmt.Errorf("%s: entry %d: %w", key, seq, err)
				}
				next = seq + 1
			}
			if len(page) < journalPage {
				break
			}
		}
	}
	return changes, whole, nil
}

// appendEntry decodes one entry: a batch, or a takeover.
func appendEntry(changes []Change, partition int, seq uint64, m redis.XMessage) ([]Change, error) {
	text := func(field string) string { s, _ := m.Values[field].(string); return s }
	epoch, err := strconv.ParseUint(text("e"), 10, 64)
	if err != nil {
		return nil, err
	}
	if _, taken := m.Values["t"]; taken {
		return append(changes, Change{Partition: partition, Seq: seq, Epoch: epoch, What: takeover, Agent: text("t")}), nil
	}
	batch, err := codec.Decode([]byte(text("b")))
	if err != nil {
		return nil, err
	}
	for i, record := range batch.Records {
		c, err := decode(record)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
		if c.What != "" {
			c.Partition, c.Seq, c.Epoch = partition, seq, epoch
			changes = append(changes, c)
		}
	}
	return changes, nil
}

// The numbers of records and causes, as workers/assignment/partition/record.go fixes
// them. They are read here a second time on purpose: the judge must not believe the
// code that it judges.
var (
	kindSubmitted, kindStarted, kindEnded = byte(1), byte(2), byte(3)
	// Where Redis keeps a body the number is another; what is read here stands before it.
	apart  = map[byte]byte{9: kindSubmitted, 10: kindEnded}
	causes = []string{"", completed, failed, lost, released, ended, ended}
)

var errShort = errors.New("it ends before its fields do")

// decode reads the front of one record; what is not of interest has no What.
func decode(b []byte) (Change, error) {
	if len(b) < 17 {
		return Change{}, errShort
	}
	kind := b[0]
	if plain, is := apart[kind]; is {
		kind = plain
	}
	if !slices.Contains([]byte{kindSubmitted, kindStarted, kindEnded}, kind) {
		return Change{}, nil
	}
	c := Change{Task: uuid.UUID(b[1:17]).String()}
	_, size := binary.Uvarint(b[17:]) // when
	if size <= 0 {
		return c, errShort
	}
	rest := b[17+size:]
	number := func() (n uint64) {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			rest = nil
			return 0
		}
		rest = rest[size:]
		return n
	}
	text := func() string {
		n := number()
		if n > uint64(len(rest)) {
			rest = nil
			return ""
		}
		s := string(rest[:n])
		rest = rest[n:]
		return s
	}
	switch kind {
	case kindSubmitted:
		c.What, c.Key = submitted, text()
	case kindStarted:
		c.What, c.Attempt = started, int(number())
		c.Agent = text()
	case kindEnded:
		if len(rest) < 2 || int(rest[0]) >= len(causes) {
			return c, errShort
		}
		c.What = causes[rest[0]]
		return c, nil
	}
	if rest == nil {
		return c, errShort
	}
	return c, nil
}
