package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/leanvibe/hive/api/client"
)

// Handler executes one task's payload and answers its result. It must stop soon
// after its context ends. An error marked by client.Final is not tried again.
type Handler func(ctx context.Context, payload []byte) ([]byte, error)

// Handlers maps the names that tasks use to what runs.
type Handlers map[string]Handler

// sleepMax bounds the sleep handler.
const sleepMax = 10 * time.Minute

// DefaultHandlers are those of doc.go.
func DefaultHandlers() Handlers {
	return Handlers{"echo": echo, "hash": hash, "sleep": sleep}
}

func echo(_ context.Context, payload []byte) ([]byte, error) { return payload, nil }

func hash(_ context.Context, payload []byte) ([]byte, error) {
	sum := sha256.Sum256(payload)
	return []byte(hex.EncodeToString(sum[:])), nil
}

func sleep(ctx context.Context, payload []byte) ([]byte, error) {
	d, err := time.ParseDuration(string(payload))
	if err != nil || d < 0 || d > sleepMax {
		return nil, client.Final(fmt.Errorf("sleep: payload %.40q is not a duration up to %s", payload, sleepMax))
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return payload, nil
	}
}
