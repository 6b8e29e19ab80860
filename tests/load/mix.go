package load

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
)

// mix decides what each request is and remembers what may be asked for.
type mix struct {
	config Config

	mu    sync.Mutex
	tasks []string // ids of acknowledged tasks
	held  string   // id of the task that long polls wait for
}

// draft is the body of POST /v1/tasks.
type draft struct {
	Queue        string   `json:"queue"`
	Handler      string   `json:"handler"`
	Capabilities []string `json:"capabilities,omitempty"`
	Payload      string   `json:"payload,omitempty"`
	Deadline     string   `json:"deadline,omitempty"`
}

// statsEvery is how many of the reads ask for counters instead of a task: one in ten.
const statsEvery = 10

// next is request n: its class is drawn by the shares, its body is its own.
func (m *mix) next(n int64) (Class, request) {
	draw := rand.IntN(100)
	switch {
	case draw < m.config.Writes:
		return Submit, m.submit(n)
	case draw < m.config.Writes+max(m.config.Slow, 0):
		if r, ok := m.longPoll(); ok {
			return Slow, r
		}
	case n%statsEvery != 0:
		if r, ok := m.read(); ok {
			return Read, r
		}
	}
	return Stats, request{method: http.MethodGet, target: "/v1/stats?queue=" + m.config.queue()}
}

func (m *mix) submit(n int64) request {
	key := m.config.queue() + "-" + strconv.FormatInt(n, 10)
	body, err := json.Marshal(draft{Queue: m.config.queue(), Handler: "hash", Payload: key})
	if err != nil { // strings only: it cannot fail
		panic(err)
	}
	return request{method: http.MethodPost, target: "/v1/tasks", key: key, body: body}
}

func (m *mix) read() (request, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.tasks) == 0 {
		return request{}, false
	}
	return request{method: http.MethodGet, target: "/v1/tasks/" + m.tasks[rand.IntN(len(m.tasks))]}, true
}

func (m *mix) longPoll() (request, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held == "" {
		return request{}, false
	}
	return request{method: http.MethodGet, target: fmt.Sprintf("/v1/tasks/%s/wait?timeout=%s", m.held, m.config.SlowFor)}, true
}

// acknowledged makes a task one that later reads ask for.
func (m *mix) acknowledged(task string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tasks = append(m.tasks, task)
}

func (m *mix) hold(task string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = task
}
