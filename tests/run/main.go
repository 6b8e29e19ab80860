// Command run is `make run`: it brings everything up, makes a newer image, puts live load on the stack, has
// WeeklyMaintenance replace every application container under it, and proves that no request was lost. Everything stays
// running. It ends with 0 only when the procedure succeeded and both sides of the loader's ledger agree on nothing lost.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	d := &drive{phases: phases{out: os.Stdout}}
	flag.StringVar(&d.dir, "project", ".", "the project's root")
	flag.IntVar(&d.rate, "rate", 500, "requests a second")
	flag.DurationVar(&d.before, "before", 15*time.Second, "load on the untouched stack, to compare with")
	flag.DurationVar(&d.after, "after", 10*time.Second, "load on the stack as the procedure left it")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "run: unexpected argument %q; see --help\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := d.run(ctx)
	stop()
	d.phases.print()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\nmake run:", err)
		os.Exit(1)
	}
}
