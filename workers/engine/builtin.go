package engine

import (
	"context"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"time"
)

// Names of the handlers that need no program of your own.
const (
	echoName  = "echo"
	hashName  = "hash"
	sleepName = "sleep"
	httpName  = "http"
)

// builtin lists them in the order in which messages name them.
var builtin = []string{echoName, hashName, sleepName, httpName}

// echo answers the payload.
func echo(_ context.Context, task *Task) ([]byte, error) { return task.Payload, nil }

// algorithms of the hash handler. Broken ones are left out.
var algorithms = map[string]func() hash.Hash{
	"sha256":   sha256.New,
	"sha384":   sha512.New384,
	"sha512":   sha512.New,
	"sha3-256": func() hash.Hash { return sha3.New256() },
}

// algorithmNames are those of algorithms, for messages.
const algorithmNames = "sha256, sha384, sha512 or sha3-256"

// HashOptions are those of the hash handler.
type HashOptions struct {
	// Algorithm is sha256 (default), sha384, sha512 or sha3-256.
	Algorithm string
}

func (o HashOptions) handler() HandlerFunc {
	sum := algorithms[o.Algorithm]
	return func(_ context.Context, task *Task) ([]byte, error) {
		h := sum()
		h.Write(task.Payload)
		return []byte(hex.EncodeToString(h.Sum(nil))), nil
	}
}

// SleepOptions are those of the sleep handler.
type SleepOptions struct {
	// Default is how long a task without payload sleeps: 1 s unless set.
	Default time.Duration
	// Max is the longest that a payload may ask for: 10 min unless set.
	Max time.Duration
}

// sleepTick is how often a sleeping task reports its progress.
const sleepTick = time.Second

func (o SleepOptions) handler() HandlerFunc {
	return func(ctx context.Context, task *Task) ([]byte, error) {
		asked := string(task.Payload)
		if asked == "" {
			asked = o.Default.String()
		}
		d, err := time.ParseDuration(asked)
		if err != nil || d < 0 || d > o.Max {
			return nil, Permanent(fmt.Errorf("sleep: payload %.40q is not a duration up to %s", asked, o.Max))
		}
		began := time.Now()
		timer := time.NewTimer(d)
		defer timer.Stop()
		tick := time.NewTicker(sleepTick)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-timer.C:
				return []byte(asked), nil
			case <-tick.C:
				task.Progress(float64(time.Since(began))/float64(d), "asleep")
			}
		}
	}
}
