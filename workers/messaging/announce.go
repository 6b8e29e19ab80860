package messaging

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
)

// wakeChannel carries "w:<hub>:<address> <address>...", these have grown, and
// "c:<agent>:<n>", the agent has connected for the nth time. Announcements may be
// lost or late: the fetcher looks by itself now and then, and only sessions with
// a smaller number than the one announced are ended.
const wakeChannel = "hub:wake"

// announcer tells the other hubs what this one has stored, and hears them.
type announcer struct {
	redis    *redis.ClusterClient
	id       string
	touched  func(address string)
	replaced func(agent string, newest int64)

	mu     sync.Mutex
	news   map[string]struct{}
	signal chan struct{}
}

func newAnnouncer(client *redis.ClusterClient, touched func(string), replaced func(agent string, newest int64)) *announcer {
	return &announcer{
		redis: client, id: uuid.NewString(), touched: touched, replaced: replaced,
		news: map[string]struct{}{}, signal: make(chan struct{}, 1),
	}
}

// grown notes that a mailbox has grown.
func (a *announcer) grown(address string) {
	a.mu.Lock()
	a.news[address] = struct{}{}
	a.mu.Unlock()
	select {
	case a.signal <- struct{}{}:
	default:
	}
}

// speak publishes what has grown; while one word is under way the next gathers.
func (a *announcer) speak(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.signal:
		}
		a.mu.Lock()
		news := a.news
		a.news = make(map[string]struct{}, len(news))
		a.mu.Unlock()
		word := []byte("w:" + a.id + ":")
		for address := range news {
			word = append(append(word, address...), ' ')
		}
		_ = a.redis.Publish(ctx, wakeChannel, word).Err() // lost ones are found by looking
	}
}

// connected tells all hubs that the agent's newest session is this one.
func (a *announcer) connected(ctx context.Context, agent string, n int64) error {
	return a.redis.Publish(ctx, wakeChannel, "c:"+agent+":"+strconv.FormatInt(n, 10)).Err()
}

// listen hears what other hubs and this one announce.
func (a *announcer) listen(ctx context.Context) error {
	sub := a.redis.Subscribe(ctx, wakeChannel)
	defer sub.Close()
	ch := sub.Channel(redis.WithChannelSize(4096), redis.WithChannelHealthCheckInterval(time.Second))
	for {
		select {
		case <-ctx.Done():
			return nil
		case msg, ok := <-ch:
			if !ok {
				return nil
			}
			a.heard(msg.Payload)
		}
	}
}

func (a *announcer) heard(payload string) {
	kind, value, _ := strings.Cut(payload, ":")
	who, what, _ := strings.Cut(value, ":")
	switch {
	case kind == "c":
		if n, err := strconv.ParseInt(what, 10, 64); err == nil {
			a.replaced(who, n)
		}
	case kind == "w" && who != a.id:
		for _, address := range strings.Fields(what) {
			a.touched(address)
		}
	}
}
