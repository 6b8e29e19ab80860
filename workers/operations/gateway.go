package operations

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// bindEvery is how often the gateway's address is looked for: it exists only while
// the stack's network does.
const bindEvery = 5 * time.Second

// gateway serves the metrics and the health of this process on the gateway address
// of the stack's network too, where the stack's Prometheus can reach it. The address
// is one of this host's own, and never 0.0.0.0.
type gateway struct {
	// address answers where to listen, empty for nowhere; it fails while nobody can know.
	address func(context.Context) (string, error)
	// local is the process's own listener on loopback.
	local func(context.Context) (net.Addr, error)
	log   *slog.Logger
	// every is how often the address is looked for; zero means bindEvery.
	every time.Duration
}

// run keeps the listener on the address until the context ends.
func (g gateway) run(ctx context.Context) error {
	local, err := g.local(ctx)
	if err != nil {
		return nil //nolint:nilerr // the context ended before the process listened: there is nothing to serve
	}
	var bound, said string
	var serving *http.Server
	every(ctx, cmp.Or(g.every, bindEvery), func() {
		wanted, err := g.address(ctx)
		if err == nil && wanted == bound {
			return
		}
		if err == nil && wanted == "" {
			_ = serving.Close() // there was one, for bound is not empty
			serving, bound = nil, ""
			return
		}
		if err == nil {
			var next *http.Server
			if next, err = g.serve(wanted, local.String()); err == nil {
				if serving != nil {
					_ = serving.Close()
				}
				serving, bound = next, wanted
				g.log.Info("serving", "address", wanted)
			}
		}
		said = sayOnce(g.log, said, "metrics cannot be served to the stack", err)
	})
	if serving != nil {
		_ = serving.Close() // answers in flight are metrics: Prometheus asks again
	}
	return nil
}

// serve hands on what may be asked from the stack to the listener on loopback.
func (g gateway) serve(address, local string) (*http.Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	inner := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: local})
	errors := slog.NewLogLogger(g.log.Handler(), slog.LevelWarn)
	inner.ErrorLog = errors
	mux := http.NewServeMux()
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		mux.Handle("GET "+path, inner)
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: bindEvery, IdleTimeout: time.Minute, ErrorLog: errors}
	go func() { _ = srv.Serve(listener) }() // ends with Close alone
	return srv, nil
}

// gatewayAddress is the gateway of the stack's network as the compose file gives it:
// its own, else the first address of the subnet, which is the engine's choice too.
func gatewayAddress(project *types.Project, network, port string) (string, error) {
	for _, n := range project.Networks {
		if n.Name != network {
			continue
		}
		for _, pool := range n.Ipam.Config {
			if gateway, err := netip.ParseAddr(pool.Gateway); err == nil && gateway.Is4() {
				return net.JoinHostPort(gateway.String(), port), nil
			}
			if subnet, err := netip.ParsePrefix(pool.Subnet); err == nil && subnet.Addr().Is4() {
				return net.JoinHostPort(subnet.Masked().Addr().Next().String(), port), nil
			}
		}
	}
	return "", fmt.Errorf("network %q has no subnet of its own in the compose file: add ipam.config.subnet", network)
}
