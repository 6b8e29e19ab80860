package client

import (
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"
)

// WithStreams sends what goes by streams (Submitter and Fleet) through this client,
// whose transport must speak HTTP/2: NewStreamTransport's, or one like it with
// certificates of one's own. Unset takes NewStreamTransport's.
func WithStreams(httpClient *http.Client) Option {
	return func(s *settings) { s.streams = httpClient }
}

// WithStreamsAt has streams go to another base URL: a proxy may have a port of its own for
// HTTP/2, as the shipped nginx has 8084. Unset takes that of New.
func WithStreamsAt(baseURL string) Option { return func(s *settings) { s.streamURL = baseURL } }

// NewStreamTransport speaks HTTP/2 only: without TLS to http:// URLs, as agreed in the
// handshake to https:// ones. All streams of one transport to one host share a
// connection; give clients transports of their own where that is too little.
func NewStreamTransport() *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     30 * time.Second,
		Protocols:           new(http.Protocols),
		// A peer that went without a word is found by pings; no bound on response
		// headers, since a stream's come with its first frame, which may be long away.
		HTTP2: &http.HTTP2Config{
			SendPingTimeout: 5 * time.Second, PingTimeout: 10 * time.Second, WriteByteTimeout: 10 * time.Second,
			MaxReadFrameSize: readFrameMost,
		},
	}
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

// readFrameMost is the size up to which a server may send a message in one piece, in bytes:
// each costs both sides a system call or two, and most servers send 16 KiB unless told.
const readFrameMost = 1 << 20

// streamOptions make it gRPC, which nginx carries with grpc_pass.
func streamOptions() []connect.ClientOption {
	return []connect.ClientOption{connect.WithGRPC(), plain()}
}

// plain has nothing compressed: messages are small and many, full of ids that do not
// compress, and go over a local network.
func plain() connect.ClientOption { return connect.WithAcceptCompression("gzip", nil, nil) }

// answerMax is how long a stream may owe the answer to something sent; then it is cut,
// and what was sent is sent again on the next.
const answerMax = 15 * time.Second

// streamRefused tells whether no stream will ever be accepted.
func streamRefused(err error) bool {
	return isFinal(err) || connect.CodeOf(err) == connect.CodeUnimplemented
}
