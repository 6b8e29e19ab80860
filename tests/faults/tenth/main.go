// Command tenth is the bad image of `make faults` that works well nine times out of ten: it stands before the real
// service and answers every tenth request of users with 500. Health it passes on.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const behind = "127.0.0.1:18081"

func main() {
	real := exec.Command("/usr/local/bin/service")
	real.Env = append(os.Environ(), "HIVE_LISTEN="+behind)
	real.Stdout, real.Stderr = os.Stdout, os.Stderr
	if err := real.Start(); err != nil {
		log.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: behind})
	proxy.FlushInterval = -1
	var n atomic.Int64
	server := &http.Server{Addr: os.Getenv("HIVE_LISTEN"), ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") && n.Add(1)%10 == 0 {
			http.Error(w, "one in ten", http.StatusInternalServerError)
			return
		}
		proxy.ServeHTTP(w, r)
	})}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		_ = real.Process.Signal(syscall.SIGTERM)
		_ = real.Wait()
		_ = server.Shutdown(context.WithoutCancel(ctx))
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
