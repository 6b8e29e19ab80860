// Package tests holds what no single room can test: the import table of the design, and, in folders and modules of
// their own, the runs against real servers.
package tests
