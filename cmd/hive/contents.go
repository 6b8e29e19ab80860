package main

import (
	"fmt"
	"strings"
)

// procedures are the runbook's pages that can be started by name, in the order of its table of contents.
var procedures []procedure

// listing is the procedures for help texts.
func listing() string {
	var b strings.Builder
	for _, p := range procedures {
		fmt.Fprintf(&b, "  %-22s %s\n", p.name, p.summary)
	}
	return b.String()
}
