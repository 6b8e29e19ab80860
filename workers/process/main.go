package process

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Setup fills a process with its service: handlers, checks, hooks, tasks.
type Setup func(context.Context, *Process) error

// Main runs a service from its environment and exits. The argument "healthcheck"
// asks the running instance on HIVE_LISTEN for /readyz instead and exits 0 or 1:
// images without a shell use it as HEALTHCHECK; "version" prints the version.
func Main(service, version, defaultListen string, setup Setup) {
	if len(os.Args) > 1 {
		os.Exit(command(os.Args[1], version, String("HIVE_LISTEN", defaultListen), os.Getenv("HIVE_TLS_CERT_FILE") != ""))
	}
	// A second signal must not cut the drain short: the engine's SIGKILL after the
	// grace time is the only harder way.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, service, version, defaultListen, setup); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", service, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, service, version, defaultListen string, setup Setup) error {
	cfg, err := FromEnv(service, version, defaultListen)
	if err != nil {
		return err
	}
	p, err := New(cfg)
	if err != nil {
		return err
	}
	go collect(ctx)
	if err := setup(ctx, p); err != nil {
		p.Log.Error("cannot start", "error", err)
		return err
	}
	return p.Run(ctx)
}

func command(name, version, listen string, secure bool) int {
	switch name {
	case "version":
		fmt.Println(version)
		return 0
	case "healthcheck":
		if err := healthcheck(listen, secure); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	default:
		fmt.Fprintf(os.Stderr, "unknown argument %q; known: healthcheck, version; without one the service runs\n", name)
		return 2
	}
}

// healthcheck asks the instance that listens on this machine whether it is ready.
func healthcheck(listen string, secure bool) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("HIVE_LISTEN %q: %w", listen, err)
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	client, scheme := http.Client{Timeout: checkTimeout + time.Second}, "http://"
	if secure {
		scheme = "https://"
		// It asks itself, and the certificate names the service and not this address.
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	}
	resp, err := client.Get(scheme + net.JoinHostPort(host, port) + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", resp.Status)
	}
	return nil
}
