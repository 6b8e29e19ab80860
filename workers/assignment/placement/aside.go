package placement

import (
	"cmp"
	"slices"
)

// A Replica is one that lives, as this one has heard.
type Replica struct {
	// Name is the process's own, Address where other replicas ask it.
	Name, Address string
	// Aside: it takes no partition.
	Aside bool
}

// StandAside has this replica live on and take no partition, or take its share again. What
// it has goes to the others in order.
func (k *Keeper) StandAside(aside bool) {
	k.mu.Lock()
	k.aside = aside
	k.mu.Unlock()
	k.nudge()
}

// Look has the replicas and the owners looked up at once.
func (k *Keeper) Look() { k.nudge() }

// Aside tells whether this replica stands aside.
func (k *Keeper) Aside() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.aside
}

// Replicas answers who lives, by name.
func (k *Keeper) Replicas() []Replica {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]Replica, 0, len(k.alive))
	for name, m := range k.alive {
		out = append(out, Replica{name, m.address, m.aside})
	}
	slices.SortFunc(out, func(a, b Replica) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Owners answers who owns each partition, as far as is known, and who is to own it by the
// plan that all replicas follow.
func (k *Keeper) Owners() (now, planned []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now = make([]string, k.opts.Partitions)
	for n := range now {
		now[n] = k.holder(n)
	}
	return now, Plan(takers(k.alive), now)
}
