// Command hub runs communication-hub; package workers/messaging is the service, workers/process the run loop.
package main

import (
	"github.com/leanvibe/hive/workers/messaging"
	"github.com/leanvibe/hive/workers/process"
)

// version is set by the linker: -X main.version=...
var version = "dev"

func main() {
	process.Main("communication-hub", version, ":8082", messaging.Setup)
}
