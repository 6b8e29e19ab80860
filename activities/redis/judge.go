package redis

import (
	"fmt"
	"sort"
	"strings"

	"github.com/leanvibe/hive/workflows/runbook"
)

// view is what one node answered.
type view struct {
	service, address string
	// err says why it answered nothing.
	err           string
	peers         []peer
	info, cluster string
	writes        bool
	probed        string
}

// self is the node's own line.
func (v view) self() peer {
	for _, p := range v.peers {
		if p.is("myself") {
			return p
		}
	}
	return peer{}
}

// fact is a field of INFO or CLUSTER INFO.
func fact(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// judge compares the views. A slot is covered when the node that has it says so
// itself; what others say of it counts only as agreement or disagreement.
func judge(cache runbook.CachePolicy, views []view) runbook.CacheState {
	j := judgement{names: map[string]string{}, owners: map[int][]string{}}
	masters, written := 0, 0
	for _, v := range views {
		j.node(v)
		if self := v.self(); v.err == "" && self.master() && self.count() > 0 {
			masters++
			if v.writes {
				written++
			}
		}
	}
	j.state.Written = masters > 0 && written == masters
	j.coverage()
	j.agreement(views)
	j.replicas(cache, views)
	if j.state.Problems == nil {
		j.state.Problems = []string{}
	}
	return j.state
}

type judgement struct {
	state runbook.CacheState
	// names are services by node id.
	names  map[string]string
	owners map[int][]string
}

func (j *judgement) problem(format string, args ...any) {
	j.state.Problems = append(j.state.Problems, fmt.Sprintf(format, args...))
}

// node takes over what a node says of itself.
func (j *judgement) node(v view) {
	n := runbook.CacheNode{Service: v.service, Address: v.address, Err: v.err}
	if v.err != "" {
		j.state.Nodes = append(j.state.Nodes, n)
		return
	}
	self := v.self()
	j.names[self.id] = v.service
	n.Role, n.Slots, n.LinkUp = "replica", self.count(), true
	if self.master() {
		n.Role = "master"
	} else {
		n.LinkUp = fact(v.info, "master_link_status") == "up"
	}
	j.state.Nodes = append(j.state.Nodes, n)
	if self.master() {
		for _, s := range self.spans {
			for slot := s.first; slot <= s.last; slot++ {
				j.owners[slot] = append(j.owners[slot], v.service)
			}
		}
		if n.Slots == 0 {
			j.problem("%s is a master without slots", v.service)
		}
		if n.Slots > 0 && v.probed != "" {
			j.problem("%s: %s", v.service, v.probed)
		}
	}
	j.own(v, self)
}

// own judges what only the node itself can know.
func (j *judgement) own(v view, self peer) {
	for _, slot := range self.open {
		j.problem("%s has slot %s open: a migration was left half-done", v.service, slot)
	}
	if state := fact(v.cluster, "cluster_state"); state != "ok" {
		j.problem("%s says the cluster's state is %s", v.service, or(state, "unknown"))
	}
	j.persistence(v)
	for _, p := range v.peers {
		if p.is("fail") || p.is("fail?") || p.is("noaddr") {
			j.problem("%s sees %s as %s", v.service, or(p.address, p.id), strings.Join(p.flags, ","))
		}
	}
}

// persistence judges whether the node has its data, and keeps it.
func (j *judgement) persistence(v view) {
	if fact(v.info, "loading") != "0" {
		j.problem("%s is still loading its data", v.service)
	}
	if status := fact(v.info, "rdb_last_bgsave_status"); status != "ok" {
		j.problem("%s: its last background save ended %q", v.service, status)
	}
	if status := fact(v.info, "aof_last_write_status"); status != "ok" {
		j.problem("%s: its last write to the append-only file ended %q", v.service, status)
	}
}

func (j *judgement) coverage() {
	doubled := map[string]int{}
	for slot := range slots {
		switch owners := j.owners[slot]; {
		case len(owners) == 1:
			j.state.SlotsCovered++
		case len(owners) > 1:
			j.state.SlotsCovered++
			doubled[strings.Join(owners, " and ")]++
		}
	}
	for _, who := range sortedKeys(doubled) {
		j.problem("%s both claim %d slots", who, doubled[who])
	}
}

// agreement names the nodes whose slot map is not the one that most have.
func (j *judgement) agreement(views []view) {
	by := map[string][]string{}
	for _, v := range views {
		if v.err == "" {
			m := slotMap(v.peers)
			by[m] = append(by[m], v.service)
		}
	}
	if len(by) < 2 {
		return
	}
	most := ""
	for _, m := range sortedKeys(by) {
		if most == "" || len(by[m]) > len(by[most]) {
			most = m
		}
	}
	for _, m := range sortedKeys(by) {
		if m != most {
			j.problem("%s sees other slot owners than %s", strings.Join(by[m], ", "), strings.Join(by[most], ", "))
		}
	}
}

// replicas counts, by their own word, the replicas that follow each master.
func (j *judgement) replicas(cache runbook.CachePolicy, views []view) {
	following := map[string]int{}
	for _, v := range views {
		if self := v.self(); v.err == "" && self.of != "" && fact(v.info, "master_link_status") == "up" {
			following[self.of]++
		}
	}
	for _, v := range views {
		self := v.self()
		if v.err == "" && self.master() && self.count() > 0 && following[self.id] < cache.Replicas {
			j.problem("%s has %d of %d replicas: one more failure loses its slots", v.service, following[self.id], cache.Replicas)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
