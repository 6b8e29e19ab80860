package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mostConnections is enough for 500 requests a second that take 2 s each.
const mostConnections = 1024

// maxBody bounds what is read of a response; no answer of the stack comes near it.
const maxBody = 1 << 20

// errClosed is a connection that the server closed while nothing was asked of it.
var errClosed = errors.New("closed while idle")

// wire sends single HTTP/1.1 requests over kept-alive connections and never sends one twice.
//
// A connection that the server has closed while it was idle is noticed before use and replaced: no request was on it,
// so none can have failed. Everything else that breaks is the caller's error.
type wire struct {
	address string
	host    string
	token   string
	keep    int
	dialer  net.Dialer
	// places bounds the connections, busy or idle: beyond it a request waits for one, on its own latency's account. A
	// server that slows down would otherwise be met by thousands, and the engine's port forwarder ends at its limit of
	// open files.
	places chan struct{}

	mu   sync.Mutex
	idle []*connection

	opened     atomic.Int64
	idleClosed atomic.Int64
}

type connection struct {
	net.Conn
	reader *bufio.Reader
	// idleSince is when its last answer was read; idleMax is how long the server says that it keeps an idle connection
	// (Keep-Alive: timeout=N), 0 where it says nothing. Beyond it a request would race with the server's closing.
	idleSince time.Time
	idleMax   time.Duration
}

// outlived says that the connection was idle for longer than the server promised to keep it.
func (c *connection) outlived() bool { return c.idleMax > 0 && time.Since(c.idleSince) > c.idleMax }

// promised reads how long the server keeps an idle connection.
func promised(header http.Header) time.Duration {
	for part := range strings.SplitSeq(header.Get("Keep-Alive"), ",") {
		if text, ok := strings.CutPrefix(strings.TrimSpace(part), "timeout="); ok {
			if seconds, err := strconv.Atoi(text); err == nil {
				return time.Duration(seconds) * time.Second
			}
		}
	}
	return 0
}

// request is what is sent: method, target, and for a POST its body and idempotency key.
type request struct {
	method, target, key string
	body                []byte
}

// answer is what came back, whole.
type answer struct {
	status            int
	instance, version string
	body              []byte
}

func newWire(c Config, token string) *wire {
	return &wire{address: c.address(), host: c.host(), token: token, keep: c.Connections, places: make(chan struct{}, max(mostConnections, c.Connections))}
}

// warm opens the kept connections ahead of the first request, so that the first seconds measure the server.
func (w *wire) warm(ctx context.Context) error {
	for range w.keep {
		c, err := w.open(ctx)
		if err != nil {
			return err
		}
		w.release(c)
	}
	return nil
}

// do sends one request and reads its answer; an error means that the outcome of the request is unknown, unless the
// connection could not be opened at all.
func (w *wire) do(ctx context.Context, r request) (answer, error) {
	select {
	case w.places <- struct{}{}:
		defer func() { <-w.places }()
	case <-ctx.Done():
		return answer{}, fmt.Errorf("all %d connections were busy until its time was over: %w", cap(w.places), ctx.Err())
	}
	c, err := w.acquire(ctx)
	if err != nil {
		return answer{}, err
	}
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		_ = c.Close()
		return answer{}, fmt.Errorf("deadline: %w", err)
	}
	if _, err := io.WriteString(c, r.head(w.host, w.token)+string(r.body)); err != nil {
		_ = c.Close()
		return answer{}, fmt.Errorf("send: %w", err)
	}
	a, reusable, err := c.read()
	if err != nil || !reusable {
		_ = c.Close()
		return a, err
	}
	w.release(c)
	return a, nil
}

func (r request) head(host, token string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: hive-load\r\nAccept: application/json\r\n", r.method, r.target, host)
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	if r.key != "" {
		fmt.Fprintf(&b, "Idempotency-Key: %s\r\n", r.key)
	}
	if r.body != nil {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(r.body))
	}
	b.WriteString("\r\n")
	return b.String()
}

func (c *connection) read() (answer, bool, error) {
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return answer{}, false, fmt.Errorf("no response: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	_ = response.Body.Close()
	a := answer{
		status:   response.StatusCode,
		instance: response.Header.Get("X-Hive-Instance"),
		version:  response.Header.Get("X-Hive-Version"),
		body:     body,
	}
	c.idleMax = promised(response.Header)
	if err != nil {
		return a, false, fmt.Errorf("response cut short after %d bytes: %w", len(body), err)
	}
	return a, !response.Close && len(body) < maxBody, nil
}

// acquire takes the connection that has been idle longest, so that all of them stay in use, or opens another.
func (w *wire) acquire(ctx context.Context) (*connection, error) {
	for {
		c := w.oldest()
		if c == nil {
			return w.open(ctx)
		}
		if c.outlived() {
			_ = c.Close()
			continue
		}
		if err := c.alive(); err == nil {
			return c, nil
		}
		w.idleClosed.Add(1)
		_ = c.Close()
	}
}

func (w *wire) oldest() *connection {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.idle) == 0 {
		return nil
	}
	c := w.idle[0]
	w.idle = w.idle[1:]
	return c
}

func (w *wire) open(ctx context.Context) (*connection, error) {
	c, err := w.dialer.DialContext(ctx, "tcp", w.address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	w.opened.Add(1)
	return &connection{Conn: c, reader: bufio.NewReader(c)}, nil
}

func (w *wire) release(c *connection) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.idle) >= w.keep {
		_ = c.Close()
		return
	}
	c.idleSince = time.Now()
	w.idle = append(w.idle, c)
}

func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.idle {
		_ = c.Close()
	}
	w.idle = nil
}

// alive looks at the socket without taking anything from it: an idle connection has nothing to read, so anything but
// "would block" (a FIN, a reset, bytes nobody asked for) means that it must not be used.
func (c *connection) alive() error {
	if c.reader.Buffered() > 0 {
		return errClosed
	}
	raw, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil
	}
	control, err := raw.SyscallConn()
	if err != nil {
		return fmt.Errorf("look at connection: %w", err)
	}
	// Read waits for readiness by the deadline of the last request otherwise.
	if err := c.SetDeadline(time.Time{}); err != nil {
		return fmt.Errorf("deadline: %w", err)
	}
	state := errClosed
	err = control.Read(func(fd uintptr) bool {
		var one [1]byte
		_, _, peek := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		if errors.Is(peek, unix.EAGAIN) {
			state = nil
		}
		return true
	})
	return errors.Join(err, state)
}
