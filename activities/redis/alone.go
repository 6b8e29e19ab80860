package redis

import (
	"context"
	"strconv"

	"github.com/leanvibe/hive/workflows/runbook"
)

// askAlone asks a Redis that is no node of a cluster: does it answer, what is it,
// has it its data, and where it is a master, does it take a key of ours.
func (h Hand) askAlone(ctx context.Context, in runbook.CacheInput, service, password string) view {
	v := view{service: service}
	client, err := h.dial(ctx, in, &v, password)
	if err != nil {
		v.err = "no address: " + runbook.Reason(err)
		return v
	}
	defer client.Close()
	if err = client.Ping(ctx).Err(); err == nil {
		v.info, err = client.Info(ctx).Result()
	}
	if err != nil {
		v.err = runbook.Reason(classify(err, in.Cache))
		return v
	}
	if fact(v.info, "role") == "master" && fact(v.info, "cluster_enabled") != "1" {
		v.probed = probe(ctx, client, "hive:readiness")
		v.writes = v.probed == ""
	}
	return v
}

// judgeAlone judges each server by its own word: there is nobody to compare it with.
func judgeAlone(cache runbook.CachePolicy, views []view) runbook.CacheState {
	j := judgement{}
	masters, written, following := 0, 0, 0
	for _, v := range views {
		n := runbook.CacheNode{Service: v.service, Address: v.address, Err: v.err, Role: "replica", LinkUp: true}
		if v.err != "" {
			n.Role, n.LinkUp = "", false
			j.state.Nodes = append(j.state.Nodes, n)
			continue
		}
		n.UsedBytes, n.LimitBytes = memory(v.info)
		switch {
		case fact(v.info, "cluster_enabled") == "1":
			j.problem("%s is a node of a Redis Cluster, and the policy says cluster: false", v.service)
		case fact(v.info, "role") == "master":
			n.Role = "master"
			masters++
			if v.writes {
				written++
			} else {
				j.problem("%s: %s", v.service, v.probed)
			}
		default:
			if n.LinkUp = fact(v.info, "master_link_status") == "up"; n.LinkUp {
				following++
			}
		}
		j.persistence(v)
		j.state.Nodes = append(j.state.Nodes, n)
	}
	j.state.Written = masters > 0 && written == masters
	if masters == 0 {
		j.problem("no master answers: nobody takes writes")
	}
	if wanted := len(views) - masters; masters > 0 && following < min(wanted, cache.Replicas*masters) {
		j.problem("%d of %d replicas follow: one more failure may lose what was written", following, min(wanted, cache.Replicas*masters))
	}
	if j.state.Problems == nil {
		j.state.Problems = []string{}
	}
	return j.state
}

// memory is what a server uses, and where it begins to refuse writes; 0 where it has
// no limit or makes room by itself.
func memory(info string) (used, limit int64) {
	used, _ = strconv.ParseInt(fact(info, "used_memory"), 10, 64) // 0 where it does not tell
	if fact(info, "maxmemory_policy") == "noeviction" {
		limit, _ = strconv.ParseInt(fact(info, "maxmemory"), 10, 64)
	}
	return used, limit
}
