package main

import (
	"fmt"
	"strings"

	"github.com/leanvibe/hive/workflows/health"
	"github.com/leanvibe/hive/workflows/maintenance"
)

// procedures are the runbook's pages that can be started by name, in the order of its table of contents.
var procedures = []procedure{
	of(health.ReadinessCheck),
	of(maintenance.WeeklyMaintenance),
	of(maintenance.RollingRestart),
	of(maintenance.ScaleService),
	of(maintenance.DatabaseMaintenance),
	of(maintenance.LogManagement),
}

// listing is the procedures for help texts.
func listing() string {
	var b strings.Builder
	for _, p := range procedures {
		fmt.Fprintf(&b, "  %-22s %s\n", p.name, p.summary)
	}
	return b.String()
}
