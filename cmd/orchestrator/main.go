// Command orchestrator runs universal-orchestrator; package workers/assignment is the service, workers/process the run loop.
package main

import (
	"github.com/leanvibe/hive/workers/assignment"
	"github.com/leanvibe/hive/workers/process"
)

// version is set by the linker: -X main.version=...
var version = "dev"

func main() {
	process.Main("universal-orchestrator", version, ":8081", assignment.Setup)
}
