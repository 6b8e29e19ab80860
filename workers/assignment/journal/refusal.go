package journal

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// ErrRefusing says that Redis takes no writes for now (memory full, or no replica
// in reach); nothing is acknowledged. It comes with ErrUnknown: call Resolve again.
var ErrRefusing = errors.New("Redis takes no writes for now: nothing is acknowledged, try again")

// RefusedError is a refusal that repeating does not change: the key, what Redis
// said, and the way out.
type RefusedError struct {
	Key string
	Way string
	Err error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s: Redis refuses: %v: %s", e.Key, e.Err, e.Way)
}

// Unwrap answers what Redis said.
func (e *RefusedError) Unwrap() error { return e.Err }

// passing are the codes of refusals that end by themselves.
var passing = []string{"LOADING", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "READONLY", "MASTERDOWN", "NOSCRIPT"}

// waysOut are the codes of the others, and what an operator does about each.
var waysOut = []struct{ code, way string }{
	{"WRONGTYPE", "the key holds something else: give the journal a Redis, or a partition, of its own"},
	{"NOAUTH", "give the client the password, for example with HIVE_REDIS_PASSWORD_FILE"},
	{"WRONGPASS", "the password is wrong: compare HIVE_REDIS_PASSWORD_FILE with the server's requirepass or ACL"},
	{"NOPERM", "the ACL user may not do this: allow it the key, EVAL, EVALSHA and WAIT, for example ~{p*}* +@all"},
	{"MISCONF", "the server cannot write to its disk: free space, then see its log"},
	{"ERR unknown command", "the server lacks or renames a command: want Redis 7 with its own command names"},
}

// judge gives an answer of Redis its type; what is no answer of Redis, so a
// network error, stays what it is.
func judge(key string, err error) error {
	var answer redis.Error
	if !errors.As(err, &answer) {
		return err
	}
	said := answer.Error()
	for _, code := range passing {
		if strings.HasPrefix(said, code+" ") || said == code {
			return err
		}
	}
	if redis.IsOOMError(err) || redis.IsNoReplicasError(err) {
		return fmt.Errorf("%w: %w", ErrRefusing, err)
	}
	for _, w := range waysOut {
		if strings.HasPrefix(said, w.code) {
			return &RefusedError{key, w.way, err}
		}
	}
	return &RefusedError{key, "the script failed: compare the server's version with Redis 7 and look at the key", err}
}

// repeatable answers whether what judge answered may end by itself.
func repeatable(err error) bool {
	var refused *RefusedError
	return !errors.As(err, &refused)
}
