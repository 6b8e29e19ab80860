package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/leanvibe/hive/workers/process/rediscluster"
)

const (
	partitions = 4
	// lease is how long an execution is held after the agent was last heard of; short, so
	// that a lost one is given again soon.
	lease     = 4 * time.Second
	readyMost = time.Minute
)

// world is one stack: stores, services, balancers, records.
type world struct {
	dir   string
	redis *cluster
	recorder
	orchestrators, hubs, engines []*service
	agent                        *program // of its own process; nil: none
	phases                       []mark
	tasks, mails                 *balancer
	views                        []*view // of each orchestrator, where the network is to be cut
	log                          *slog.Logger
}

// mark says when a phase began.
type mark struct {
	name string
	at   time.Time
}

// phase begins a phase of the run.
func (w *world) phase(name string) {
	w.log.Info("phase", "name", name)
	w.phases = append(w.phases, mark{name, time.Now()})
}

// service is one replica.
type service struct {
	*program
	addr string
}

// view is what one orchestrator has of the network: every Redis node and every other
// orchestrator is reached through a cable of its own.
type view struct {
	redis []*cable
	peers []*cable
}

// wants says what a world is made of.
type wants struct {
	bin, dir              string
	orchestrators, spares int // spares are not started
	journalMiB, wait      int
	views, agent, behind  bool
	log                   *slog.Logger
}

func newWorld(ctx context.Context, want wants) (_ *world, err error) {
	w := &world{dir: want.dir, log: want.log}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.redis, err = startCluster(ctx, w.dir, want.behind); err != nil {
		return w, err
	}
	if w.tasks, err = startBalancer(ctx, &wire{&w.recorder}); err != nil {
		return w, err
	}
	if w.mails, err = startBalancer(ctx, nil); err != nil {
		return w, err
	}
	if err := w.addOrchestrators(want); err != nil {
		return w, err
	}
	if err := w.addHubs(want); err != nil {
		return w, err
	}
	if err := w.addEngines(want); err != nil {
		return w, err
	}
	for _, s := range append(append(w.orchestrators[:want.orchestrators:want.orchestrators], w.hubs...), w.engines...) {
		if err := s.start(); err != nil {
			return w, err
		}
	}
	w.balance(want.orchestrators)
	w.mails.set(addrs(w.hubs)...)
	if err := w.ready(ctx); err != nil || !want.agent {
		return w, err
	}
	self, err := os.Executable()
	if err != nil {
		return w, err
	}
	w.agent = newProgram(w.dir, "agent", self, []string{agentArgument, w.tasks.url, "stopped-now-and-then"}, nil)
	return w, w.agent.start()
}

// balance tells the balancer that there are n orchestrators.
func (w *world) balance(n int) { w.tasks.set(addrs(w.orchestrators[:n])...) }

func addrs(list []*service) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.addr)
	}
	return out
}

// ready waits until all that the balancers know answer so.
func (w *world) ready(ctx context.Context) error {
	for _, b := range []*balancer{w.tasks, w.mails} {
		b.mu.Lock()
		list := b.known
		b.mu.Unlock()
		for _, addr := range list {
			if err := until(ctx, readyMost, addr+" is ready", func() bool { return b.isUp(addr) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *world) addOrchestrators(want wants) error {
	token := filepath.Join(w.dir, "peer-token")
	if err := os.WriteFile(token, []byte("kills-peer-token-0123456789"), 0o600); err != nil {
		return err
	}
	ports, err := freePorts("127.0.0.1", 2*(want.orchestrators+want.spares))
	if err != nil {
		return err
	}
	for i := range want.orchestrators + want.spares {
		addr, peer := fmt.Sprint("127.0.0.1:", ports[2*i]), fmt.Sprint("127.0.0.1:", ports[2*i+1])
		nodes, announce := w.redis.addrs(), peer
		if want.views {
			v, err := w.newView(i+1, peer)
			if err != nil {
				return err
			}
			nodes, announce = nil, v.peers[0].addr()
			for _, c := range v.redis {
				nodes = append(nodes, c.addr())
			}
		}
		name := fmt.Sprint("orchestrator-", i+1)
		w.orchestrators = append(w.orchestrators, &service{addr: addr, program: newProgram(w.dir, name, filepath.Join(want.bin, "orchestrator"), nil, []string{
			"HIVE_INSTANCE=" + name, "HIVE_LISTEN=" + addr, "HIVE_PEER_LISTEN=" + peer, "HIVE_PEER_ADDRESS=" + announce,
			"HIVE_PEER_TOKEN_FILE=" + token, "HIVE_REDIS_ADDRS=" + strings.Join(nodes, ","), fmt.Sprint("HIVE_REDIS_WAIT=", want.wait),
			"HIVE_POSTGRES_DSN=postgres://nobody@127.0.0.1:1/nowhere?sslmode=disable&connect_timeout=1",
			fmt.Sprint("HIVE_PARTITIONS=", partitions), fmt.Sprint("HIVE_LEASE=", lease), fmt.Sprint("HIVE_TERM=", term), fmt.Sprint("HIVE_JOURNAL_MIB=", want.journalMiB),
			"HIVE_TASK_MIB=1024", "GOMAXPROCS=2",
		})})
	}
	return nil
}

// newView lays the cables of the n-th orchestrator, from 1.
func (w *world) newView(n int, peer string) (*view, error) {
	v := &view{}
	w.views = append(w.views, v)
	host := fmt.Sprintf("127.0.%d.1", n)
	for _, node := range w.redis.nodes {
		c, err := newCable(fmt.Sprint(host, ":", node.port), node.addr(), redisHost, host)
		if err != nil {
			return nil, err
		}
		v.redis = append(v.redis, c)
	}
	c, err := newCable(fmt.Sprintf("127.0.%d.2:0", n), peer, "", "")
	if err != nil {
		return nil, err
	}
	v.peers = append(v.peers, c)
	return v, nil
}

func (w *world) addHubs(want wants) error {
	ports, err := freePorts("127.0.0.1", 2)
	if err != nil {
		return err
	}
	for i, port := range ports {
		name, addr := fmt.Sprint("hub-", i+1), fmt.Sprint("127.0.0.1:", port)
		w.hubs = append(w.hubs, &service{addr: addr, program: newProgram(w.dir, name, filepath.Join(want.bin, "hub"), nil, []string{
			"HIVE_INSTANCE=" + name, "HIVE_LISTEN=" + addr, "HIVE_REDIS_ADDRS=" + strings.Join(w.redis.addrs(), ","), fmt.Sprint("HIVE_REDIS_WAIT=", want.wait), "GOMAXPROCS=2",
		})})
	}
	return nil
}

func (w *world) addEngines(want wants) error {
	ports, err := freePorts("127.0.0.1", 2)
	if err != nil {
		return err
	}
	for i, port := range ports {
		name, addr := fmt.Sprint("engine-", i+1), fmt.Sprint("127.0.0.1:", port)
		w.engines = append(w.engines, &service{addr: addr, program: newProgram(w.dir, name, filepath.Join(want.bin, "engine"), nil, []string{
			"HIVE_INSTANCE=" + name, "HIVE_LISTEN=" + addr, "HIVE_PROXY_URL=" + w.tasks.url, "HIVE_AGENTS=3", "HIVE_AGENT_CAPACITY=4", "GOMAXPROCS=1",
		})})
	}
	return nil
}

// close ends everything that the world began.
func (w *world) close() {
	for _, b := range []*balancer{w.tasks, w.mails} {
		if b != nil {
			b.close()
		}
	}
	if w.agent != nil {
		w.agent.kill()
	}
	for _, list := range [][]*service{w.engines, w.hubs, w.orchestrators} {
		for _, s := range list {
			s.kill()
		}
	}
	if w.redis != nil {
		for _, n := range w.redis.nodes {
			n.kill()
			_ = n.client.Close()
			if n.follow != nil {
				n.follow.close()
			}
		}
	}
	for _, v := range w.views {
		for _, c := range append(v.redis, v.peers...) {
			c.close()
		}
	}
}

// journal reads what the stores have in the end.
func (w *world) journal(ctx context.Context) ([]Change, bool, error) {
	client := rediscluster.New(w.redis.addrs(), "")
	defer client.Close()
	return readJournal(ctx, client, partitions)
}

// tails answers the last lines of the services' logs that say warn or error.
func (w *world) tails(most int) string {
	var out strings.Builder
	for _, s := range w.orchestrators {
		f, err := os.Open(s.log)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err.Error()
		}
		raw, _ := io.ReadAll(f) // what can be read will do
		_ = f.Close()
		var lines []string
		for line := range strings.Lines(string(raw)) {
			if strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, `"level":"WARN"`) || strings.Contains(line, "panic") {
				lines = append(lines, line)
			}
		}
		fmt.Fprintf(&out, "%s:\n%s", s.name, strings.Join(lines[max(0, len(lines)-most):], ""))
	}
	return out.String()
}
