// Command hive-temporal is the platform's Temporal: the official server and its user interface in one process, one
// SQLite file on disk, listening on loopback only.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // schedules name zones, and an image from scratch has no zone files
)

// version is set by the linker.
var version = "dev"

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, nil)))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "hive-temporal:", err)
		os.Exit(1)
	}
}
