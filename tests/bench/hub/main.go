// Command hub measures the communication-hub: it starts a Redis of one node in
// cluster mode, a hub process before it, and 64 agents that send 128-byte
// messages to each other over binary WebSockets: first as fast as they are
// stored, then at half of what that came to.
//
//	go run ./tests/bench/hub [-agents 64] [-seconds 10] [-rate 0] [-fsync everysec] [-peers 1] [-window 512]
//
// With -peers 64 -window 64 each message goes to another mailbox, which costs the most.
//
// A message counts when the hub has said that it is stored, the receiver has
// handled it, and nothing is lost or repeated at the end. The second part is an
// open loop: messages are due at even intervals, are sent whether or not the hub
// keeps up, and their times count from when they were due. One machine, one
// clock. It fails when a message is lost or a bar is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof" // the hub's profile, on HIVE_BENCH_PPROF
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/workers/messaging"
	"github.com/leanvibe/hive/workers/process"
)

// serveAs makes this binary the hub.
const serveAs = "HIVE_BENCH_SERVE"

type options struct {
	agents, peers, seconds, rate, window, size int
	load                                       int // which of a run it is
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
	flag.IntVar(&o.rate, "rate", 0, "only this many messages a second of all together; 0: as fast as they are stored, then half of it")
	flag.IntVar(&o.window, "window", 512, "messages of each agent that may wait to be stored, where no rate is kept")
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
	if o.idle {
		return idle(ctx, o, url, server)
	}
	var failed error
	rate := o.rate
	if rate == 0 {
		r, err := measure(ctx, o, url, 0, store, server)
		if err != nil {
			return err
		}
		failed, rate = r.throughputBar(o), int(r.throughput()/2)
		o.load++
	}
	r, err := measure(ctx, o, url, rate, store, server)
	if err != nil {
		return err
	}
	return errors.Join(failed, r.latencyBar())
}

// measure loads the hub once and prints what came of it.
func measure(ctx context.Context, o options, url string, rate int, store, server *exec.Cmd) (*result, error) {
	before := []time.Duration{cpu(store), cpu(server), cpu(nil)}
	r, err := load(ctx, o, url, rate)
	if err != nil {
		return nil, err
	}
	used := []time.Duration{cpu(store) - before[0], cpu(server) - before[1], cpu(nil) - before[2]}
	r.print(o, used, rss(server))
	if r.lost > 0 || r.repeated > 0 || r.disordered > 0 {
		return nil, errors.New("messages lost, repeated or out of order")
	}
	return r, nil
}

func startRedis(ctx context.Context, dir string, ports []string, fsync string) (*exec.Cmd, error) {
	cmd := exec.Command("redis-server", "--port", ports[0], "--bind", "127.0.0.1", "--dir", dir, "--logfile", dir+"/log",
		"--cluster-enabled", "yes", "--cluster-port", ports[1], "--save", "",
		// A rewrite of the file takes a processor for itself, and at this rate one would fall into each run.
		"--appendonly", "yes", "--appendfsync", fsync, "--auto-aof-rewrite-percentage", "0")
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
