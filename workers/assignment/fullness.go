package assignment

import (
	"context"
	"fmt"
	"strconv"
	"strings"
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

// fullness is how much of its memory the fullest master of Redis has used, in percent.
type fullness struct{ percent atomic.Int64 }

// err refuses new tasks while Redis is nearly full.
func (f *fullness) err() error {
	if now := f.percent.Load(); now >= fullFrom {
		return &partition.BusyError{
			Reason:     fmt.Sprintf("Redis has used %d %% of its memory, and from %d %% on no task is stored; what was stored is finished", now, fullFrom),
			RetryAfter: 5 * time.Second,
		}
	}
	return nil
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
		var most atomic.Int64
		ask := func(ctx context.Context, c *redis.Client) error {
			info, err := c.Info(ctx, "memory").Result()
			if err != nil {
				return err
			}
			for now, old := usedPercent(info), most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
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
			f.percent.Store(most.Load())
		}
	}
}

// usedPercent reads INFO memory; 0 where there is no maxmemory.
func usedPercent(info string) int64 {
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
		return 0
	}
	return 100 * value("used_memory") / limit
}
