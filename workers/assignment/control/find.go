package control

import (
	"net"
	"slices"
	"strings"

	"github.com/leanvibe/hive/workers/assignment/placement"
	"github.com/leanvibe/hive/workflows/runbook"
)

// find answers the replica that an input means: by its whole name, its instance, or the
// host of its address, with its port or without.
func find(all []placement.Replica, means string) (placement.Replica, error) {
	if len(all) == 0 {
		return placement.Replica{}, runbook.Fail(runbook.Busy, "replica %q: Redis has not said yet who lives", means)
	}
	var found []placement.Replica
	for _, r := range all {
		instance, _, _ := strings.Cut(r.Name, "#")
		host, _, err := net.SplitHostPort(r.Address)
		if r.Name == means || instance == means || r.Address == means || err == nil && host == means {
			found = append(found, r)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return placement.Replica{}, runbook.Fail(runbook.Missing, "replica %q: none of that name or address lives; there are %s", means, names(all))
	}
	// One that started again has another name, and its former process counts as alive for a term.
	return placement.Replica{}, runbook.Fail(runbook.Busy, "replica %q: may be %s; wait for the end of one that has died, or write a whole name", means, names(found))
}

func names(list []placement.Replica) string {
	out := make([]string, len(list))
	for i, r := range list {
		out[i] = r.Name + " at " + r.Address
	}
	return strings.Join(out, ", ")
}

// drainable refuses to drain the last replica that takes partitions. One that stands aside
// already may be told so again.
func drainable(all []placement.Replica, which placement.Replica) error {
	others := slices.ContainsFunc(all, func(r placement.Replica) bool { return r.Name != which.Name && !r.Aside })
	if which.Aside || others {
		return nil
	}
	return runbook.Fail(runbook.Unsafe, "replica %s is the only one that takes partitions: start another one, or resume one, and drain it then", which.Name)
}
