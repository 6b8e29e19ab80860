package runbook

import (
	"fmt"
	"time"
)

// DatabaseInput says which database, as the policy names it.
type DatabaseInput struct {
	Project  string         `json:"project"`
	Database DatabasePolicy `json:"database"`
}

// Query is one running statement; its text is normalised and cut at 200 bytes.
type Query struct {
	PID         int      `json:"pid"`
	User        string   `json:"user"`
	Application string   `json:"application"`
	State       string   `json:"state"`
	Age         Duration `json:"age"`
	Text        string   `json:"text"`
}

// DatabaseState is the runbook's Database Health Check.
type DatabaseState struct {
	Version        string  `json:"version"`
	SizeBytes      int64   `json:"sizeBytes"`
	Connections    int     `json:"connections"`
	MaxConnections int     `json:"maxConnections"`
	LongQueries    []Query `json:"longQueries"`
	// Leftovers are invalid indexes with no build in progress.
	Leftovers []IndexState `json:"leftovers"`
}

// ObserveDatabase reads connections, size, long queries and leftovers.
var ObserveDatabase = Step[DatabaseInput, DatabaseState]{
	Name: "database.Observe", Timeout: 5 * time.Second, Total: 45 * time.Second, Attempts: 5,
	Summary: func(in DatabaseInput) string { return "look at " + in.Database.Name },
}

// TableState is one table and why it may need care.
type TableState struct {
	Schema       string `json:"schema"`
	Name         string `json:"name"`
	Bytes        int64  `json:"bytes"`
	LiveRows     int64  `json:"liveRows"`
	DeadRows     int64  `json:"deadRows"`
	ChangedRows  int64  `json:"changedRows"`
	FreezeAge    int64  `json:"freezeAge"`
	NeverVacuum  bool   `json:"neverVacuumed"`
	NeverAnalyze bool   `json:"neverAnalyzed"`
}

// IndexState is one index.
type IndexState struct {
	Schema string `json:"schema"`
	Table  string `json:"table"`
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	// LeafDensity in percent by pgstatindex; -1 where it cannot be measured.
	LeafDensity float64 `json:"leafDensity"`
	Valid       bool    `json:"valid"`
	// Rebuildable is false for exclusion constraints and system catalogs.
	Rebuildable bool   `json:"rebuildable"`
	Method      string `json:"method"`
}

// Bloat is every user table and index, measured, largest first.
type Bloat struct {
	Tables  []TableState `json:"tables"`
	Indexes []IndexState `json:"indexes"`
	// FreeBytes on the database's disk, -1 where it cannot be told.
	FreeBytes int64 `json:"freeBytes"`
	// Problems say why something could not be measured (no pgstattuple, a locked
	// table); what is not measured is never judged.
	Problems []string `json:"problems,omitempty"`
}

// MeasureBloat measures tables and indexes (exactly, by pgstattuple's functions).
var MeasureBloat = Step[DatabaseInput, Bloat]{
	Name: "database.MeasureBloat", Timeout: 15 * time.Minute, Total: time.Hour,
	Summary: func(in DatabaseInput) string { return "measure bloat of " + in.Database.Name },
}

// MaintainInput names one object of the database and the time to stop.
type MaintainInput struct {
	Fence
	DatabaseInput
	Schema string `json:"schema"`
	Table  string `json:"table"`
	// Index is empty for a vacuum.
	Index string `json:"index,omitempty"`
	// Until is the hard end of the window.
	Until time.Time `json:"until"`
	// Session is the application_name, by which a killed predecessor is found.
	Session string `json:"session"`
}

// Maintained is what became of the object.
type Maintained struct {
	// Outcome is done, adopted (a killed predecessor had done or was doing it),
	// skipped (Blocker or Why), or stopped (the window ended).
	Outcome     string  `json:"outcome"`
	Changed     bool    `json:"changed"`
	Why         string  `json:"why,omitempty"`
	Blocker     *Query  `json:"blocker,omitempty"`
	BytesBefore int64   `json:"bytesBefore"`
	BytesAfter  int64   `json:"bytesAfter"`
	DensityTo   float64 `json:"densityTo,omitempty"`
}

// VacuumTable runs VACUUM (ANALYZE, SKIP_LOCKED, TRUNCATE false) on one table; never FULL.
var VacuumTable = Step[MaintainInput, Maintained]{
	Name: "database.VacuumTable", Effect: Irreversible, Timeout: 2 * time.Hour, Total: 4 * time.Hour,
	Summary: func(in MaintainInput) string { return fmt.Sprintf("vacuum %s.%s", in.Schema, in.Table) },
}

// RebuildIndex runs REINDEX INDEX CONCURRENTLY on one index, after its own
// leftovers are dropped; a build of somebody else is never touched, and an old
// transaction in the way means skipped, naming pid, age and query.
var RebuildIndex = Step[MaintainInput, Maintained]{
	Name: "database.RebuildIndex", Effect: Irreversible, Timeout: 2 * time.Hour, Total: 4 * time.Hour,
	Summary: func(in MaintainInput) string { return "rebuild index " + in.Index },
}

// DropLeftover drops one invalid _ccnew or _ccold index that no build uses.
var DropLeftover = Step[MaintainInput, Maintained]{
	Name: "database.DropLeftover", Effect: Irreversible, Timeout: 10 * time.Minute,
	Summary: func(in MaintainInput) string { return "drop leftover index " + in.Index },
}
