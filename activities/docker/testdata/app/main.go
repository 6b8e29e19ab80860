// App is what the tests' containers run: one static binary whose first argument
// says how it behaves.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	mode := "serve"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "serve": // ends on SIGTERM, saying so
		fmt.Println("serving")
		await(1)
		os.Exit(3)
	case "stubborn": // counts SIGTERM and goes on; SIGINT ends it
		fmt.Println("serving")
		await(1 << 30)
	case "slow": // takes a while over SIGTERM
		fmt.Println("serving")
		await(1)
		select {
		case <-again:
			fmt.Println("signalled twice")
			os.Exit(9)
		case <-time.After(10 * time.Second):
		}
	case "exit": // fails at once, with everything it knows
		fmt.Fprintln(os.Stderr, "fatal: cannot start with", strings.Join(os.Environ(), " "), strings.Repeat("and more ", 400))
		fmt.Fprintln(os.Stderr, "the end, password=hunter2")
		os.Exit(7)
	case "eat": // more memory than it may have
		var kept [][]byte
		for {
			b := make([]byte, 8<<20)
			for i := range b {
				b[i] = 1
			}
			kept = append(kept, b)
		}
	case "check": // the HEALTHCHECK: healthy while the file is there
		if _, err := os.Stat(os.Args[2]); err != nil {
			fmt.Println("no", os.Args[2])
			os.Exit(1)
		}
	case "spin":
		for {
		}
	case "touch":
		if err := os.WriteFile(os.Args[2], nil, 0o600); err != nil {
			panic(err)
		}
	case "untouch":
		if err := os.Remove(os.Args[2]); err != nil {
			panic(err)
		}
	}
}

var again = make(chan os.Signal, 8)

func await(terms int) {
	signal.Notify(again, syscall.SIGTERM, syscall.SIGINT)
	for s := range again {
		fmt.Println("got", s)
		if s == syscall.SIGINT {
			os.Exit(4)
		}
		if terms--; terms == 0 {
			return
		}
	}
}
