// Package process is the run loop that every main of Agent Hive shares: signals,
// structured logs, metrics, health, and a drain that loses no request.
//
// Endpoints, on the service's own port:
//
//	/healthz  200 as long as the process can answer at all
//	/readyz   200 when the process wants traffic; 503 while it drains or a
//	          required check fails, with the reason
//	/health   JSON {service, version, instance, status, checks}; 503 when not ready
//	/metrics  Prometheus
//
// Metrics, on every process:
//
//	leanvibe_http_request_duration_seconds{route,method,code}  histogram; streams are left out
//	leanvibe_http_in_flight{kind}       gauge; kind request or stream; the four endpoints above are not counted
//	leanvibe_http_connections           gauge; open TCP connections, hijacked ones left out
//	leanvibe_http_refused_draining_total  requests answered 503 because the process drains
//	leanvibe_errors_total{kind}         counter; kind http_5xx for answers, else the worker's own kinds
//	leanvibe_access_refused_total{reason}  requests refused at the door, and slow peers; see package access
//	leanvibe_access_reload_errors_total  changed token or TLS files that could not be taken
//	leanvibe_log_write_errors_total     lines that did not reach the log file
//	leanvibe_build_info{service,version,instance_name}  always 1
//	leanvibe_draining                   1 from SIGTERM on
//
// Drain, on SIGTERM or SIGINT: readiness turns false; the drain hooks run; new
// requests are answered 503 with "Connection: close" and no work done for at
// least HIVE_DRAIN_MIN; then the server shuts down, bounded by 25 s, and the
// process exits 0, or 1 when requests had to be cut.
package process
