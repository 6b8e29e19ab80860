package runbook

import (
	"fmt"
	"strings"
	"time"
)

// ProxyState is what the proxy does now.
type ProxyState struct {
	// Generation is the number that responses carry in X-Hive-Generation.
	Generation int `json:"generation"`
	// Upstreams are addresses ("ip:port") by upstream name, as the files say.
	Upstreams map[string][]string `json:"upstreams"`
	// OldWorkers counts worker processes of earlier configurations still alive.
	OldWorkers int    `json:"oldWorkers"`
	Version    string `json:"version"`
	// KeepaliveMin says whether this nginx knows keepalive_min_timeout (>= 1.27.4).
	KeepaliveMin bool `json:"keepaliveMin"`
}

// ProxyInput says which proxy, as the policy names it.
type ProxyInput struct {
	Project string      `json:"project"`
	Proxy   ProxyPolicy `json:"proxy"`
}

// ObserveProxy reads the address files, the served generation and the workers.
var ObserveProxy = Step[ProxyInput, ProxyState]{
	Name: "proxy.Observe", Summary: func(ProxyInput) string { return "look at the proxy" },
}

// SetUpstreamInput is the new set of addresses of one upstream.
type SetUpstreamInput struct {
	Fence
	ProxyInput
	Upstream  string   `json:"upstream"`
	Addresses []string `json:"addresses"`
	Run       string   `json:"run"`
}

// ProxyChange is what became of it.
type ProxyChange struct {
	Generation int      `json:"generation"`
	Previous   []string `json:"previous"`
	Changed    bool     `json:"changed"`
}

// SetUpstream writes the run's state, then the address file (temp and rename),
// checks with nginx -t, reloads by exec, and waits until responses carry the new
// generation. A set that does not pass the check leaves the file byte-identical
// and is Refused with nginx's words. The same set already served is success.
var SetUpstream = Step[SetUpstreamInput, ProxyChange]{
	Name: "proxy.SetUpstream", Effect: Write, Timeout: time.Minute,
	Summary: func(in SetUpstreamInput) string {
		return fmt.Sprintf("route %s to %s", in.Upstream, strings.Join(in.Addresses, " "))
	},
}

// WatchTrafficInput names an address behind the proxy and what to wait for.
type WatchTrafficInput struct {
	ProxyInput
	Upstream string `json:"upstream"`
	// Address is "ip:port".
	Address string `json:"address"`
	// Since is the first moment that counts; zero means now.
	Since time.Time `json:"since"`
	// Requests to see before the answer (AwaitTraffic), or how long to see none
	// (AwaitQuiet).
	Requests int      `json:"requests,omitempty"`
	Quiet    Duration `json:"quiet,omitempty"`
	Deadline Duration `json:"deadline"`
}

// TrafficSeen is what nginx's own log says of one address.
type TrafficSeen struct {
	// Met says whether the awaited thing was seen before the deadline.
	Met      bool     `json:"met"`
	Requests int      `json:"requests"`
	Took     Duration `json:"took"`
}

// AwaitTraffic waits until nginx's log shows requests on the address. Not met at
// the deadline is an answer.
var AwaitTraffic = Step[WatchTrafficInput, TrafficSeen]{
	Name: "proxy.AwaitTraffic", Timeout: 10 * time.Minute, Total: 20 * time.Minute,
	Summary: func(in WatchTrafficInput) string { return "wait for traffic on " + in.Address },
}

// AwaitQuiet waits until no new request has reached the address for the quiet
// time. Not met at the deadline is an answer.
var AwaitQuiet = Step[WatchTrafficInput, TrafficSeen]{
	Name: "proxy.AwaitQuiet", Timeout: 10 * time.Minute, Total: 20 * time.Minute,
	Summary: func(in WatchTrafficInput) string { return "wait for quiet on " + in.Address },
}

// MeasureWindowInput names the address to judge, those to compare it with, and
// the window.
type MeasureWindowInput struct {
	ProxyInput
	Upstream string        `json:"upstream"`
	Address  string        `json:"address"`
	Others   []string      `json:"others"`
	Since    time.Time     `json:"since"`
	Window   Duration      `json:"window"`
	Rolling  RollingPolicy `json:"rolling"`
}

// WindowCounts are requests per address by nginx's log; a retried request counts
// against each address that was tried.
type WindowCounts struct {
	Requests int `json:"requests"`
	// Failed are 5xx answers (503 of a draining replica apart), refused or broken
	// connections and timeouts of this address.
	Failed int     `json:"failed"`
	P50MS  float64 `json:"p50_ms"`
	P99MS  float64 `json:"p99_ms"`
}

// WindowMeasure is the judged address beside the others.
type WindowMeasure struct {
	Address WindowCounts `json:"address"`
	Others  WindowCounts `json:"others"`
	// Took is shorter than the window where failures had already decided it.
	Took Duration `json:"took"`
}

// MeasureWindow counts over the window; it ends early once MinRequests were seen
// and the failures exceed MaxErrorRatio.
var MeasureWindow = Step[MeasureWindowInput, WindowMeasure]{
	Name: "proxy.MeasureWindow", Timeout: 30 * time.Minute, Total: time.Hour,
	Summary: func(in MeasureWindowInput) string { return fmt.Sprintf("judge %s for %s", in.Address, in.Window) },
}

// MeasureTrafficInput bounds a run: before is the minute up to Started, after is
// what follows Finished.
type MeasureTrafficInput struct {
	ProxyInput
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
}

// MeasureTraffic reads nginx's log over the run. Source is "nginx".
var MeasureTraffic = Step[MeasureTrafficInput, Traffic]{
	Name: "proxy.MeasureTraffic", Timeout: time.Minute,
	Summary: func(MeasureTrafficInput) string { return "measure the traffic of the run" },
}
