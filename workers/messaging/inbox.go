package messaging

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Bounds of an inbox.
const (
	// MaxBody is in bytes.
	MaxBody  = 64 << 10
	inboxMax = 10_000
	// dedupKeep is how long a sender's id is remembered.
	dedupKeep = 10 * time.Minute
	// inboxKeep is how long an untouched inbox stays.
	inboxKeep = 7 * 24 * time.Hour
	// fetchMost bounds one read of an inbox.
	fetchMost = 64
)

// wakeChannel carries "w:<agent>", the inbox has grown, and
// "c:<agent>:<session>", the agent has connected.
const wakeChannel = "hub:wake"

var (
	//go:embed scripts/send.lua
	sendSource string
	//go:embed scripts/ack.lua
	ackSource string

	sendScript = redis.NewScript(sendSource)
	ackScript  = redis.NewScript(ackSource)
)

var cursorPattern = regexp.MustCompile(`^\d{1,16}-\d{1,16}$`)

// ErrFull is returned for an inbox that holds its most.
var ErrFull = errors.New("the inbox is full: its agent has not acknowledged 10000 messages")

// Message is one message of an inbox.
type Message struct {
	Cursor   string
	From, ID string
	Body     []byte
	StoredAt time.Time
}

// Inboxes are the agents' streams in Redis. Each agent's keys share a hash tag.
type Inboxes struct {
	redis redis.UniversalClient
	now   func() time.Time
}

func streamKey(agent string) string   { return "hub:{" + agent + "}:inbox" }
func ackedKey(agent string) string    { return "hub:{" + agent + "}:acked" }
func markKey(agent, id string) string { return "hub:{" + agent + "}:seen:" + id }

// Put stores a message once per sender's id and answers its cursor.
func (b *Inboxes) Put(ctx context.Context, to string, m Message) (cursor string, duplicate bool, err error) {
	keys := []string{streamKey(to), markKey(to, m.From+":"+m.ID)}
	out, err := sendScript.Run(ctx, b.redis, keys, m.From, m.ID, m.Body, b.now().UnixMicro(), inboxMax,
		dedupKeep.Milliseconds(), inboxKeep.Milliseconds(), wakeChannel, to).StringSlice()
	if err != nil {
		return "", false, fmt.Errorf("redis: %w", err)
	}
	if out[0] == "full" {
		return "", false, ErrFull
	}
	return out[1], out[0] == "duplicate", nil
}

// After answers the messages that follow a cursor, oldest first.
func (b *Inboxes) After(ctx context.Context, agent, cursor string) ([]Message, error) {
	entries, err := b.redis.XRangeN(ctx, streamKey(agent), "("+cursor, "+", fetchMost).Result()
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	out := make([]Message, len(entries))
	for i, e := range entries {
		text := func(name string) string { s, _ := e.Values[name].(string); return s }
		at, err := strconv.ParseInt(text("at"), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("message %s of %s: %w", e.ID, agent, err)
		}
		out[i] = Message{Cursor: e.ID, From: text("from"), ID: text("id"), Body: []byte(text("body")), StoredAt: time.UnixMicro(at).UTC()}
	}
	return out, nil
}

// Ack forgets everything up to the cursor and answers how many messages went.
func (b *Inboxes) Ack(ctx context.Context, agent, cursor string) (int, error) {
	n, err := ackScript.Run(ctx, b.redis, []string{streamKey(agent), ackedKey(agent)}, cursor, inboxKeep.Milliseconds()).Int()
	if err != nil {
		return 0, fmt.Errorf("redis: %w", err)
	}
	return n, nil
}

// Acked answers the last acknowledged cursor, "0-0" when there is none.
func (b *Inboxes) Acked(ctx context.Context, agent string) (string, error) {
	c, err := b.redis.Get(ctx, ackedKey(agent)).Result()
	if errors.Is(err, redis.Nil) {
		return "0-0", nil
	}
	if err != nil {
		return "", fmt.Errorf("redis: %w", err)
	}
	return c, nil
}

// Connected tells all hubs that the agent's newest session is this one.
func (b *Inboxes) Connected(ctx context.Context, agent, session string) error {
	return b.redis.Publish(ctx, wakeChannel, "c:"+agent+":"+session).Err()
}
