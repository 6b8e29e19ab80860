package main

import (
	"fmt"
	"time"

	"github.com/leanvibe/hive/deploy/temporal/authorizer"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

const (
	clusterName = "active"
	// clusterID must stay the same for the life of a database.
	clusterID = "6f0a7c1e-3b0d-5c55-9d2b-68697665006f"
)

// buckets are a third of the server's default: hundreds of histograms make up most of a scrape.
var buckets = map[string][]float64{
	metrics.UnitNameDimensionless: {1, 10, 100, 1_000, 10_000, 100_000},
	metrics.UnitNameMilliseconds:  {1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000, 60_000, 600_000, 3_600_000},
	metrics.UnitNameBytes:         {1 << 10, 16 << 10, 256 << 10, 1 << 20, 4 << 20, 64 << 20},
}

// services are all of the server's parts. The internal frontend is how they call each other past the authorizer of
// the public one; without it the server's own workers are refused.
var services = []primitives.ServiceName{
	primitives.FrontendService, primitives.InternalFrontendService,
	primitives.HistoryService, primitives.MatchingService, primitives.WorkerService,
}

// newServer builds the Temporal server on its database; Start on the result returns once it serves.
func newServer(s *settings, sql *config.SQL, principals *authorizer.Principals) (temporal.Server, error) {
	ports, err := servicePorts(s)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(services))
	hosts := make(map[primitives.ServiceName]static.Hosts, len(services))
	for _, name := range services {
		names = append(names, string(name))
		hosts[name] = static.SingleLocalHost(s.address(ports[name]))
	}
	server, err := temporal.NewServer(
		temporal.WithConfig(serverConfig(s, sql, ports)),
		temporal.ForServices(names),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(log.NewZapLogger(log.BuildZapLogger(log.Config{Level: s.logLevel}))),
		temporal.WithAuthorizer(principals),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return principals }),
		temporal.WithDynamicConfigClient(dynamicConfig()),
	)
	if err != nil {
		return nil, fmt.Errorf("temporal server: %w", err)
	}
	return server, nil
}

func servicePorts(s *settings) (map[primitives.ServiceName]int, error) {
	free, err := s.freePorts(len(services))
	if err != nil {
		return nil, err
	}
	ports := make(map[primitives.ServiceName]int, len(services))
	for i, name := range services {
		ports[name] = free[i]
	}
	ports[primitives.FrontendService] = s.port
	return ports, nil
}

func serverConfig(s *settings, sql *config.SQL, ports map[primitives.ServiceName]int) *config.Config {
	var c config.Config
	c.Global.Membership = config.Membership{MaxJoinDuration: 30 * time.Second, BroadcastAddress: s.bind}
	c.Global.Metrics = &metrics.Config{
		ClientConfig: metrics.ClientConfig{PerUnitHistogramBoundaries: buckets},
		Prometheus:   &metrics.PrometheusConfig{ListenAddress: s.address(s.metricsPort), HandlerPath: "/metrics"},
	}
	c.Persistence = config.Persistence{
		DefaultStore: sqliteplugin.PluginName, VisibilityStore: sqliteplugin.PluginName, NumHistoryShards: 1,
		DataStores: map[string]config.DataStore{sqliteplugin.PluginName: {SQL: sql}},
	}
	// Visibility.PersistenceCustomSearchAttributes stays unset: a higher limit than the schema's ten keywords and
	// three booleans is accepted, and then a name may land on a column that the SQLite file does not have.
	c.ClusterMetadata = &cluster.Config{
		FailoverVersionIncrement: 10, MasterClusterName: clusterName, CurrentClusterName: clusterName,
		ClusterInformation: map[string]cluster.ClusterInformation{clusterName: {
			Enabled: true, InitialFailoverVersion: 1, RPCAddress: s.address(s.port), ClusterID: clusterID,
		}},
	}
	c.DCRedirectionPolicy.Policy = "noop"
	c.Archival.History.State, c.Archival.Visibility.State = "disabled", "disabled"
	c.NamespaceDefaults.Archival.History.State, c.NamespaceDefaults.Archival.Visibility.State = "disabled", "disabled"
	c.Services = make(map[string]config.Service, len(ports))
	for name, port := range ports {
		c.Services[string(name)] = config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: s.bind}}
	}
	return &c
}

// dynamicConfig is what differs from the server's defaults, and why.
func dynamicConfig() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{
		// The caller that the authorizer names goes into history events.
		dynamicconfig.EnablePrincipalPropagation.Key(): true,
		// A lock is a child workflow: a reset that lets go of its children would never free it.
		dynamicconfig.AllowResetWithPendingChildren.Key(): false,
		// Caches are sized for hundreds of thousands of runs; one machine's operations are a few hundred.
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key():     2_000,
		dynamicconfig.HistoryCacheTTL.Key():                  10 * time.Minute,
		dynamicconfig.EnableHostLevelEventsCache.Key():       true,
		dynamicconfig.EventsHostLevelCacheMaxSizeBytes.Key(): 8 << 20,
		dynamicconfig.EventsCacheTTL.Key():                   10 * time.Minute,
		dynamicconfig.WorkerStickyCacheSize.Key():            100,
		// One process matches all tasks: partitions would only add hops and pollers.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
		// Bounds what lists cost the one database file.
		dynamicconfig.VisibilityPersistenceMaxReadQPS.Key():  100,
		dynamicconfig.VisibilityPersistenceMaxWriteQPS.Key(): 100,
	}
}
