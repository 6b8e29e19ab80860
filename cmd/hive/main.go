// Command hive is the operator's hand on the stack: one verb a file. `hive --help` teaches the rest.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker: -X main.version=...
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newRoot(os.Stdout, os.Stderr).ExecuteContext(ctx)
	stop()
	if text := message(err); text != "" {
		fmt.Fprintln(os.Stderr, "hive: "+text)
	}
	os.Exit(exitCode(err))
}
