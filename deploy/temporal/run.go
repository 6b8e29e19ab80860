package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/leanvibe/hive/deploy/temporal/authorizer"
	uiserver "github.com/temporalio/ui-server/v2/server"
	"go.temporal.io/server/temporal"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

const (
	bootTimeout = time.Minute
	stopTimeout = 10 * time.Second
)

// run serves until the context ends, then stops browser, user interface and server in this order.
func run(ctx context.Context, s *settings) error {
	if err := s.checkPorts(); err != nil {
		return err
	}
	started := time.Now()
	principals, err := authorizer.New(s.namespace)
	if err != nil {
		return err
	}
	server, err := startServer(s, principals)
	if err != nil {
		return err
	}
	defer stopServer(server)
	conn, err := dial(s, grpc.WithUnaryInterceptor(asBoot(principals)))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	bootCtx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	if err := ensureNamespace(bootCtx, conn, s); err != nil {
		return err
	}
	return serveBrowser(ctx, s, browser{principals: principals, conn: conn, started: started})
}

func startServer(s *settings, principals *authorizer.Principals) (temporal.Server, error) {
	sql, err := openDatabase(s)
	if err != nil {
		return nil, err
	}
	server, err := newServer(s, sql, principals)
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start the temporal server: %w", err)
	}
	return server, nil
}

func stopServer(server temporal.Server) {
	if err := server.Stop(); err != nil {
		slog.Error("temporal server did not stop in good order", "error", err)
	}
}

// browser is what the browser's side needs from the server's.
type browser struct {
	principals *authorizer.Principals
	conn       *grpc.ClientConn
	started    time.Time
}

// serveBrowser starts user interface and front and returns when the context ends or the front fails.
func serveBrowser(ctx context.Context, s *settings, b browser) error {
	listener, err := net.Listen("tcp", s.address(s.uiPort))
	if err != nil {
		return fmt.Errorf("listen for browsers: %w", err)
	}
	inner, err := s.freePorts(1)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	innerPort := inner[0]
	ui := newUI(s, innerPort, b.principals)
	go startUI(ui)
	defer ui.Stop()
	front := newFront(s, innerPort, func(ctx context.Context) error {
		return errors.Join(serverHealth(ctx, b.conn, s), pageHealth(ctx, "http://"+s.address(innerPort)+"/healthz"))
	})
	if err := awaitPage(ctx, "http://"+s.address(innerPort)+"/healthz"); err != nil {
		return errors.Join(err, listener.Close())
	}
	failed := make(chan error, 1)
	go func() { failed <- front.Serve(listener) }()
	slog.Info("serving", "version", version, "namespace", s.namespace, "grpc", s.address(s.port),
		"ui", "http://"+s.address(s.uiPort), "metrics", "http://"+s.address(s.metricsPort)+"/metrics",
		"database", s.database(), "ready_ms", time.Since(b.started).Milliseconds())
	select {
	case err := <-failed:
		return fmt.Errorf("serve browsers: %w", err)
	case <-ctx.Done():
	}
	slog.Info("stopping")
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := front.Shutdown(stopCtx); err != nil && !errors.Is(err, http.ErrServerClosed) {
		slog.Warn("browsers were cut off", "error", err)
	}
	return nil
}

// startUI blocks until the user interface is stopped; the library itself ends the process when it cannot listen.
func startUI(ui *uiserver.Server) {
	if err := ui.Start(); err != nil {
		slog.Error("user interface", "error", err)
	}
}

// awaitPage waits until the user interface answers: it says nothing when it listens.
func awaitPage(ctx context.Context, page string) error {
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := pageHealth(ctx, page)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// asBoot marks the boot sequence's own calls, so that events and logs do not show them as an unnamed client's.
func asBoot(principals *authorizer.Principals) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		md, _ := metadata.FromOutgoingContext(ctx)
		ctx = metadata.NewOutgoingContext(ctx, metadata.Join(md, principals.Proof(authorizer.Boot)))
		return invoke(ctx, method, req, reply, cc, opts...)
	}
}
