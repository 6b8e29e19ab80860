package load

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
)

// Config says what traffic to make. The zero value of a field takes the default named beside it.
type Config struct {
	// BaseURL is the proxy. Plain HTTP only. The default is its address in the stack's network: what comes from outside
	// arrives there straight, and the engine's own forwarder stands before 127.0.0.1 alone.
	BaseURL string
	// TokenFile has the operator's token, which every request carries: the counters are the operator's alone (default
	// secrets/operator_token below the working directory, and no token where there is none).
	TokenFile string
	// Run names this run; the tasks' queue is "load-<Run>" (default: the start time).
	Run string
	// Rate is requests a second over all classes (default 500).
	Rate int
	// Connections are kept alive between requests (default 64); when all are busy more are opened, up to
	// mostConnections; beyond that a request waits for one, and its latency counts from when it was due.
	Connections int
	// Sockets are WebSockets held open to the hub (default 20; negative: none).
	Sockets int
	// Writes is the share of POST /v1/tasks in percent (default 30).
	Writes int
	// Slow is the share of long polls in percent, a latency class of its own (default 1; negative: none).
	Slow int
	// SlowFor is how long a long poll asks the server to wait (default 5 s).
	SlowFor time.Duration
	// Timeout bounds one request from the moment it was due (default 10 s, long polls SlowFor longer).
	Timeout time.Duration
	// Settle bounds the wait, after the last request, for acknowledged tasks to be completed, and before it the wait for
	// stored messages to arrive (default 60 s).
	Settle time.Duration
	// Beat is the time between two messages of one WebSocket (default 1 s).
	Beat time.Duration
	// back is how soon a closed WebSocket must be back (default reconnectBar); a test gives a busy machine more.
	back time.Duration
	// Progress, if set, is called once a second from a goroutine of the loader.
	Progress func(Snapshot)
}

// Snapshot is what has happened so far.
type Snapshot struct {
	Elapsed                  time.Duration
	Requests, Failed, Slowed int64
	P99MS                    float64
}

func (c Config) withDefaults() Config {
	if c.BaseURL == "" {
		c.BaseURL = "http://10.231.0.10"
	}
	c.BaseURL = strings.TrimSuffix(c.BaseURL, "/")
	if c.Run == "" {
		c.Run = time.Now().UTC().Format("20060102t150405.000")
	}
	c.Rate = or(c.Rate, 500)
	c.Connections = or(c.Connections, 64)
	c.Sockets = or(c.Sockets, 20)
	c.Writes = or(c.Writes, 30)
	c.Slow = or(c.Slow, 1)
	c.SlowFor = or(c.SlowFor, 5*time.Second)
	c.Timeout = or(c.Timeout, 10*time.Second)
	c.Settle = or(c.Settle, time.Minute)
	c.Beat = or(c.Beat, time.Second)
	c.back = or(c.back, reconnectBar)
	return c
}

// token reads the token file; a default that is not there is a stack whose access is open.
func (c Config) token() (string, error) {
	path := c.TokenFile
	if path == "" {
		path = "secrets/operator_token"
	}
	raw, err := os.ReadFile(path)
	if c.TokenFile == "" && errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(raw)), err
}

func (c Config) validate() error {
	u, err := url.Parse(c.BaseURL)
	switch {
	case err != nil:
		return fmt.Errorf("base URL %q: %w", c.BaseURL, err)
	case u.Scheme != "http" || u.Host == "" || u.Path != "":
		return fmt.Errorf("base URL %q: want http://host:port and nothing after it", c.BaseURL)
	case c.Rate < 1 || c.Rate > 100_000:
		return fmt.Errorf("rate %d: want 1 to 100000 requests a second", c.Rate)
	case c.Writes < 0 || c.Slow > 100 || c.Writes+max(c.Slow, 0) > 100:
		return fmt.Errorf("shares: %d %% writes and %d %% slow are more than everything", c.Writes, c.Slow)
	case c.Connections < 1:
		return errors.New("connections: want at least one")
	case strings.ContainsAny(c.Run, " /?&#{}"):
		return fmt.Errorf("run %q: it becomes part of a queue's name, keep to letters, digits, dots and dashes", c.Run)
	}
	return nil
}

// queue is the tasks' queue of this run: nobody else submits to it, so its counters are the server's ledger.
func (c Config) queue() string { return "load-" + c.Run }

func (c Config) host() string { return strings.TrimPrefix(c.BaseURL, "http://") }

func (c Config) address() string {
	if host := c.host(); strings.Contains(host, ":") {
		return host
	}
	return c.host() + ":80"
}

func or[T int | time.Duration](value, fallback T) T {
	if value == 0 {
		return fallback
	}
	return value
}
