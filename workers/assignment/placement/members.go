package placement

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed beat.lua
var beatText string

// A full Redis must not take the replicas' places from them: they are what makes room.
var beatScript = redis.NewScript("#!lua flags=allow-oom\n" + beatText)

// All keys are in one slot.
var memberKeys = []string{"{replicas}:seen", "{replicas}:addresses", "{replicas}:urls", "{replicas}:aside"}

// member is where a replica is reached: address by other replicas, url by clients on the
// same network, who are told only when they say that they are. One that stands aside lives
// and takes no partition.
type member struct {
	address, url string
	aside        bool
}

// beat says that a replica lives for another term, by Redis time, or with term 0 that it
// has left, and answers those that live, by name.
func beat(ctx context.Context, client redis.UniversalClient, name string, at member, term time.Duration) (map[string]member, error) {
	mark := 0
	if at.aside {
		mark = 1
	}
	reply, err := beatScript.Run(ctx, client, memberKeys, name, at.address, at.url, term.Milliseconds(), mark).StringSlice()
	if err != nil {
		return nil, err
	}
	const fields = 4
	if len(reply)%fields != 0 {
		return nil, fmt.Errorf("%s answers %d fields: expected names with their addresses, urls and marks", memberKeys[1], len(reply))
	}
	alive := map[string]member{}
	for i := 0; i < len(reply); i += fields {
		alive[reply[i]] = member{reply[i+1], reply[i+2], reply[i+3] != ""}
	}
	return alive, nil
}

// takers names the replicas that partitions are planned for: all that live and do not stand
// aside. Where every one does, none does: a partition that nobody serves is worse than one
// at a replica that somebody wanted empty.
func takers(alive map[string]member) []string {
	all := make([]string, 0, len(alive))
	var open []string
	for name, m := range alive {
		all = append(all, name)
		if !m.aside {
			open = append(open, name)
		}
	}
	if len(open) == 0 {
		return all
	}
	return open
}
