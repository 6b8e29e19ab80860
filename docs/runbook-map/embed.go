// Package runbookmap holds the operational runbook as it was handed over, and the
// map that says of each of its lines what became of it. The meaning is read by
// workers/operations/runbookmap.
package runbookmap

import _ "embed" // the two files are part of every binary that explains them

// Runbook is the runbook, unchanged to the byte.
//
//go:embed runbook.md
var Runbook string

// Map is the map, as map.yaml has it.
//
//go:embed map.yaml
var Map []byte
