// Package report renders what a procedure leaves behind: one self-contained HTML
// page from the same runbook.Report that report.json holds. It is pure: the same
// report gives the same bytes, so it may run inside a workflow.
package report
