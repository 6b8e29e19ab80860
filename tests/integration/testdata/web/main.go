// Web is a small application as one finds it, which knows nothing of hive: it answers requests, says by /healthz whether
// it reaches its database and its cache, and on SIGTERM ends what is under way.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// version is set by the linker.
var version = "1"

func main() {
	ask := flag.String("ask", "", "ask this address for health and end, instead of serving")
	flag.Parse()
	if *ask != "" {
		answer, err := http.Get(*ask)
		if err != nil || answer.StatusCode != http.StatusOK {
			log.Fatal("not healthy: ", err)
		}
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "version %s %s\n", version, body)
	})
	server := &http.Server{Addr: ":8000", Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		ended <- server.Shutdown(last)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
}

func healthz(w http.ResponseWriter, _ *http.Request) {
	for _, name := range []string{"DATABASE", "CACHE"} {
		c, err := net.DialTimeout("tcp", os.Getenv(name), time.Second)
		if err != nil {
			http.Error(w, name+": "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		_ = c.Close()
	}
	fmt.Fprintln(w, "ok")
}
