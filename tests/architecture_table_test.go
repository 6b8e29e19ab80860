package tests

import "strings"

// module is the product's import path; everything under it is a room of ours.
const module = "github.com/leanvibe/hive/"

// room is one row of the import table: who it is, what it may import, and what it must never reach.
type room struct {
	// path is the folder below the module, in path.Match form ("activities/*"); the first row that covers a package wins.
	path string
	// ours lists the folders of ours that it may import ("x/..." covers x and all below); its own folder is always open.
	ours []string
	// theirs lists the modules, or parts of them, that it may import directly; "*" is any.
	theirs []string
	// noStd lists standard packages that it must not import directly ("x/..." covers x and all below).
	noStd []string
	// unreachable lists third-party packages that must not stand anywhere in its dependencies.
	unreachable []string
}

var (
	// clients are the libraries of the systems we touch: a workflow that reaches one could call it, and replay would differ.
	clients = []string{
		"github.com/docker", "github.com/moby", "github.com/compose-spec", "github.com/jackc", "github.com/redis",
		"github.com/prometheus", "github.com/coder/websocket", "github.com/nicholas-fedor", "github.com/goccy/go-yaml",
	}
	// impure is what makes a workflow depend on where and when it runs. time.Now and rand through other
	// names are workflowcheck's to find. net/url and net/netip only parse.
	impure = []string{
		"net", "net/http/...", "net/rpc/...", "net/smtp", "net/textproto", "os/...", "syscall", "io/ioutil",
		"math/rand/...", "crypto/rand", "database/sql/...", "plugin", "unsafe",
	}
	sdk        = []string{"go.temporal.io/sdk", "go.temporal.io/api", "google.golang.org/protobuf"}
	extended   = []string{"golang.org/x", "github.com/google/uuid"}
	containers = []string{
		"github.com/docker", "github.com/opencontainers", "github.com/distribution/reference", "github.com/containerd/errdefs",
	}
	metrics = []string{"github.com/prometheus/client_golang", "github.com/prometheus/client_model", "github.com/prometheus/common"}
	dialled = []string{"connectrpc.com", "github.com/coder/websocket", "google.golang.org/protobuf"}
	hotPath = lines(sdk, extended, metrics, dialled, []string{"github.com/redis/go-redis", "github.com/jackc/pgx", "github.com/klauspost/compress"})
)

// table is design §2. A folder that no row covers is an unknown room and fails.
var table = []room{
	{path: "workflows/runbook/...", theirs: lines(sdk, []string{"github.com/stretchr/testify"}), noStd: impure, unreachable: clients},
	{path: "workflows/flow", ours: []string{"workflows/runbook"}, theirs: sdk, noStd: impure, unreachable: clients},
	// What Temporal's schedules start: no chapter, because it serves all of them and knows none.
	{path: "workflows/schedule", ours: []string{"workflows/runbook"}, theirs: sdk, noStd: impure, unreachable: clients},
	chapter("health"), chapter("maintenance"), chapter("backup"), chapter("migration"), chapter("rollback"),
	chapter("incident"), chapter("troubleshoot"), chapter("report"),

	hand("policy", "github.com/compose-spec/compose-go", "github.com/goccy/go-yaml", "github.com/docker/go-units"),
	hand("docker", lines(containers, []string{"github.com/compose-spec/compose-go"})...),
	hand("proxy", lines(containers, []string{"github.com/HdrHistogram/hdrhistogram-go"})...),
	hand("postgres", "github.com/jackc/pgx"),
	hand("redis", "github.com/redis/go-redis"),
	hand("prometheus", metrics...),
	hand("alertmanager", "github.com/prometheus"),
	hand("archive", lines(containers, []string{
		"github.com/jackc/pgx", "github.com/redis/go-redis", "filippo.io/age", "github.com/klauspost/compress",
		"github.com/aws", "github.com/minio",
	})...),
	hand("certificate", "github.com/go-acme/lego"),
	hand("host", "github.com/klauspost/compress"),
	hand("probe", "github.com/coder/websocket"),
	hand("notify", "github.com/nicholas-fedor/shoutrrr"),
	hand("ledger", "github.com/jackc/pgx"),
	hand("temporal"),

	{path: "workers/assignment/matcher/..."},
	{path: "workers/assignment/codec/..."},
	{path: "workers/redistest", ours: []string{"tests/port"}, theirs: lines(hotPath, []string{"github.com/stretchr/testify"})},
	hotWorker("assignment"), hotWorker("messaging"),
	{path: "workers/engine/...", ours: []string{"api/...", "workflows/runbook", "workers/process/..."}, theirs: lines(hotPath, []string{"github.com/goccy/go-yaml"})},
	{
		path: "workers/intake/...", ours: []string{"workflows/...", "workers/process/..."},
		theirs: lines(sdk, extended, metrics, []string{"github.com/prometheus/alertmanager"}),
	},
	{
		// bootstrap (`hive up`) makes networks, schema and cluster itself, so the clients of those systems are open here.
		path: "workers/operations/...", ours: []string{"workflows/...", "activities/...", "workers/process/...", "migrations/...", "docs/runbook-map"},
		theirs: lines(sdk, extended, metrics, containers, []string{
			"github.com/compose-spec/compose-go", "github.com/goccy/go-yaml", "github.com/jackc/pgx", "github.com/redis/go-redis",
			"github.com/pressly/goose", "github.com/grpc-ecosystem", "google.golang.org/grpc", "github.com/nexus-rpc",
		}),
	},
	{path: "workers/process/rediscluster", ours: []string{"workers/process"}, theirs: []string{"github.com/redis/go-redis"}},
	{path: "workers/process/...", theirs: lines(sdk, extended, metrics)},

	{path: "cmd/hive/...", ours: []string{"workers/...", "migrations/...", "workflows/...", "api/..."}, theirs: terminal},
	command("opsworker"), command("orchestrator"), command("hub"), command("engine"), command("intake"),

	{path: "api/...", theirs: lines(dialled, extended)},
	{path: "migrations/app/apptest", ours: []string{"migrations/app", "tests/port"}, theirs: []string{"github.com/jackc/pgx", "github.com/stretchr/testify"}},
	{path: "docs/runbook-map"}, // the map as data, embedded
	{path: "migrations/...", theirs: []string{"github.com/pressly/goose", "github.com/jackc/pgx"}},
	// Tests may look at everything; nothing of the product may look at them, because no row lists them.
	{path: "tests/...", ours: []string{"..."}, theirs: []string{"*"}},
}

var terminal = lines(sdk, []string{"github.com/spf13", "github.com/charmbracelet", "golang.org/x/term", "github.com/docker/go-units"})

// testOnly are packages that tests may import whatever their room, and nothing else may: fakes of steps, real servers, ports for them.
var testOnly = []string{"workflows/runbook/runbooktest", "workers/redistest", "migrations/app/apptest", "tests/port"}

// chapter is a folder of procedures: it speaks the language and may call other chapters (Go itself refuses cycles).
func chapter(name string) room {
	return room{
		path: "workflows/" + name + "/...", theirs: sdk, noStd: impure, unreachable: clients,
		ours: []string{
			"workflows/runbook", "workflows/flow", "workflows/schedule", "workflows/health", "workflows/maintenance", "workflows/backup",
			"workflows/migration", "workflows/rollback", "workflows/incident", "workflows/troubleshoot", "workflows/report",
		},
	}
}

// hand is a folder of activities: the language, the activity package, and the clients of its one system.
func hand(system string, theirs ...string) room {
	return room{
		path: "activities/" + system + "/...", ours: []string{"workflows/runbook"},
		theirs: lines(sdk, extended, theirs),
	}
}

// hotWorker is one of the application's own workers: the wire, the control steps, the stores; no procedure and no hand.
func hotWorker(name string) room {
	return room{
		path:   "workers/" + name + "/...",
		ours:   []string{"api/...", "workflows/runbook", "workers/process/..."},
		theirs: hotPath,
	}
}

// command is a tiny main: flags, then a worker.
func command(name string) room {
	return room{path: "cmd/" + name, ours: []string{"workers/...", "migrations/..."}, theirs: terminal}
}

func lines(parts ...[]string) []string {
	var all []string
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// covers tells whether a pattern ("x", or "x/..." for x and all below, or "..." for everything) covers a path.
func covers(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == below || strings.HasPrefix(path, below+"/")
	}
	return path == pattern
}
