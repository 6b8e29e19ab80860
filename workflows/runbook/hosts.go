package runbook

import "time"

// ResourcesInput names directories whose disks matter, relative to the project.
type ResourcesInput struct {
	Directories []string `json:"directories"`
}

// Disk is one file system.
type Disk struct {
	Directory string `json:"directory"`
	Bytes     int64  `json:"bytes"`
	Free      int64  `json:"free"`
}

// Resources is the host's disk and memory in bytes, and load.
type Resources struct {
	Disks           []Disk  `json:"disks"`
	MemoryBytes     int64   `json:"memoryBytes"`
	MemoryAvailable int64   `json:"memoryAvailable"`
	Load1           float64 `json:"load1"`
	CPUs            int     `json:"cpus"`
}

// MeasureHost reads disk, memory and load (runbook: df -h, free -m).
var MeasureHost = Step[ResourcesInput, Resources]{
	Name: "hosts.Measure", Timeout: 5 * time.Second, Total: 45 * time.Second, Attempts: 5,
	Summary: func(ResourcesInput) string { return "disk and memory of the host" },
}

// LogsInput names the log directory, relative to the project.
type LogsInput struct {
	Directory string `json:"directory"`
}

// LogFile is one file of the log directory.
type LogFile struct {
	// Path is relative to the log directory.
	Path     string    `json:"path"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
	// Open: some process, in a container or not, has it open for writing.
	Open       bool `json:"open"`
	Compressed bool `json:"compressed"`
	// Partial: left by a killed compression.
	Partial bool `json:"partial,omitempty"`
}

// LogFiles is the directory's list, sorted by path, with the host's clock.
type LogFiles struct {
	Files []LogFile `json:"files"`
	Now   time.Time `json:"now"`
}

// ListLogs lists *.log, *.log.gz and partial files under the directory.
var ListLogs = Step[LogsInput, LogFiles]{
	Name: "hosts.ListLogs", Timeout: time.Minute, Summary: func(in LogsInput) string { return "list " + in.Directory },
}

// LogInput names one log file and the age it must still have.
type LogInput struct {
	Fence
	Directory string   `json:"directory"`
	Path      string   `json:"path"`
	OlderThan Duration `json:"olderThan"`
}

// LogChange is what became of the file.
type LogChange struct {
	Changed     bool  `json:"changed"`
	BytesBefore int64 `json:"bytesBefore"`
	BytesAfter  int64 `json:"bytesAfter"`
	// Why says why it was left (open, changed between two looks, younger again).
	Why string `json:"why,omitempty"`
}

// CompressLog writes <file>.gz beside it under a partial name, reads it back
// against the original's hash, syncs, renames, and only then removes the original.
var CompressLog = Step[LogInput, LogChange]{
	Name: "hosts.CompressLog", Effect: Irreversible, Timeout: 30 * time.Minute,
	Summary: func(in LogInput) string { return "compress " + in.Path },
}

// DeleteLog removes one compressed log that is old enough.
var DeleteLog = Step[LogInput, LogChange]{
	Name: "hosts.DeleteLog", Effect: Irreversible, Summary: func(in LogInput) string { return "delete " + in.Path },
}

// ArtefactInput is a report file to keep.
type ArtefactInput struct {
	// Path is relative to out/, such as "weekly-maintenance/report.json".
	Path string `json:"path"`
	// Body is at most 1 MiB of UTF-8 text.
	Body string `json:"body"`
}

// Artefact is where it lies and what it hashes to.
type Artefact struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// WriteArtefact writes the file whole or not at all.
var WriteArtefact = Step[ArtefactInput, Artefact]{
	Name: "hosts.WriteArtefact", Effect: Write, Summary: func(in ArtefactInput) string { return "write out/" + in.Path },
}
