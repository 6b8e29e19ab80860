package assignment

import (
	"embed"
	"fmt"

	"github.com/redis/go-redis/v9"
)

//go:embed scripts/*.lua
var scriptFiles embed.FS

// script is one transition of the state machine.
type script struct {
	name string
	*redis.Script
}

// The transitions; each file says what it takes and answers.
var (
	submitScript    = load("submit", "")
	attachScript    = load("attach", whenFull)
	detachScript    = load("detach", whenFull)
	claimScript     = load("claim", whenFull)
	heartbeatScript = load("heartbeat", whenFull)
	completeScript  = load("complete", whenFull)
	releaseScript   = load("release", whenFull)
	expireScript    = load("expire", whenFull)
	archivedScript  = load("archived", whenFull)
	evictScript     = load("evict", whenFull)
	turnScript      = load("turn", whenFull)
)

// whenFull lets a script run while Redis is full. Only submit does without: what was
// acknowledged must be able to finish, be archived and give its memory back, or full
// would be for ever.
const whenFull = "#!lua flags=allow-oom\n"

// load reads an embedded script with its flags and the shared part in front. A missing
// file is a mistake of the build that no start survives.
func load(name, flags string) script {
	return script{name, redis.NewScript(flags + mustRead("lib") + "\n" + mustRead(name))}
}

func mustRead(name string) string {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(fmt.Sprintf("embedded script: %v", err))
	}
	return string(b)
}
