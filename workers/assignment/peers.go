package assignment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/leanvibe/hive/workers/assignment/peer"
)

// peers keeps a client for each replica that was ever asked: their connections are kept.
type peers struct {
	token, name string
	mu          sync.Mutex
	clients     map[string]*peer.Client
}

func newPeers(token, name string) *peers {
	return &peers{token: token, name: name, clients: map[string]*peer.Client{}}
}

// client answers the client of an address.
func (p *peers) client(address string) *peer.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.clients[address] == nil {
		p.clients[address] = peer.NewClient(address, p.token, p.name)
	}
	return p.clients[address]
}

// peerPort is where other replicas ask.
type peerPort struct {
	listener net.Listener
	handler  http.Handler
	log      *slog.Logger
}

// closeMost bounds the end of what other replicas still ask when this one has nothing any more.
const closeMost = 2 * time.Second

// run serves until ctx ends.
func (p *peerPort) run(ctx context.Context) error {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{
		Handler: p.handler, Protocols: &protocols, ReadHeaderTimeout: 10 * time.Second,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: 10_000, SendPingTimeout: 2 * time.Second, PingTimeout: 2 * time.Second},
		ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	over := make(chan error, 1)
	go func() { over <- srv.Serve(p.listener) }()
	select {
	case err := <-over:
		return fmt.Errorf("serving other replicas: %w", err)
	case <-ctx.Done():
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeMost)
	defer cancel()
	if err := srv.Shutdown(limited); err != nil {
		err = srv.Close() // desks of replicas that have not gone yet
		p.log.Info("other replicas were still connected", "error", err)
	}
	return nil
}

// reachable answers where others reach a listener: the address itself, or that of this
// machine's first network.
func reachable(addr net.Addr) (string, error) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return "", fmt.Errorf("HIVE_PEER_LISTEN %s is no TCP address: want for example :8091", addr)
	}
	if !tcp.IP.IsUnspecified() {
		return tcp.String(), nil
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for _, a := range all {
		if network, ok := a.(*net.IPNet); ok && !network.IP.IsLoopback() && network.IP.To4() != nil {
			return net.JoinHostPort(network.IP.String(), fmt.Sprint(tcp.Port)), nil
		}
	}
	return "", errors.New("this machine has no IPv4 address that other replicas could reach: set HIVE_PEER_ADDRESS, for example 10.231.2.1:8091")
}
