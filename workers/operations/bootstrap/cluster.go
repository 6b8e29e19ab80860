package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// slotCount is how many slots a Redis Cluster has.
const slotCount = 16384

// member is one node as it sees itself and its cluster.
type member struct {
	address string
	id      string
	master  bool
	// of is the master's id of a replica.
	of string
	// slots are its own ranges.
	slots []slotRange
	keys  int64
	// knows are the addresses of the nodes it knows, itself included; nodes that it
	// only just hears of count.
	knows []string
	// linked says that a replica has its master's data.
	linked bool
}

type slotRange struct{ first, last int }

func (r slotRange) size() int { return r.last - r.first + 1 }

// clusterStep is one command on the way to the wanted cluster.
type clusterStep struct {
	// on is the address of the node that is told.
	on string
	// do is "slots", "meet" or "replicate".
	do    string
	slots slotRange
	// with is the address to meet, or the id of the master to replicate.
	with string
}

// nextClusterSteps says what to do next; none means the cluster is whole. It only
// ever completes: a shape that it would not have made is refused, because a slot
// taken from where it is takes its keys along.
func nextClusterSteps(members []member, replicas int) ([]clusterStep, error) {
	masters := len(members) / (replicas + 1)
	if masters < 3 {
		return nil, fmt.Errorf("%d nodes with %d replicas per master are fewer than three masters, which a cluster needs", len(members), replicas)
	}
	if err := foreign(members); err != nil {
		return nil, err
	}
	if steps, err := missingSlots(members, masters); err != nil || len(steps) > 0 {
		return steps, err
	}
	if steps := missingMeets(members); len(steps) > 0 {
		return steps, nil
	}
	return missingReplicas(members, masters, replicas)
}

func foreign(members []member) error {
	for _, m := range members {
		for _, address := range m.knows {
			if !slices.ContainsFunc(members, func(o member) bool { return o.address == address }) {
				return fmt.Errorf("node %s knows %s, which is none of the policy's cache.services: it belongs to another cluster, or lost its own; "+
					"look with CLUSTER NODES, and remove the stray with CLUSTER FORGET", m.address, address)
			}
		}
	}
	return nil
}

// parts divides the slots as redis-cli does.
func parts(masters int) []slotRange {
	out := make([]slotRange, masters)
	first := 0
	for i := range out {
		last := (i + 1) * slotCount / masters
		out[i] = slotRange{first, last - 1}
		first = last
	}
	return out
}

// missingSlots gives each of the first nodes its part, where nobody has it.
func missingSlots(members []member, masters int) ([]clusterStep, error) {
	owner := make([]string, slotCount)
	for _, m := range members {
		for _, r := range m.slots {
			for s := r.first; s <= r.last; s++ {
				if owner[s] != "" && owner[s] != m.address {
					return nil, fmt.Errorf("slot %d is claimed by %s and by %s: two clusters, or a split one; nothing is changed", s, owner[s], m.address)
				}
				owner[s] = m.address
			}
		}
	}
	var steps []clusterStep
	for i, part := range parts(masters) {
		free := 0
		for s := part.first; s <= part.last; s++ {
			if owner[s] == "" {
				free++
			}
		}
		m := members[i]
		switch {
		case free == 0:
		case free < part.size():
			return nil, fmt.Errorf("%d of the slots %d-%d have no owner: slots were lost, and giving them out again would hide it; "+
				"restore the node that had them, or look with CLUSTER SLOTS", free, part.first, part.last)
		case !m.master || len(m.slots) > 0 || m.keys > 0:
			return nil, fmt.Errorf("slots %d-%d have no owner, and node %s, which would get them, is in use already: another shape than hive up makes; nothing is changed",
				part.first, part.last, m.address)
		default:
			steps = append(steps, clusterStep{on: m.address, do: "slots", slots: part})
		}
	}
	return steps, nil
}

// missingMeets has the first node meet those that it does not know, and those that
// do not know it.
func missingMeets(members []member) []clusterStep {
	var steps []clusterStep
	first := members[0]
	for _, m := range members[1:] {
		if !slices.Contains(first.knows, m.address) || !slices.Contains(m.knows, first.address) {
			steps = append(steps, clusterStep{on: first.address, do: "meet", with: m.address})
		}
	}
	return steps
}

// missingReplicas has each node without slots replicate the master with the fewest.
func missingReplicas(members []member, masters, replicas int) ([]clusterStep, error) {
	have := map[string]int{}
	owners := 0
	for _, m := range members {
		if m.master && len(m.slots) > 0 {
			owners++
			have[m.id] += 0
		}
		if !m.master {
			have[m.of]++
		}
	}
	if owners != masters {
		return nil, fmt.Errorf("%d nodes own slots, and %d should: another shape than hive up makes; nothing is changed", owners, masters)
	}
	var steps []clusterStep
	for _, m := range members {
		if !m.master || len(m.slots) > 0 {
			continue
		}
		if m.keys > 0 {
			return nil, fmt.Errorf("node %s holds %d keys and owns no slots: making it a replica would drop them; nothing is changed", m.address, m.keys)
		}
		least := ""
		for _, o := range members { // in order, so that the choice is the same each time
			if n, ok := have[o.id]; ok && n < replicas && (least == "" || n < have[least]) {
				least = o.id
			}
		}
		if least == "" {
			return nil, fmt.Errorf("node %s is left over: every master has its %d replicas", m.address, replicas)
		}
		have[least]++
		steps = append(steps, clusterStep{on: m.address, do: "replicate", with: least})
	}
	return steps, nil
}

// cluster makes the nodes one cluster, and waits until each says that it is.
func cluster(ctx context.Context, addresses []string, password string, replicas int, t *task) (changed bool, err error) {
	// A node that is only just starting is no news; the deadline's error names it.
	logging.Disable()
	nodes := map[string]*redis.Client{}
	for _, a := range addresses {
		nodes[a] = redis.NewClient(&redis.Options{
			Addr: a, Password: password, DialTimeout: time.Second, DialerRetries: 1, ReadTimeout: 2 * time.Second, MaxRetries: -1,
		})
		defer nodes[a].Close()
	}
	const look = 100 * time.Millisecond
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	var last error
	for {
		members, err := survey(ctx, addresses, nodes)
		if err == nil {
			var steps []clusterStep
			if steps, err = nextClusterSteps(members, replicas); err != nil {
				return changed, err // a shape that waiting does not change
			}
			for _, s := range steps {
				changed = true
				t.at("%s %s on %s", s.do, s.with, s.on)
				if err = s.run(ctx, nodes[s.on]); err != nil {
					break
				}
			}
			if err == nil && len(steps) == 0 {
				if err = settled(ctx, members, nodes); err == nil {
					return changed, nil
				}
			}
		}
		if err != nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return changed, errors.Join(fmt.Errorf("Redis Cluster: %w", ctx.Err()), last)
		case <-ticker.C:
		}
	}
}

func (s clusterStep) run(ctx context.Context, node *redis.Client) error {
	switch s.do {
	case "slots":
		return node.ClusterAddSlotsRange(ctx, s.slots.first, s.slots.last).Err()
	case "meet":
		host, port, err := net.SplitHostPort(s.with)
		if err != nil {
			return err
		}
		return node.ClusterMeet(ctx, host, port).Err()
	default:
		return node.ClusterReplicate(ctx, s.with).Err()
	}
}

func survey(ctx context.Context, addresses []string, nodes map[string]*redis.Client) ([]member, error) {
	var members []member
	for _, address := range addresses {
		text, err := nodes[address].ClusterNodes(ctx).Result()
		if err != nil {
			return nil, fmt.Errorf("Redis at %s: %w", address, err)
		}
		m, err := parseMember(address, text)
		if err != nil {
			return nil, err
		}
		if m.keys, err = nodes[address].DBSize(ctx).Result(); err != nil {
			return nil, fmt.Errorf("Redis at %s: %w", address, err)
		}
		if !m.master {
			info, err := nodes[address].Info(ctx, "replication").Result()
			if err != nil {
				return nil, fmt.Errorf("Redis at %s: %w", address, err)
			}
			m.linked = strings.Contains(info, "master_link_status:up")
		}
		members = append(members, m)
	}
	return members, nil
}

// parseMember reads CLUSTER NODES as the node at address answers it.
func parseMember(address, text string) (member, error) {
	m := member{address: address}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		const least = 8
		if len(f) < least {
			continue
		}
		at, _, _ := strings.Cut(f[1], "@")
		flags := strings.Split(f[2], ",")
		if slices.Contains(flags, "handshake") {
			continue // not met yet
		}
		if !slices.Contains(flags, "myself") {
			if slices.Contains(flags, "noaddr") {
				at = "a node of unknown address (" + f[0] + ")"
			}
			m.knows = append(m.knows, at)
			continue
		}
		m.knows = append(m.knows, address)
		m.id, m.master = f[0], slices.Contains(flags, "master")
		if f[3] != "-" {
			m.of = f[3]
		}
		for _, s := range f[least:] {
			if strings.HasPrefix(s, "[") {
				continue // a slot that moves
			}
			from, to, ranged := strings.Cut(s, "-")
			if !ranged {
				to = from
			}
			first, err := strconv.Atoi(from)
			last, err2 := strconv.Atoi(to)
			if err != nil || err2 != nil || first < 0 || last >= slotCount || first > last {
				return m, fmt.Errorf("Redis at %s names slots %q, which are none", address, s)
			}
			m.slots = append(m.slots, slotRange{first, last})
		}
	}
	if m.id == "" {
		return m, fmt.Errorf("Redis at %s does not know itself in CLUSTER NODES: is cluster-enabled set?", address)
	}
	return m, nil
}

// settled says whether every node says that all is well and every replica follows.
func settled(ctx context.Context, members []member, nodes map[string]*redis.Client) error {
	for _, m := range members {
		if !m.master && !m.linked {
			return fmt.Errorf("Redis at %s has not got its master's data yet", m.address)
		}
		info, err := nodes[m.address].ClusterInfo(ctx).Result()
		if err != nil {
			return fmt.Errorf("Redis at %s: %w", m.address, err)
		}
		for _, want := range []string{"cluster_state:ok", "cluster_slots_ok:16384", fmt.Sprintf("cluster_known_nodes:%d", len(members))} {
			if !strings.Contains(info, want+"\r\n") {
				key, _, _ := strings.Cut(want, ":")
				return fmt.Errorf("Redis at %s: not yet %s, it says %s", m.address, want, infoValue(info, key))
			}
		}
	}
	return nil
}

func infoValue(info, key string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return "nothing"
}
