package journal

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// holderScript reads only, also when Redis is full, and is not behind the others' preamble.
var holderScript = redis.NewScript("#!lua flags=no-writes,allow-oom\n" + read("holder"))

// Holder answers the name of a partition's owner by Redis time; empty: it has none. What
// it says may be over when it is heard: only an append tells.
func Holder(ctx context.Context, client redis.UniversalClient, n int) (string, error) {
	reply, err := holderScript.Run(ctx, client, []string{fmt.Sprintf("{p%d}:owner", n)}).Slice()
	if err != nil {
		return "", err
	}
	if len(reply) == 0 {
		return "", fmt.Errorf("empty answer of a script on {p%d}:owner", n)
	}
	return fmt.Sprint(reply[0]), nil
}
