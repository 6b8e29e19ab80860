// Command app is both services of the chaos kit's mini stack. As a web service it answers requests, as a worker it takes
// tasks of its own making; both keep the product's contract: /readyz, a drain that answers 503 first, /control/*.
//
// A broken image (BROKEN=1) is well until the file "break" appears in its log directory: then a web service answers 503
// and a worker's health check fails. So a roll to it always fails at the same place, however long a kill held it up.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	listen = ":8080"
	logDir = "/var/log/hive"
	// drainMin is how long new requests are sent elsewhere before the listener closes.
	drainMin = time.Second
	// taskEvery and taskFor are a worker's work.
	taskEvery = 100 * time.Millisecond
	taskFor   = 20 * time.Millisecond
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "check" {
		os.Exit(check())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// check is the image's HEALTHCHECK.
func check() int {
	client := http.Client{Timeout: time.Second}
	res, err := client.Get("http://127.0.0.1" + listen + "/check")
	if err != nil {
		return 1
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 1
	}
	return 0
}

type service struct {
	mu       sync.Mutex
	leaving  bool
	draining bool
	taken    int64
	busy     int64
}

func run(ctx context.Context) error {
	s := &service{}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", s.ready)
	mux.HandleFunc("/check", s.check)
	if os.Getenv("ROLE") == "worker" {
		mux.HandleFunc("GET /control/status", s.status)
		mux.HandleFunc("POST /control/drain", func(w http.ResponseWriter, r *http.Request) { s.turn(true); s.status(w, r) })
		mux.HandleFunc("POST /control/resume", func(w http.ResponseWriter, r *http.Request) { s.turn(false); s.status(w, r) })
		go s.work(ctx)
	} else {
		mux.HandleFunc("/", s.answer)
	}
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.leaving = true
	s.mu.Unlock()
	<-time.After(drainMin)
	stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return server.Shutdown(stop)
}

// broken says that the image shows its fault now.
func broken() bool {
	_, err := os.Stat(filepath.Join(logDir, "break"))
	return os.Getenv("BROKEN") != "" && err == nil
}

func (s *service) isLeaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaving
}

func (s *service) ready(w http.ResponseWriter, _ *http.Request) {
	if s.isLeaving() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (s *service) check(w http.ResponseWriter, r *http.Request) {
	if os.Getenv("ROLE") == "worker" && broken() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	s.ready(w, r)
}

func (s *service) answer(w http.ResponseWriter, _ *http.Request) {
	if s.isLeaving() || broken() {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	host, _ := os.Hostname()
	w.Header().Set("X-Hive-Instance", host)
	fmt.Fprintln(w, os.Getenv("VERSION"))
}

// turn drains or resumes. Each real change is a line in a file that outlives the container, where the kit counts it.
func (s *service) turn(draining bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining == draining {
		return
	}
	s.draining = draining
	host, _ := os.Hostname()
	f, err := os.OpenFile(filepath.Join(logDir, "turns"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s draining=%t\n", host, draining)
}

func (s *service) work(ctx context.Context) {
	tick := time.NewTicker(taskEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.begin() {
			continue
		}
		<-time.After(taskFor)
		s.mu.Lock()
		s.busy--
		s.mu.Unlock()
	}
}

func (s *service) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining || s.leaving {
		return false
	}
	s.taken++
	s.busy++
	return true
}

func (s *service) status(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]any{"draining": s.draining, "in_flight": s.busy, "tasks_taken": s.taken})
}
