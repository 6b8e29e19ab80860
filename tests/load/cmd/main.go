// Command load puts traffic on a running stack and proves what became of every request; package load tells how.
// It ends with 1 when anything failed, was lost or duplicated, or when client and server disagree, and with 2 when it
// could not begin.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/leanvibe/hive/tests/load"
)

func main() {
	var c load.Config
	flag.StringVar(&c.BaseURL, "url", "", "the proxy (default its address in the stack's network)")
	flag.StringVar(&c.TokenFile, "token-file", "", "file with the operator's token (default secrets/operator_token, where it is)")
	flag.IntVar(&c.Rate, "rate", 500, "requests a second")
	flag.IntVar(&c.Connections, "connections", 64, "kept-alive connections")
	flag.IntVar(&c.Sockets, "websockets", 20, "WebSockets to the hub; -1 for none")
	flag.IntVar(&c.Writes, "writes", 30, "percent of POST")
	flag.IntVar(&c.Slow, "slow", 1, "percent of long polls; -1 for none")
	duration := flag.Duration("duration", time.Minute, "how long")
	path := flag.String("out", "out/load/load.json", "where the result goes")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "load: unexpected argument %q; see --help\n", flag.Arg(0))
		os.Exit(2)
	}
	c.Progress = func(s load.Snapshot) {
		fmt.Fprintf(os.Stderr, "%6.0fs  %d requests  %d failed  p99 %.1f ms\n", s.Elapsed.Seconds(), s.Requests, s.Failed, s.P99MS)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := load.Run(ctx, c, *duration)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	result.Print(os.Stdout)
	if err := result.Save(*path); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	if err := result.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}
