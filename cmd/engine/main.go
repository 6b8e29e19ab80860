// Command engine runs specialized-engines; package workers/engine is the service, workers/process the run loop.
package main

import (
	"github.com/leanvibe/hive/workers/engine"
	"github.com/leanvibe/hive/workers/process"
)

// version is set by the linker: -X main.version=...
var version = "dev"

func main() {
	process.Main("specialized-engines", version, ":8083", engine.Setup())
}
