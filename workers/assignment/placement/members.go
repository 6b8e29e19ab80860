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
var memberKeys = []string{"{replicas}:seen", "{replicas}:addresses", "{replicas}:urls"}

// member is where a replica is reached: address by other replicas, url by clients on the
// same network, who are told only when they say that they are.
type member struct{ address, url string }

// beat says that a replica lives for another term, by Redis time, or with term 0 that it
// has left, and answers those that live, by name.
func beat(ctx context.Context, client redis.UniversalClient, name string, at member, term time.Duration) (map[string]member, error) {
	reply, err := beatScript.Run(ctx, client, memberKeys, name, at.address, at.url, term.Milliseconds()).StringSlice()
	if err != nil {
		return nil, err
	}
	const fields = 3
	if len(reply)%fields != 0 {
		return nil, fmt.Errorf("%s answers %d fields: expected names with their addresses and urls", memberKeys[1], len(reply))
	}
	alive := map[string]member{}
	for i := 0; i < len(reply); i += fields {
		alive[reply[i]] = member{reply[i+1], reply[i+2]}
	}
	return alive, nil
}
