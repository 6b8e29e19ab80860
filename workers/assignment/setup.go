package assignment

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/leanvibe/hive/api/hive/v1/hivev1connect"
	"github.com/leanvibe/hive/workers/process"
	"github.com/leanvibe/hive/workers/process/rediscluster"
)

// maxMessage bounds one Connect message: a batch shares it.
const maxMessage = 8 << 20

// compressMin is where gzip begins to pay.
const compressMin = 4 << 10

// Setup fills the process with the universal-orchestrator, as the environment
// says: HIVE_REDIS_ADDRS, HIVE_REDIS_PASSWORD_FILE, HIVE_POSTGRES_DSN (without
// password), HIVE_POSTGRES_PASSWORD_FILE, HIVE_LEASE (default 10s).
func Setup(ctx context.Context, p *process.Process) error {
	client, err := rediscluster.FromEnv()
	if err != nil {
		return err
	}
	dsn := process.String("HIVE_POSTGRES_DSN", "")
	if dsn == "" {
		return errors.New("HIVE_POSTGRES_DSN is empty: write for example postgres://leanvibe@postgres-primary:5432/leanvibe_production")
	}
	dbPassword, err := process.Secret("HIVE_POSTGRES_PASSWORD_FILE")
	if err != nil {
		return err
	}
	lease, err := process.Duration("HIVE_LEASE", DefaultLease)
	if err != nil {
		return err
	}
	pool, err := NewPool(ctx, dsn, dbPassword, p.Config().Instance)
	if err != nil {
		return err
	}
	machine := NewMachine(client, lease)
	archive := &Archive{pool: pool, machine: machine, log: p.Log, instance: p.Config().Instance}
	bind(p, machine, archive)
	return nil
}

// bind puts the parts together and registers them with the process.
func bind(p *process.Process, machine *Machine, archive *Archive) {
	met := newMetrics(p.Registry(), p.CountError)
	machine.observe = met.script
	archive.metrics = met
	d := newDispatcher(machine, met, p.Log, p.Config().Instance)
	svc := &service{machine: machine, dispatcher: d, archive: archive, metrics: met, log: p.Log}

	path, handler := hivev1connect.NewAssignmentServiceHandler(rpc{svc},
		connect.WithReadMaxBytes(maxMessage), connect.WithCompressMinBytes(compressMin))
	p.Handle(path, handler)
	p.HandleStream("POST "+hivev1connect.AssignmentServiceAttachProcedure, withConn(handler))
	rest{svc}.register(p)

	p.AddCheck(process.Check{Name: "redis", Required: true, Probe: machine.Ping})
	// The archive is behind the path: without PostgreSQL tasks still flow.
	p.AddCheck(process.Check{Name: "postgres", Probe: archive.Ping})

	sweep := &sweeper{machine: machine, metrics: met, log: p.Log}
	p.Go("sweep", sweep.run)
	p.Go("archive", archive.Run)
	p.Go("events", func(ctx context.Context) error { machine.Listen(ctx, d.events()); return nil })
	p.OnDrain(d.stop)
}
