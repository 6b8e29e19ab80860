package policy

import (
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

// rule is what a field must be: in words, by example, and as a test.
type rule struct {
	want    string
	example string
	ok      func(any) bool
	// required fields have no default.
	required bool
	// size fields also take texts such as "64MiB".
	size bool
}

// must is the rule for a field that has no default.
func (r rule) must() rule {
	r.required = true
	return r
}

// like is the rule with another example.
func (r rule) like(example string) rule {
	r.example = example
	return r
}

var (
	serviceName = rule{want: "the name of a service of the compose file", ok: matches(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)}
	inside      = rule{want: "a path inside the project, relative to its root", ok: isInside}
	// insideOrNone may also be empty.
	insideOrNone = rule{want: inside.want + `, or "" for none`, ok: func(v any) bool { return v.(string) == "" || isInside(v) }}
	webURL       = rule{want: "an http:// or https:// URL without a path's end slash", ok: isURL}
	positive     = rule{want: "a duration above 0", example: "90s", ok: func(v any) bool { return v.(runbook.Duration) > 0 }}
	share        = rule{want: "a share from 0 to 1", example: "0.1", ok: func(v any) bool { f := v.(float64); return f >= 0 && f <= 1 }}
	count        = rule{want: "a whole number of at least 1", example: "3", ok: func(v any) bool { return v.(int) >= 1 }}
	portNumber   = rule{want: "a port from 1 to 65535", ok: func(v any) bool { n := v.(int); return n >= 1 && n <= 65535 }}
	text         = rule{want: "text that is not empty", ok: func(v any) bool { return v.(string) != "" }}
	band         = rule{want: "a number", example: "0.1"}
	section      = rule{want: "a mapping of fields"}
)

// runbookRules are the rules of runbook.yaml, by path.
var runbookRules = map[string]rule{
	"timezone":    {want: "a zone of the IANA database", example: "America/Los_Angeles", ok: isZone},
	"environment": {want: "a short name of lower-case letters, digits and dashes", example: "production", ok: matches(`^[a-z0-9][a-z0-9-]{0,39}$`)},

	"proxy":                section.like("{service: nginx, url: http://127.0.0.1:8080}"),
	"proxy.service":        serviceName.like("nginx").must(),
	"proxy.url":            webURL.like("http://127.0.0.1:8080").must(),
	"proxy.address_dir":    inside.like("deploy/production/nginx/upstreams"),
	"proxy.access_log_dir": inside.like("logs/nginx"),
	"proxy.quiet":          positive.like("3s"),

	"rolling.monitor":            positive.like("25s"),
	"rolling.min_requests":       count.like("50"),
	"rolling.max_error_ratio":    share.like("0.01"),
	"rolling.max_latency_factor": {want: "a number of at least 1", example: "3", ok: func(v any) bool { return v.(float64) >= 1 }},
	"rolling.latency_floor":      positive.like("100ms"),
	"rolling.healthy_deadline":   positive.like("2m"),
	"rolling.lock_wait":          positive.like("10m"),
	"rolling.side_by_side":       count.like("3"),
	"rolling.max_replicas":       count.like("10"),

	"database":                   section.like("{service: postgres-primary, name: leanvibe_production, user: leanvibe}"),
	"database.service":           serviceName.like("postgres-primary").must(),
	"database.name":              text.like("leanvibe_production").must(),
	"database.user":              text.like("leanvibe").must(),
	"database.password_file":     inside.like("secrets/postgres_password"),
	"database.port":              portNumber.like("5432"),
	"database.window":            positive.like("2h"),
	"database.min_leaf_density":  {want: "a percentage from 0 to 90 (what a fresh index has)", example: "50", ok: func(v any) bool { f := v.(float64); return f >= 0 && f <= 90 }},
	"database.min_index_bytes":   {want: "a size of at least 0 bytes", example: "1MiB", size: true, ok: func(v any) bool { return v.(int64) >= 0 }},
	"database.long_transaction":  positive.like("1m"),
	"database.connection_budget": share.like("0.8"),
	"database.long_query":        positive.like("1m"),

	"cache":               section.like("{services: [redis-node1, redis-node2, redis-node3]}"),
	"cache.services":      {want: "a list of at least one service", example: "[redis-node1, redis-node2, redis-node3]", required: true, ok: func(v any) bool { return len(v.([]string)) > 0 }},
	"cache.services[]":    serviceName.like("redis-node1"),
	"cache.port":          portNumber.like("6379"),
	"cache.password_file": insideOrNone.like("secrets/redis_password"),
	"cache.replicas":      {want: "a whole number of at least 0", example: "1", ok: func(v any) bool { return v.(int) >= 0 }},
	"cache.cluster":       {want: "true for a Redis Cluster, false where each service is a Redis by itself", example: "false"},

	"logs.directory":        inside.like("logs"),
	"logs.compress_after":   positive.like("168h"),
	"logs.delete_after":     positive.like("720h"),
	"logs.cleanup_after":    positive.like("168h"),
	"logs.keep_generations": count.like("3"),

	"metrics":              section.like("{prometheus: http://127.0.0.1:9090, alertmanager: http://127.0.0.1:9093}"),
	"metrics.prometheus":   webURL.like("http://127.0.0.1:9090"),
	"metrics.alertmanager": webURL.like("http://127.0.0.1:9093"),

	"baselines":              {want: "a list of baselines"},
	"baselines[].metric":     text.like("Error Rate").must(),
	"baselines[].query":      text.like("100 * leanvibe:error_ratio:5m").must(),
	"baselines[].unit":       {want: "a unit, empty for none", example: "ms"},
	"baselines[].better":     {want: "lower or higher", example: "lower", required: true, ok: func(v any) bool { s := v.(string); return s == "lower" || s == "higher" }},
	"baselines[].excellent":  band.must(),
	"baselines[].good":       band.must(),
	"baselines[].warning":    band.must(),
	"baselines[].critical":   band.must(),
	"baselines[].idle_query": text.like("leanvibe:messages:rate5m"),
	"baselines[].required":   {want: "true or false", example: "true"},

	"readiness.min_disk_free":   share.like("0.1"),
	"readiness.min_memory_free": share.like("0.05"),
	"readiness.proxy_paths":     {want: "a list of paths", example: "[/health]"},
	"readiness.proxy_paths[]":   {want: "a path that begins with a slash", example: "/health", ok: matches(`^/`)},

	"notify.url_file": inside.like("secrets/notify_urls"),
	"notify.file":     inside.like("out/notifications.log"),

	"schedules":             {want: "a list of schedules", example: "[{id: weekly-maintenance, procedure: WeeklyMaintenance, every: sunday, at: \"02:00\"}]"},
	"schedules[].id":        scheduleID.like("weekly-maintenance").must(),
	"schedules[].procedure": {want: "the name of a procedure", example: "WeeklyMaintenance", required: true, ok: matches(`^[A-Z][A-Za-z0-9]*$`)},
	"schedules[].every":     dates.like("sunday, or: first sunday").must(),
	"schedules[].at":        hour.like(`"02:00"`).must(),
	"schedules[].timezone":  {want: "a zone of the IANA database", example: "America/Los_Angeles", ok: isZone},
	"schedules[].catch_up":  catchUp.like("1h"),
	"schedules[].input":     {want: "the procedure's input, a JSON object", example: `'{"window":"90m"}'`, ok: isObject},
}

// defaults are the values of the fields that runbook.yaml may leave out.
func defaults(files Layout) runbook.Policy {
	d := func(v time.Duration) runbook.Duration { return runbook.Duration(v) }
	const day = 24 * time.Hour
	return runbook.Policy{
		Timezone:    "America/Los_Angeles",
		Environment: "production",
		Proxy: runbook.ProxyPolicy{
			AddressDir: files.addresses, AccessLogDir: "logs/nginx", Quiet: d(3 * time.Second),
		},
		Rolling: runbook.RollingPolicy{
			Monitor: d(25 * time.Second), MinRequests: 50, MaxErrorRatio: 0.01, MaxLatencyFactor: 3,
			LatencyFloor: d(100 * time.Millisecond), HealthyDeadline: d(2 * time.Minute), LockWait: d(10 * time.Minute),
			SideBySide: 3, MaxReplicas: 10,
		},
		Database: runbook.DatabasePolicy{
			PasswordFile: "secrets/postgres_password", Port: 5432, Window: d(2 * time.Hour), MinLeafDensity: 50,
			MinIndexBytes: 1 << 20, LongTransaction: d(time.Minute), ConnectionBudget: 0.8, LongQuery: d(time.Minute),
		},
		Cache: runbook.CachePolicy{Port: 6379, PasswordFile: "secrets/redis_password", Replicas: 1},
		Logs: runbook.LogPolicy{
			Directory: "logs", CompressAfter: d(7 * day), DeleteAfter: d(30 * day), CleanupAfter: d(7 * day), KeepGenerations: 3,
		},
		Readiness: runbook.ReadinessPolicy{MinDiskFree: 0.1, MinMemoryFree: 0.05},
		Notify:    runbook.NotifyPolicy{URLFile: "secrets/notify_urls", File: "out/notifications.log"},
	}
}

func matches(pattern string) func(any) bool {
	re := regexp.MustCompile(pattern)
	return func(v any) bool { return re.MatchString(v.(string)) }
}

func isZone(v any) bool {
	name := v.(string)
	_, err := time.LoadLocation(name)
	return err == nil && name != "" && name != "Local"
}

func isInside(v any) bool {
	return filepath.IsLocal(v.(string)) && v.(string) != "."
}

func isURL(v any) bool {
	u, err := url.Parse(v.(string))
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && !strings.HasSuffix(u.Path, "/")
}
