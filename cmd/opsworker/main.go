// Command opsworker runs every procedure; package workers/operations is the worker, workers/process the run loop.
package main

import (
	"fmt"
	"os"

	"github.com/leanvibe/hive/workers/operations"
	"github.com/leanvibe/hive/workers/process"
)

// version is set by the linker: -X main.version=...
var version = "dev"

func main() {
	if len(os.Args) > 1 && (os.Args[1] == "--help" || os.Args[1] == "-h" || os.Args[1] == "help") {
		fmt.Print(operations.Help)
		return
	}
	process.Main("opsworker", version, operations.Listen, operations.Setup)
}
