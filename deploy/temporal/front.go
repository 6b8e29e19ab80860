package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// newFront is the browser's way in: the banner, the health of server and user interface, and the user interface
// itself behind a check of the Host header. The check matters because there is no login: a foreign page whose name
// resolves to 127.0.0.1 would otherwise be same-origin with the user interface.
func newFront(s *settings, innerPort int, health func(context.Context) error) *http.Server {
	inner := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.address(innerPort)})
	inner.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
		if !errors.Is(err, context.Canceled) {
			slog.Warn("user interface does not answer", "path", r.URL.Path, "error", err)
		}
		http.Error(w, "the user interface does not answer; see the log of hive-temporal", http.StatusBadGateway)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+bannerPath, serveBanner(s.banner))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := health(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.Handle("/", inner)
	return &http.Server{
		Addr: s.address(s.uiPort), Handler: loopbackOnly(mux), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return context.Background() },
	}
}

// loopbackOnly refuses requests that name another host than this machine's loopback.
func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, fmt.Sprintf("host %q is refused: there is no login here, so only localhost and 127.0.0.1 are answered", r.Host), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
