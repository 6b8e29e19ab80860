// Package maintenance is the runbook's chapter Routine Maintenance Procedures:
// RollingRestart, ScaleService, DatabaseMaintenance, LogManagement, and
// WeeklyMaintenance, which is all of them in the runbook's order.
//
// Every procedure has the same shape: observe, decide (a pure function from what
// was seen to an ordered list of changes), and then do exactly what was decided.
// The deciders live in files named *_plan.go and know neither clock nor network.
package maintenance
