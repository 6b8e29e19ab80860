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
	submitScript    = load("submit")
	attachScript    = load("attach")
	detachScript    = load("detach")
	claimScript     = load("claim")
	heartbeatScript = load("heartbeat")
	completeScript  = load("complete")
	releaseScript   = load("release")
	expireScript    = load("expire")
	archivedScript  = load("archived")
)

// load reads an embedded script with the shared part in front. A missing file is
// a mistake of the build that no start survives.
func load(name string) script {
	return script{name, redis.NewScript(mustRead("lib") + "\n" + mustRead(name))}
}

func mustRead(name string) string {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(fmt.Sprintf("embedded script: %v", err))
	}
	return string(b)
}
