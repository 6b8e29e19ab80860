package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// heldTask keeps one task waiting, so that long polls are really held for as long as they ask. It wants a capability
// that no agent has, stands in a queue of its own (the reconciled counters never see it), and its deadline removes it.
type heldTask struct {
	config Config
	wire   *wire
	mix    *mix
}

// heldFor is the deadline of a held task; it is replaced at half of it.
const heldFor = 10 * time.Minute

func (h *heldTask) renew(ctx context.Context) {
	if h.config.Slow < 1 {
		return
	}
	ticker := time.NewTicker(heldFor / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			bounded, cancel := context.WithTimeout(ctx, h.config.Timeout)
			// A renewal that fails is tried again at the next tick, before the old task's deadline.
			_ = h.submit(bounded)
			cancel()
		}
	}
}

func (h *heldTask) submit(ctx context.Context) error {
	body, err := json.Marshal(draft{
		Queue: h.config.queue() + "-held", Handler: "hash", Capabilities: []string{"nobody-has-this"},
		Deadline: time.Now().Add(heldFor).UTC().Format(time.RFC3339),
	})
	if err != nil {
		return fmt.Errorf("held task: %w", err)
	}
	a, err := h.wire.do(ctx, request{method: http.MethodPost, target: "/v1/tasks", body: body})
	if err != nil {
		return fmt.Errorf("held task: %w", err)
	}
	id := taskID(a.body)
	if id == "" {
		return fmt.Errorf("held task: POST /v1/tasks answered %d without a task id: %.200s", a.status, a.body)
	}
	h.mix.hold(id)
	return nil
}
