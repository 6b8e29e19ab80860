package assignment

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
	"github.com/leanvibe/hive/workers/assignment/archive"
	"github.com/leanvibe/hive/workers/assignment/control"
	"github.com/leanvibe/hive/workers/assignment/home"
	"github.com/leanvibe/hive/workers/assignment/journal"
	"github.com/leanvibe/hive/workers/assignment/partition"
	"github.com/leanvibe/hive/workers/assignment/peer"
	"github.com/leanvibe/hive/workers/assignment/placement"
	"github.com/leanvibe/hive/workers/assignment/route"
	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/process/rediscluster"
)

const (
	// maxMessage bounds one Connect message: a batch shares it.
	maxMessage = 8 << 20
	// compressMin is where gzip begins to pay.
	compressMin = 4 << 10
)

// Config is what the universal-orchestrator is told; docs/universal-orchestrator.md lists
// the environment that FromEnv reads it from.
type Config struct {
	Redis redis.UniversalClient
	// Partitions is how many there are, for the life of the data.
	Partitions int
	// Wait is how many Redis replicas must confirm what is acknowledged.
	Wait int
	// Term is a partition's lease and how long a replica counts as alive.
	Term   time.Duration
	Limits partition.Limits
	// SnapshotBytes is how much a journal may hold before the next snapshot; 0: 64 MiB.
	SnapshotBytes int
	// PeerListen is where other replicas ask; PeerAddress is what they are told, empty:
	// this machine's address and the port of PeerListen.
	PeerListen, PeerAddress, PeerToken string
	// InsideURL is where clients on the replicas' network are told to call this one; empty:
	// the host of PeerAddress and the port of calls.
	InsideURL string
	Store     *archive.Store
	Segments  *archive.Segments // nil: none
	// Control says where the steps come from that drain and resume replicas.
	Control control.Config
}

// segmentsKeep is how long hourly segments are kept.
const segmentsKeep = 30 * 24 * time.Hour

// FromEnv reads the configuration and connects lazily.
func FromEnv(ctx context.Context, instance string) (Config, error) {
	c := Config{Limits: partition.DefaultLimits(), PeerListen: process.String("HIVE_PEER_LISTEN", ":8091"), PeerAddress: process.String("HIVE_PEER_ADDRESS", "")}
	client, err := rediscluster.FromEnv()
	if err != nil {
		return c, err
	}
	c.Redis = client
	var size, journalSize int
	for _, n := range []struct {
		name          string
		to            *int
		fallback, min int
	}{
		{"HIVE_PARTITIONS", &c.Partitions, 4, 1}, {"HIVE_REDIS_WAIT", &c.Wait, 0, 0},
		{"HIVE_TASK_MIB", &size, 64, 1}, {"HIVE_JOURNAL_MIB", &journalSize, 16, 1},
	} {
		if *n.to, err = number(n.name, n.fallback, n.min); err != nil {
			return c, err
		}
	}
	c.Limits.Bytes, c.SnapshotBytes = size<<20, journalSize<<20
	if c.Limits.Lease, err = process.Duration("HIVE_LEASE", c.Limits.Lease); err != nil {
		return c, err
	}
	if c.Term, err = process.Duration("HIVE_TERM", 3*time.Second); err != nil {
		return c, err
	}
	if c.PeerToken, err = process.Secret("HIVE_PEER_TOKEN_FILE"); err != nil {
		return c, err
	}
	if c.PeerToken == "" {
		return c, errors.New("HIVE_PEER_TOKEN_FILE is empty: name a file with a secret that all replicas share, for example /run/secrets/peer_token (openssl rand -hex 24 makes one)")
	}
	if c.InsideURL, err = parseInsideURL(process.String("HIVE_INSIDE_URL", "")); err != nil {
		return c, err
	}
	if c.Control, err = control.FromEnv(); err != nil {
		return c, err
	}
	dsn := process.String("HIVE_POSTGRES_DSN", "")
	if dsn == "" {
		return c, errors.New("HIVE_POSTGRES_DSN is empty: write for example postgres://leanvibe@postgres-primary:5432/leanvibe_production")
	}
	password, err := process.Secret("HIVE_POSTGRES_PASSWORD_FILE")
	if err != nil {
		return c, err
	}
	if c.Store, err = archive.NewStore(ctx, dsn, password, instance); err != nil {
		return c, err
	}
	if dir := process.String("HIVE_DATA_DIR", ""); dir != "" {
		dir = filepath.Join(dir, "archive")
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return c, fmt.Errorf("HIVE_DATA_DIR: %w", err)
		}
		if c.Segments, err = archive.OpenSegments(archive.SegmentsConfig{Dir: dir, Instance: instance, Keep: segmentsKeep}); err != nil {
			return c, fmt.Errorf("HIVE_DATA_DIR: %w", err)
		}
	}
	return c, nil
}

func number(name string, fallback, least int) (int, error) {
	text := process.String(name, strconv.Itoa(fallback))
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > 1<<15 {
		return 0, fmt.Errorf("%s is %q: want a number from %d to %d, for example %d", name, text, least, 1<<15, fallback)
	}
	return n, nil
}

// Setup fills the process with the universal-orchestrator, as the environment says.
func Setup(ctx context.Context, p *process.Process) error {
	uuid.EnableRandPool() // an id a task: one read of random bytes for many
	c, err := FromEnv(ctx, p.Config().Instance)
	if err != nil {
		return err
	}
	return Bind(p, c)
}

// Bind puts the parts together and registers them with the process. It listens for other
// replicas at once, so that a port that is taken is an error of the start.
func Bind(p *process.Process, c Config) error {
	_, err := bind(p, c)
	return err
}

func bind(p *process.Process, c Config) (*service, error) {
	listener, err := net.Listen("tcp", c.PeerListen)
	if err != nil {
		return nil, fmt.Errorf("HIVE_PEER_LISTEN %s: %w", c.PeerListen, err)
	}
	if c.PeerAddress == "" {
		if c.PeerAddress, err = reachable(listener.Addr()); err != nil {
			return nil, err
		}
	}
	host, _, err := net.SplitHostPort(c.PeerAddress)
	if err != nil {
		return nil, fmt.Errorf("HIVE_PEER_ADDRESS is %q: want a host and a port, for example 10.231.2.1:8091", c.PeerAddress)
	}
	s := &service{
		name: p.Config().Instance + "#" + uuid.NewString()[:8], lease: c.Limits.Lease, archive: c.Store, log: p.Log,
		full: &fullness{}, draining: make(chan struct{}), sessions: map[string]*agentStream{},
	}
	s.peers = newPeers(c.PeerToken, s.name).client
	loop := &archive.Loop{
		Store: c.Store, Segments: c.Segments, Log: p.Log,
		OnError: func() { p.CountError("archive") }, OnArchived: func(n int) { s.metrics.count("archived", n) },
	}
	s.keeper = placement.NewKeeper(placement.Options{
		Client: c.Redis, Name: s.name, Address: c.PeerAddress, Partitions: c.Partitions, Term: c.Term, Log: p.Log,
		Open: func(ctx context.Context, n int) (*partition.Partition, error) {
			return partition.Open(ctx, partition.Options{
				Journal: journal.Options{Client: c.Redis, Partition: n, Name: s.name, Lease: c.Term, Replicas: c.Wait},
				Limits:  c.Limits, SnapshotBytes: c.SnapshotBytes, Decided: s.metrics.decided, Durable: s.metrics.madeDurable,
			})
		},
		Peer: func(address string, n int) route.Owner { return s.peers(address).Owner(n) },
		Beside: func(ctx context.Context, _ int, part *partition.Partition) {
			archived := make(chan struct{})
			go func() {
				defer close(archived)
				_ = loop.Run(ctx, part) // it answers nil
			}()
			s.metrics.watch(ctx, part)
			<-archived
		},
	})
	s.router = &route.Router{Partitions: c.Partitions, Directory: s.keeper}
	s.home = home.New(home.Options{Name: s.name, Router: s.router, Log: p.Log})
	s.metrics = newMetrics(p.Registry(), s.home, s.keeper)
	s.register(p)

	peers := &peerPort{listener: listener, handler: (&peer.Server{Local: s.keeper.Local, Leave: s.detachHere, Standing: s.stand}).Handler(c.PeerToken), log: p.Log}
	p.Go("peers", peers.run)
	p.Go("partitions", func(ctx context.Context) error {
		url := c.InsideURL
		if url == "" {
			addr, err := p.Addr(ctx)
			if err != nil {
				return err
			}
			url = insideURL(addr, host, p.Config().TLSCert != "")
		}
		return s.keeper.Run(ctx, url)
	})
	p.Go("home", s.home.Run)
	p.Go("place", s.watchPlace)
	p.Go("fullness", func(ctx context.Context) error { return s.full.watch(ctx, c.Redis) })
	if c.Segments != nil {
		p.Go("segments", func(ctx context.Context) error { <-ctx.Done(); return c.Segments.Close() })
	}
	if c.Control.Temporal != "" {
		s.takeOrders(p, c.Control)
	}
	p.OnDrain(s.stop)
	p.AddCheck(process.Check{Name: "redis", Required: true, Probe: func(ctx context.Context) error { return c.Redis.Ping(ctx).Err() }})
	p.AddCheck(process.Check{Name: "partitions", Required: true, Probe: s.inPlace})
	p.AddCheck(process.Check{Name: "standing", Required: true, Probe: func(context.Context) error { return s.standing.err() }})
	// The archive is behind the path: without PostgreSQL tasks still flow.
	p.AddCheck(process.Check{Name: "postgres", Probe: c.Store.Ping})
	return s, nil
}

// takeOrders has control steps answered until the drain begins.
func (s *service) takeOrders(p *process.Process, c control.Config) {
	w := control.NewWorker(c, fleet{s}, p.Config().Instance, p.Registry(), p.Log)
	drains := make(chan struct{})
	p.OnDrain(func(context.Context) { close(drains) })
	p.Go("control", func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-drains:
				cancel()
			case <-ctx.Done():
			}
		}()
		w.Run(ctx)
		return nil
	})
	p.AddCheck(process.Check{Name: "temporal", Probe: w.Connected})
}

// register serves the calls.
func (s *service) register(p *process.Process) {
	path, handler := hivev1connect.NewAssignmentServiceHandler(rpc{s},
		connect.WithReadMaxBytes(maxMessage), connect.WithCompressMinBytes(compressMin))
	p.Handle(path, handler)
	for _, stream := range []string{
		hivev1connect.AssignmentServiceAttachProcedure, hivev1connect.AssignmentServiceWorkProcedure, hivev1connect.AssignmentServiceSubmitStreamProcedure,
	} {
		p.HandleStream("POST "+stream, withConn(handler))
	}
	rest{s}.register(p)
}

// inPlace is the check that this replica can find every partition's owner.
func (s *service) inPlace(context.Context) error {
	switch {
	case s.keeper.Lost():
		return errors.New("Redis has not said for two terms who owns what")
	case !s.keeper.Placed():
		return errors.New("not every partition has an owner yet")
	}
	return nil
}

// watchPlace sends agents away while this replica does not know who owns what: at another
// they get on.
func (s *service) watchPlace(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if s.keeper.Lost() {
				s.home.Dismiss()
			}
		}
	}
}
