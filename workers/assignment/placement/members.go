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

// Both keys are in one slot.
var memberKeys = []string{"{replicas}:seen", "{replicas}:addresses"}

// beat says that a replica lives for another term, by Redis time, or with term 0 that it
// has left, and answers the addresses of those that live, by name.
func beat(ctx context.Context, client redis.UniversalClient, name, address string, term time.Duration) (map[string]string, error) {
	reply, err := beatScript.Run(ctx, client, memberKeys, name, address, term.Milliseconds()).StringSlice()
	if err != nil {
		return nil, err
	}
	if len(reply)%2 != 0 {
		return nil, fmt.Errorf("%s answers %d fields: expected names with their addresses", memberKeys[1], len(reply))
	}
	alive := map[string]string{}
	for i := 0; i < len(reply); i += 2 {
		alive[reply[i]] = reply[i+1]
	}
	return alive, nil
}
