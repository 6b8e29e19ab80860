package runbook

import "time"

// CacheInput says which Redis, as the policy names it.
type CacheInput struct {
	Project string      `json:"project"`
	Cache   CachePolicy `json:"cache"`
}

// CacheNode is one node as itself and the others see it.
type CacheNode struct {
	Service string `json:"service"`
	Address string `json:"address"`
	Role    string `json:"role"`
	Slots   int    `json:"slots"`
	// LinkUp is a replica's link to its master.
	LinkUp bool   `json:"linkUp"`
	Err    string `json:"err,omitempty"`
	// UsedBytes of memory, and LimitBytes at which a Redis by itself begins to refuse
	// writes; 0 where it has no such limit, or throws keys away instead.
	UsedBytes  int64 `json:"usedBytes,omitempty"`
	LimitBytes int64 `json:"limitBytes,omitempty"`
}

// CacheState is the cluster seen from every node, or each Redis by itself.
type CacheState struct {
	Nodes []CacheNode `json:"nodes"`
	// SlotsCovered of 16384, by the views of all nodes together; 0 without a cluster.
	SlotsCovered int `json:"slotsCovered"`
	// Problems name each disagreement, open slot, lost link, failed write.
	Problems []string `json:"problems"`
	// Written says whether a keyed write, read and delete passed on every master.
	Written bool `json:"written"`
}

// ObserveCache asks every node for its view and compares them; never one node's
// `cluster info`.
var ObserveCache = Step[CacheInput, CacheState]{
	Name: "cache.Observe", Timeout: 5 * time.Second, Total: 45 * time.Second, Attempts: 5,
	Summary: func(CacheInput) string { return "ask every Redis node" },
}
