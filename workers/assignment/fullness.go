package assignment

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/workers/assignment/partition"
)

const (
	// fullFrom is the part of maxmemory, in percent, from which nothing new is stored:
	// the rest is for finishing what was, and for the next snapshot.
	fullFrom = 80
	// fullEvery is how often Redis is asked.
	fullEvery = time.Second
)

// fullness is what the fullest master of Redis had room for when it was asked last, nil where
// none has a bound.
type fullness struct{ last atomic.Pointer[room] }

// room is what a master may still take, less what this replica has sent it since: a second of
// large payloads may be more than the rest that is kept free.
type room struct {
	percent int64 // of maxmemory, in use when it was asked
	bytes   atomic.Int64
}

// admit takes room for new tasks, or refuses them while Redis is nearly full.
func (f *fullness) admit(bytes int) error {
	r := f.last.Load()
	if r == nil || r.bytes.Add(-int64(bytes)) > 0 {
		return nil
	}
	r.bytes.Add(int64(bytes))
	return &partition.BusyError{
		Reason:     fmt.Sprintf("Redis had used %d %% of its memory when it was asked last, and from %d %% on, with what came since, no task is stored; what was stored is finished", r.percent, fullFrom),
		RetryAfter: 5 * time.Second,
	}
}

// watch asks until ctx ends. A Redis that does not answer changes nothing: the journal
// finds out.
func (f *fullness) watch(ctx context.Context, client redis.UniversalClient) error {
	tick := time.NewTicker(fullEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var mu sync.Mutex
		var least *room
		ask := func(ctx context.Context, c *redis.Client) error {
			info, err := c.Info(ctx, "memory").Result()
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if r := roomIn(info); r != nil && (least == nil || r.bytes.Load() < least.bytes.Load()) {
				least = r
			}
			return nil
		}
		limited, cancel := context.WithTimeout(ctx, fullEvery)
		var err error
		switch c := client.(type) {
		case *redis.ClusterClient:
			err = c.ForEachMaster(limited, ask)
		case *redis.Client:
			err = ask(limited, c)
		}
		cancel()
		if err == nil {
			f.last.Store(least)
		}
	}
}

// roomIn reads INFO memory; nil where there is no maxmemory.
func roomIn(info string) *room {
	value := func(name string) int64 {
		_, rest, _ := strings.Cut(info, name+":")
		text, _, _ := strings.Cut(rest, "\r")
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	limit := value("\nmaxmemory")
	if limit == 0 {
		return nil
	}
	used := value("used_memory")
	r := &room{percent: 100 * used / limit}
	r.bytes.Store(limit/100*fullFrom - used)
	return r
}
