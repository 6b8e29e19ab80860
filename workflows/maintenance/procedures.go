package maintenance

import (
	"fmt"
	"strings"

	"github.com/leanvibe/hive/workflows/runbook"
)

// RollingRestartInput asks for a roll; the empty one rolls every app and worker
// service that runs another image or another configuration than it should.
type RollingRestartInput struct {
	runbook.Options
	// Services to look at; empty means all of role app and worker.
	Services []string `json:"services,omitempty"`
	// Force replaces replicas that are right already.
	Force bool `json:"force,omitempty"`
}

// Validate implements runbook.Validator.
func (in RollingRestartInput) Validate() error {
	seen := map[string]bool{}
	for i, s := range in.Services {
		if strings.TrimSpace(s) == "" || seen[s] {
			return fmt.Errorf("services[%d]: %q is empty or stands twice; expected names of compose services", i, s)
		}
		seen[s] = true
	}
	return in.Options.Validate()
}

// RollingRestart is the runbook's "zero-downtime rolling restart" (Weekly
// Maintenance, System Updates): start first, judged by measured health and
// traffic, drained, watched, and put back when anything fails.
var RollingRestart = runbook.Procedure[RollingRestartInput, runbook.Report]{
	Name:    "RollingRestart",
	ID:      func(RollingRestartInput) string { return "rolling-restart" },
	Summary: "Replace app services with their newest image without losing a request",
	Example: `{"services":["communication-hub"],"force":true}`,
}

// ScaleServiceInput asks for a number of replicas.
type ScaleServiceInput struct {
	runbook.Options
	// Service of role app or worker; empty shows what could be scaled.
	Service string `json:"service,omitempty"`
	// Replicas wanted, 1 to the policy's rolling.max_replicas.
	Replicas int `json:"replicas,omitempty"`
}

// Validate implements runbook.Validator.
func (in ScaleServiceInput) Validate() error {
	if in.Service != "" && in.Replicas < 1 {
		return fmt.Errorf("replicas: %d; expected how many replicas of %s shall run, at least 1", in.Replicas, in.Service)
	}
	if in.Service == "" && in.Replicas != 0 {
		return fmt.Errorf("service: missing; expected the name of a compose service of role app or worker")
	}
	return in.Options.Validate()
}

// ScaleService is the runbook's "--scale", through the same gates as a roll.
var ScaleService = runbook.Procedure[ScaleServiceInput, runbook.Report]{
	Name:    "ScaleService",
	ID:      func(ScaleServiceInput) string { return "scale-service" },
	Summary: "Add or take away replicas of a service without losing a request",
	Example: `{"service":"communication-hub","replicas":3}`,
}

// DatabaseMaintenanceInput asks for database care.
type DatabaseMaintenanceInput struct {
	runbook.Options
	// Window overrides the policy's database.window; at its end the run stops hard.
	Window runbook.Duration `json:"window,omitempty"`
}

// Validate implements runbook.Validator.
func (in DatabaseMaintenanceInput) Validate() error {
	if in.Window < 0 {
		return fmt.Errorf("window: %s is negative; expected how long the run may work, such as \"90m\"", in.Window)
	}
	return in.Options.Validate()
}

// DatabaseMaintenance is the runbook's page of that name: vacuum, analyze, rebuild
// what is bloated and nothing else, report bloat.
var DatabaseMaintenance = runbook.Procedure[DatabaseMaintenanceInput, runbook.Report]{
	Name:    "DatabaseMaintenance",
	ID:      func(DatabaseMaintenanceInput) string { return "database-maintenance" },
	Summary: "Vacuum, analyze and rebuild bloated indexes without blocking a query",
	Example: `{"window":"30m"}`,
}

// LogManagementInput asks for log care.
type LogManagementInput struct {
	runbook.Options
}

// Validate implements runbook.Validator.
func (in LogManagementInput) Validate() error { return in.Options.Validate() }

// LogManagement is the runbook's page of that name: compress, delete, clean up
// what docker no longer needs, from an explicit list.
var LogManagement = runbook.Procedure[LogManagementInput, runbook.Report]{
	Name:    "LogManagement",
	ID:      func(LogManagementInput) string { return "log-management" },
	Summary: "Compress and delete old logs, remove old stopped containers and unused images of ours",
	Example: `{}`,
}

// WeeklyMaintenanceInput asks for the whole weekly page.
type WeeklyMaintenanceInput struct {
	runbook.Options
}

// Validate implements runbook.Validator.
func (in WeeklyMaintenanceInput) Validate() error { return in.Options.Validate() }

// WeeklyMaintenance is the runbook's Weekly Maintenance (Sunday 2:00 AM), all of it
// in its order: updates, database, logs, health.
var WeeklyMaintenance = runbook.Procedure[WeeklyMaintenanceInput, runbook.Report]{
	Name:    "WeeklyMaintenance",
	ID:      func(WeeklyMaintenanceInput) string { return "weekly-maintenance" },
	Summary: "Update every app service, care for database and logs, prove health, leave a report",
	Example: `{}`,
}
