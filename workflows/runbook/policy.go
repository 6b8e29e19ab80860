package runbook

// Policy is runbook.yaml as read at the start of a run; a later edit never
// changes a running procedure. A stack without a proxy, a database, a cache or
// metrics has no such section; each says by Declared whether it is there.
type Policy struct {
	// Timezone is an IANA name; default America/Los_Angeles.
	Timezone string `json:"timezone"`
	// Environment names the stack in search attributes, such as "production".
	Environment string          `json:"environment"`
	Proxy       ProxyPolicy     `json:"proxy"`
	Rolling     RollingPolicy   `json:"rolling"`
	Database    DatabasePolicy  `json:"database"`
	Cache       CachePolicy     `json:"cache"`
	Logs        LogPolicy       `json:"logs"`
	Metrics     MetricsPolicy   `json:"metrics"`
	Baselines   []Baseline      `json:"baselines"`
	Readiness   ReadinessPolicy `json:"readiness"`
	Notify      NotifyPolicy    `json:"notify"`
	// Schedules are the runs that begin by themselves (default: none).
	Schedules []SchedulePolicy `json:"schedules"`
	// Hash is the sha256 of the file.
	Hash string `json:"hash"`
}

// ProxyPolicy says how to reach users' front door.
type ProxyPolicy struct {
	// Service is the Compose service of role proxy.
	Service string `json:"service"`
	// URL is where this host reaches the proxy, such as http://127.0.0.1:8080.
	URL string `json:"url"`
	// AddressDir is the directory of address files, relative to the project.
	AddressDir string `json:"addressDir"`
	// AccessLogDir holds the JSON access logs, relative to the project.
	AccessLogDir string `json:"accessLogDir"`
	// Quiet is how long no new request may have reached an old replica before it
	// is stopped: keepalive_min_timeout + 1 s.
	Quiet Duration `json:"quiet"`
}

// Declared says whether the stack has a front door that hive may move traffic with.
func (p ProxyPolicy) Declared() bool { return p.Service != "" }

// RollingPolicy bounds a roll.
type RollingPolicy struct {
	// Monitor is the window in which each new replica is watched after it took
	// traffic (default 25 s).
	Monitor Duration `json:"monitor"`
	// MinRequests is how many requests a verdict needs (default 50); the probe
	// supplies what users do not.
	MinRequests int `json:"minRequests"`
	// MaxErrorRatio of 5xx answers a new replica may give (default 0.01).
	MaxErrorRatio float64 `json:"maxErrorRatio"`
	// MaxLatencyFactor: p99 above this multiple of the old replicas' p99, plus
	// LatencyFloor, fails the window (default 3, 100 ms).
	MaxLatencyFactor float64  `json:"maxLatencyFactor"`
	LatencyFloor     Duration `json:"latencyFloor"`
	// HealthyDeadline bounds the time to first continuous health (default 2 m).
	HealthyDeadline Duration `json:"healthyDeadline"`
	// LockWait bounds waiting for another procedure's lock (default 10 m).
	LockWait Duration `json:"lockWait"`
	// SideBySide is how many services roll at once (default 3).
	SideBySide int `json:"sideBySide"`
	// Scale bounds ScaleService per service; services not named may have 1..10.
	MaxReplicas int `json:"maxReplicas"`
}

// DatabasePolicy bounds database care.
type DatabasePolicy struct {
	Service string `json:"service"`
	Name    string `json:"name"`
	User    string `json:"user"`
	// PasswordFile is relative to the project.
	PasswordFile string `json:"passwordFile"`
	Port         int    `json:"port"`
	// Window is how long a run may work; at its end it stops hard, and what is
	// not done carries over (default 2 h).
	Window Duration `json:"window"`
	// MinLeafDensity in percent: an index below it is bloated (default 50).
	MinLeafDensity float64 `json:"minLeafDensity"`
	// MinIndexBytes: smaller indexes are left alone (default 1 MiB).
	MinIndexBytes int64 `json:"minIndexBytes"`
	// LongTransaction: an older transaction blocks a rebuild, which is skipped
	// naming it (default 1 m).
	LongTransaction Duration `json:"longTransaction"`
	// ConnectionBudget is the share of max_connections that is still good (default 0.8).
	ConnectionBudget float64 `json:"connectionBudget"`
	// LongQuery is the age from which a query is reported (runbook: 1 minute).
	LongQuery Duration `json:"longQuery"`
}

// Declared says whether the stack has a database to look after.
func (d DatabasePolicy) Declared() bool { return d.Service != "" }

// CachePolicy says how to reach Redis: a Redis Cluster, or servers by themselves.
type CachePolicy struct {
	// Services are the Compose services of its nodes.
	Services []string `json:"services"`
	Port     int      `json:"port"`
	// PasswordFile is relative to the project; empty for a Redis without a password.
	PasswordFile string `json:"passwordFile"`
	// Replicas per master that readiness expects.
	Replicas int `json:"replicas"`
	// Cluster is false where each service is a Redis by itself; nil means true. It is
	// said here and not asked of Redis: a node that came back without its cluster
	// would call itself a Redis in good order.
	Cluster *bool `json:"cluster,omitempty"`
}

// Declared says whether the stack has a Redis to look at.
func (c CachePolicy) Declared() bool { return len(c.Services) > 0 }

// Clustered says whether the services are nodes of one Redis Cluster.
func (c CachePolicy) Clustered() bool { return c.Cluster == nil || *c.Cluster }

// LogPolicy bounds log care.
type LogPolicy struct {
	// Directory is relative to the project.
	Directory     string   `json:"directory"`
	CompressAfter Duration `json:"compressAfter"`
	DeleteAfter   Duration `json:"deleteAfter"`
	// CleanupAfter: stopped containers and images older than this may go.
	CleanupAfter Duration `json:"cleanupAfter"`
	// KeepGenerations of rollback images per service (default 3).
	KeepGenerations int `json:"keepGenerations"`
}

// MetricsPolicy says where Prometheus and Alertmanager answer; one that the stack
// has not is empty.
type MetricsPolicy struct {
	Prometheus   string `json:"prometheus"`
	Alertmanager string `json:"alertmanager"`
}

// Baseline is one row of the runbook's Performance Baselines. The runbook leaves
// a gap between warning and critical; here a value is warning until it reaches
// critical, and readiness prints that decision.
type Baseline struct {
	Metric string `json:"metric"`
	// Query is PromQL that gives one sample in Unit.
	Query string `json:"query"`
	Unit  string `json:"unit"`
	// Better is "lower" or "higher".
	Better    string  `json:"better"`
	Excellent float64 `json:"excellent"`
	Good      float64 `json:"good"`
	Warning   float64 `json:"warning"`
	Critical  float64 `json:"critical"`
	// IdleQuery, when it gives a sample of 0, says that there is no traffic to
	// judge: the verdict is then "no data", which a baseline may declare tolerable.
	IdleQuery string `json:"idleQuery,omitempty"`
	// Required: no data or critical here means not ready.
	Required bool `json:"required,omitempty"`
}

// ReadinessPolicy bounds ReadinessCheck.
type ReadinessPolicy struct {
	// MinDiskFree is the share of the disk that must be free (default 0.1).
	MinDiskFree float64 `json:"minDiskFree"`
	// MinMemoryFree is the share of memory that must be available (default 0.05).
	MinMemoryFree float64 `json:"minMemoryFree"`
	// ProxyPaths are asked through the proxy besides each service's own path.
	ProxyPaths []string `json:"proxyPaths"`
}

// NotifyPolicy says who hears of a failed run.
type NotifyPolicy struct {
	// URLFile is a file of shoutrrr URLs, one a line, relative to the project;
	// absent or empty means the file sink alone.
	URLFile string `json:"urlFile"`
	// File is the sink that always hears, relative to the project
	// (default out/notifications.log).
	File string `json:"file"`
}

// LoadPolicyInput asks for the policy and the compose file.
type LoadPolicyInput struct {
	// Run is the workflow ID and first run ID; the compose copy lies under it.
	Run string `json:"run"`
}

// LoadPolicyOutput is the policy and the stack, without any environment value.
type LoadPolicyOutput struct {
	Policy Policy `json:"policy"`
	Stack  Stack  `json:"stack"`
}

// LoadPolicy reads runbook.yaml and the compose file, strictly. Refused names
// file, line, field and expectation. It is the first step of every run.
var LoadPolicy = Step[LoadPolicyInput, LoadPolicyOutput]{
	Name:    "policy.Load",
	Summary: func(LoadPolicyInput) string { return "read runbook.yaml and the compose file" },
}
