package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// probeRate requests a second are sent over probeConnections kept connections, on a fixed beat: an answer that is
	// late does not hold up the next request of another connection.
	probeRate        = 40
	probeConnections = 8
	probeMax         = 10 * time.Second
)

// Traffic is what users saw.
type Traffic struct {
	Requests int    `json:"requests"`
	Failed   int    `json:"failed"`
	First    string `json:"first,omitempty"`
}

// prober is the mini stack's users: keep-alive GETs through nginx by its container's address. It speaks HTTP itself,
// because a library would repeat a GET whose connection broke, and nobody would know.
type prober struct {
	address string
	mu      sync.Mutex
	seen    Traffic
	cancel  context.CancelFunc
	work    sync.WaitGroup
}

func (b *Bench) startProber(ctx context.Context) error {
	b.prober = &prober{address: b.config.net() + ".10:80"}
	return until(ctx, time.Minute, "an answer through nginx", func(context.Context) error {
		return (&user{prober: b.prober}).ask()
	})
}

// start begins a run's count.
func (p *prober) start(ctx context.Context) {
	ctx, p.cancel = context.WithCancel(ctx)
	p.seen = Traffic{}
	for range probeConnections {
		p.work.Go(func() { (&user{prober: p}).run(ctx) })
	}
}

// stop ends it and answers what was seen.
func (p *prober) stop() Traffic {
	if p.cancel != nil {
		p.cancel()
	}
	p.work.Wait()
	return p.seen
}

// user is one kept connection.
type user struct {
	prober *prober
	conn   net.Conn
	in     *bufio.Reader
}

func (u *user) run(ctx context.Context) {
	tick := time.NewTicker(time.Second * probeConnections / probeRate)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			u.close()
			return
		case <-tick.C:
		}
		err := u.ask()
		u.prober.mu.Lock()
		u.prober.seen.Requests++
		if err != nil {
			u.prober.seen.Failed++
			if u.prober.seen.First == "" {
				u.prober.seen.First = time.Now().UTC().Format(time.RFC3339Nano) + " " + err.Error()
			}
		}
		u.prober.mu.Unlock()
	}
}

// ask sends one request and reads its answer; anything but a whole 200 is a failure.
func (u *user) ask() error {
	if u.conn == nil {
		conn, err := net.DialTimeout("tcp", u.prober.address, probeMax)
		if err != nil {
			return err
		}
		u.conn, u.in = conn, bufio.NewReader(conn)
	}
	_ = u.conn.SetDeadline(time.Now().Add(probeMax))
	if _, err := io.WriteString(u.conn, "GET /probe HTTP/1.1\r\nHost: chaos\r\n\r\n"); err != nil {
		u.close()
		return err
	}
	res, err := http.ReadResponse(u.in, nil)
	if err != nil {
		u.close()
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if err != nil || res.Close {
		u.close()
	}
	if err == nil && res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d from %s", res.StatusCode, res.Header.Get("X-Hive-Upstream"))
	}
	return err
}

func (u *user) close() {
	if u.conn != nil {
		_ = u.conn.Close()
		u.conn = nil
	}
}
