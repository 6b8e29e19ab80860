package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/leanvibe/hive/api/frame"
)

const (
	// reconnectBar is how soon a closed socket must be back.
	reconnectBar = time.Second
	// reconnectEvery is the pause between two attempts to come back.
	reconnectEvery = 20 * time.Millisecond
)

// errNoGreeting is a hub that accepted a connection and did not greet.
var errNoGreeting = errors.New("the hub did not greet")

// sockets are the run's WebSockets: a ring in which each sends numbered messages to the next.
type sockets struct {
	config  Config
	members []*socket
	stop    context.CancelFunc
	quiet   chan struct{} // closed: send nothing more
	group   sync.WaitGroup
}

// openSockets connects all of them before it returns.
func openSockets(ctx context.Context, config Config, token string) (*sockets, error) {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &sockets{config: config, stop: stop, quiet: make(chan struct{})}
	mail := &mail{messages: map[string]*message{}}
	for i := range max(config.Sockets, 0) {
		s.members = append(s.members, &socket{
			config: config, token: token, mail: mail, agent: agentName(config, i), peer: agentName(config, (i+1)%config.Sockets),
		})
	}
	for _, m := range s.members {
		connection, err := m.dial(ctx)
		if err != nil {
			stop()
			return nil, fmt.Errorf("WebSocket of agent %s at %s: %w", m.agent, config.BaseURL, err)
		}
		s.group.Go(func() { m.run(running, connection, s.quiet) })
	}
	return s, nil
}

func agentName(config Config, i int) string { return fmt.Sprintf("load-%s-%d", config.Run, i) }

// finish stops the sending, waits for what was acknowledged to arrive, and closes.
func (s *sockets) finish(ctx context.Context) Sockets {
	close(s.quiet)
	if len(s.members) > 0 {
		bounded, cancel := context.WithTimeout(ctx, s.config.Settle)
		s.members[0].mail.await(bounded)
		cancel()
	}
	s.stop()
	s.group.Wait()
	return s.verdict()
}

// socket is one agent's connection and its history.
type socket struct {
	config      Config
	token       string
	mail        *mail
	agent, peer string
	next        int // number of the next message

	mu       sync.Mutex
	cursor   string // of the last message that came; whoever comes back names it
	closures []Closure
}

// Closure is one end of a connection that the loader did not ask for.
type Closure struct {
	At time.Time `json:"at"`
	// Code is the WebSocket's close code; 1006 where the connection broke without one.
	Code int `json:"code"`
	// Why is what the connection's end looked like.
	Why string `json:"why"`
	// BackMS is how long it took until a hub had greeted us again; null: none did.
	BackMS *float64 `json:"back_ms"`
	// Attempts to connect it took.
	Attempts int `json:"attempts"`
}

// inOrder: going away, said so, and back in time.
func (c Closure) inOrder(bar time.Duration) bool {
	return c.Code == int(websocket.StatusGoingAway) && c.BackMS != nil && *c.BackMS <= float64(bar.Milliseconds())
}

// dial connects and waits for the hub's greeting: a hub that drains may still accept and close at once.
func (s *socket) dial(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	target := "ws" + strings.TrimPrefix(s.config.BaseURL, "http") + "/v1/hub/connect?agent=" + url.QueryEscape(s.agent)
	s.mu.Lock()
	if s.cursor != "" {
		target += "&cursor=" + url.QueryEscape(s.cursor)
	}
	s.mu.Unlock()
	// Each has a transport of its own: a shared one would hand its connection pool between them.
	options := &websocket.DialOptions{HTTPClient: &http.Client{Transport: &http.Transport{}}, HTTPHeader: http.Header{}}
	if s.token != "" {
		options.HTTPHeader.Set("Authorization", "Bearer "+s.token)
	}
	connection, response, err := websocket.Dial(ctx, target, options)
	if response != nil && response.Body != nil {
		defer response.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	var hello frame.Frame
	if err := wsjson.Read(ctx, connection, &hello); err != nil || hello.Type != frame.Hello {
		_ = connection.CloseNow()
		return nil, fmt.Errorf("no greeting but %q: %w", hello.Type, errors.Join(errNoGreeting, err))
	}
	return connection, nil
}

// run holds the connection open until ctx ends, coming back whenever it is closed.
func (s *socket) run(ctx context.Context, connection *websocket.Conn, quiet <-chan struct{}) {
	for {
		err := s.talk(ctx, connection, quiet)
		if ctx.Err() != nil {
			_ = connection.Close(websocket.StatusNormalClosure, "")
			return
		}
		_ = connection.CloseNow()
		connection = s.comeBack(ctx, err)
		if connection == nil {
			return
		}
	}
}

// comeBack records why the connection ended and connects again.
func (s *socket) comeBack(ctx context.Context, why error) *websocket.Conn {
	closed := time.Now()
	c := Closure{At: closed.UTC(), Code: closeCode(why), Why: why.Error()}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closures = append(s.closures, c)
	}()
	ticker := time.NewTicker(reconnectEvery)
	defer ticker.Stop()
	for {
		c.Attempts++
		if connection, err := s.dial(ctx); err == nil {
			ms := float64(time.Since(closed).Microseconds()) / 1000
			c.BackMS = &ms
			return connection
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func closeCode(err error) int {
	if code := websocket.CloseStatus(err); code >= 0 {
		return int(code)
	}
	return int(websocket.StatusAbnormalClosure)
}

// talk sends a message each beat and reads until the connection ends; it returns how it ended.
func (s *socket) talk(ctx context.Context, connection *websocket.Conn, quiet <-chan struct{}) error {
	speaking, stop := context.WithCancel(ctx)
	var speaker sync.WaitGroup
	speaker.Go(func() { s.speak(speaking, connection, quiet) })
	defer speaker.Wait()
	defer stop()
	for {
		var f frame.Frame
		if err := wsjson.Read(ctx, connection, &f); err != nil {
			return err
		}
		if err := s.hear(ctx, connection, f); err != nil {
			return err
		}
	}
}

// speak sends until told to be quiet. A send that fails ends nothing here: the reader learns how the connection ended.
func (s *socket) speak(ctx context.Context, connection *websocket.Conn, quiet <-chan struct{}) {
	ticker := time.NewTicker(s.config.Beat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-quiet:
			return
		case <-ticker.C:
		}
		id := fmt.Sprintf("%s-%d", s.agent, s.next)
		s.next++
		s.mail.sending(id)
		if err := s.write(ctx, connection, frame.Frame{Type: frame.Send, ID: id, To: s.peer, Body: []byte(`{"load":true}`)}); err != nil {
			return
		}
	}
}

func (s *socket) hear(ctx context.Context, connection *websocket.Conn, f frame.Frame) error {
	switch f.Type {
	case frame.Sent:
		s.mail.acknowledged(f.ID)
	case frame.Deliver:
		s.mu.Lock()
		s.cursor = f.Cursor
		s.mu.Unlock()
		s.mail.received(f.ID)
		return s.write(ctx, connection, frame.Frame{Type: frame.Ack, Cursor: f.Cursor})
	case frame.Error:
		s.mail.refused(f.ID)
	}
	return nil
}

func (s *socket) write(ctx context.Context, connection *websocket.Conn, f frame.Frame) error {
	bounded, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	return wsjson.Write(bounded, connection, f)
}
