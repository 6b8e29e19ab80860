// Command hub measures the communication-hub: it starts a Redis of one node in
// cluster mode, a hub process before it, and 64 agents that send 128-byte
// messages to each other over binary WebSockets.
//
//	go run ./tests/bench/hub [-agents 64] [-seconds 10] [-rate 0] [-fsync everysec] [-peers 1] [-window 4096]
//
// A message counts when the hub has said that it is stored, the receiver has
// handled it, and nothing is lost or repeated at the end. Times are from the
// sender's call to the receiver's handler, one machine, one clock.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // the hub's profile, on HIVE_BENCH_PPROF
	"os"
	"os/exec"
	"runtime"
	"sort"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/workers/messaging"
	"github.com/leanvibe/hive/workers/process"
)

// serveAs makes this binary the hub.
const serveAs = "HIVE_BENCH_SERVE"

type options struct {
	agents, peers, seconds, rate, window, size int
	fsync, pprof                               string
	idle                                       bool
}

func main() {
	if os.Getenv(serveAs) != "" {
		if addr := os.Getenv("HIVE_BENCH_PPROF"); addr != "" {
			go func() { _ = http.ListenAndServe(addr, nil) }()
		}
		process.Main("communication-hub", "bench", ":0", messaging.Setup)
		return
	}
	var o options
	flag.IntVar(&o.agents, "agents", 64, "WebSockets")
	flag.IntVar(&o.peers, "peers", 1, "to how many others each sends, in turn")
	flag.IntVar(&o.seconds, "seconds", 10, "length")
	flag.IntVar(&o.rate, "rate", 0, "messages a second of all together; 0: as fast as they are stored")
	flag.IntVar(&o.window, "window", 512, "messages of each agent that may wait to be stored")
	flag.IntVar(&o.size, "bytes", 128, "body")
	flag.StringVar(&o.fsync, "fsync", "everysec", "appendfsync")
	flag.StringVar(&o.pprof, "pprof", "", "address for the hub's profiles")
	flag.BoolVar(&o.idle, "idle", false, "only connect, and print the hub's memory")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "hub bench:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "hubbench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	store, err := startRedis(ctx, dir, ports, o.fsync)
	if err != nil {
		return err
	}
	defer end(store)
	server, url, err := startHub(ctx, ports, o.pprof)
	if err != nil {
		return err
	}
	defer end(server)
	before := []time.Duration{cpu(store), cpu(server), cpu(nil)}
	if o.idle {
		return idle(ctx, o, url, server)
	}
	r, err := load(ctx, o, url)
	if err != nil {
		return err
	}
	used := []time.Duration{cpu(store) - before[0], cpu(server) - before[1], cpu(nil) - before[2]}
	print(o, r, used, rss(server))
	if r.lost > 0 || r.repeated > 0 || r.disordered > 0 {
		return errors.New("messages lost, repeated or out of order")
	}
	return nil
}

func startRedis(ctx context.Context, dir string, ports []string, fsync string) (*exec.Cmd, error) {
	cmd := exec.Command("redis-server", "--port", ports[0], "--bind", "127.0.0.1", "--dir", dir, "--logfile", dir+"/log",
		"--cluster-enabled", "yes", "--cluster-port", ports[1], "--save", "", "--appendonly", "yes", "--appendfsync", fsync)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + ports[0]})
	defer c.Close()
	ready := func() bool {
		_ = c.ClusterAddSlotsRange(ctx, 0, 16383).Err() // refused once done
		return strings.Contains(c.ClusterInfo(ctx).Val(), "cluster_state:ok")
	}
	return cmd, until(ready)
}

func startHub(_ context.Context, ports []string, pprof string) (*exec.Cmd, string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), serveAs+"=1", "HIVE_LISTEN=127.0.0.1:"+ports[2],
		"HIVE_REDIS_ADDRS=127.0.0.1:"+ports[0], "HIVE_BENCH_PPROF="+pprof)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	url := "http://127.0.0.1:" + ports[2]
	return cmd, url, until(func() bool {
		resp, err := http.Get(url + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func until(ok func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			return errors.New("not ready within 30 s")
		case <-tick.C:
		}
	}
	return nil
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func freePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	return ports, nil
}

// print writes the result as a table.
func print(o options, r *result, used []time.Duration, memory int64) {
	rates := append([]float64(nil), r.perSecond...)
	sort.Float64s(rates)
	fmt.Printf("agents %d  peers %d  body %d B  fsync %s  window %d  GOMAXPROCS %d  cores %d\n",
		o.agents, o.peers, o.size, o.fsync, o.window, runtime.GOMAXPROCS(0), runtime.NumCPU())
	fmt.Printf("delivered %d in %.2f s: %.0f messages/s (median second %.0f)\n",
		r.received, r.took.Seconds(), float64(r.received)/r.took.Seconds(), rates[len(rates)/2])
	for _, h := range []struct {
		name string
		h    *hdrhistogram.Histogram
	}{{"sent to stored   ", r.stored}, {"sent to delivered", r.delivered}} {
		fmt.Printf("%s  p50 %.2f ms  p99 %.2f ms  max %.2f ms\n", h.name,
			float64(h.h.ValueAtQuantile(50))/1000, float64(h.h.ValueAtQuantile(99))/1000, float64(h.h.Max())/1000)
	}
	fmt.Printf("lost %d  repeated %d  out of order %d\n", r.lost, r.repeated, r.disordered)
	fmt.Printf("CPU per message: redis %.2f us, hub %.2f us, agents %.2f us; hub resident %d MB\n",
		per(used[0], r.received), per(used[1], r.received), per(used[2], r.received), memory>>20)
}

func per(d time.Duration, n int64) float64 { return float64(d.Microseconds()) / float64(max(n, 1)) }

// body is a sender, a number and a time, filled up.
func body(size int, sender uint32, number uint64, at time.Time) []byte {
	b := make([]byte, max(size, 20))
	binary.LittleEndian.PutUint32(b, sender)
	binary.LittleEndian.PutUint64(b[4:], number)
	binary.LittleEndian.PutUint64(b[12:], uint64(at.UnixNano()))
	return b
}
