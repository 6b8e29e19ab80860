package operations

import (
	dockerclient "github.com/docker/docker/client"
	temporalclient "go.temporal.io/sdk/client"

	"github.com/leanvibe/hive/activities/alertmanager"
	"github.com/leanvibe/hive/activities/docker"
	"github.com/leanvibe/hive/activities/host"
	"github.com/leanvibe/hive/activities/ledger"
	"github.com/leanvibe/hive/activities/notify"
	"github.com/leanvibe/hive/activities/policy"
	"github.com/leanvibe/hive/activities/postgres"
	"github.com/leanvibe/hive/activities/probe"
	"github.com/leanvibe/hive/activities/prometheus"
	"github.com/leanvibe/hive/activities/proxy"
	"github.com/leanvibe/hive/activities/redis"
	"github.com/leanvibe/hive/activities/temporal"
)

// hands are all systems that procedures touch, each by its hand.
type hands struct {
	policy       policy.Hand
	docker       docker.Hand
	proxy        proxy.Hand
	postgres     postgres.Hand
	redis        redis.Hand
	prometheus   prometheus.Hand
	alertmanager alertmanager.Hand
	host         host.Hand
	probe        probe.Hand
	notify       notify.Hand
	ledger       *ledger.Book
	temporal     temporal.Hand
	schedules    temporal.Schedules
}

// assemble makes the hands for one project. What a hand needs of another system
// (an address, a hash) it is given here, so that no hand imports another. Without a
// server the hands on Temporal hold nothing.
func assemble(projectDir string, engine dockerclient.APIClient, server temporalclient.Client, book *ledger.Book) hands {
	where := locator{engine}
	h := hands{
		policy:   policy.Hand{ProjectDir: projectDir, Hash: docker.Hash, Untranslated: docker.Untranslated},
		docker:   docker.Hand{API: engine, ProjectDir: projectDir, ComposeFiles: policy.Hand{ProjectDir: projectDir}.ComposeFiles, Turns: docker.NewTurns()},
		proxy:    proxy.Hand{API: engine, ProjectDir: projectDir},
		postgres: postgres.Hand{ProjectDir: projectDir, Locate: where.address, FreeDisk: where.freeDisk},
		redis:    redis.Hand{ProjectDir: projectDir, Locate: where.address},
		host:     host.Hand{ProjectDir: projectDir},
		probe:    probe.Hand{ProjectDir: projectDir},
		notify:   notify.Hand{ProjectDir: projectDir},
		ledger:   book,
	}
	if server != nil {
		h.temporal = temporal.Hand{Client: server}
		h.schedules = temporal.Schedules{Client: server.ScheduleClient()}
	}
	return h
}
