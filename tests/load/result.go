package load

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// maxExamples bounds the faults that a result quotes; the counts hold all of them.
const maxExamples = 50

// keptUp is the share of the wanted rate below which the loader itself was too slow.
const keptUp = 0.98

// Result is load.json: both sides of the ledger, and what came of comparing them. Latencies are milliseconds from the
// moment a request was due; null means that nothing was measured.
type Result struct {
	Source    string    `json:"source"`
	Run       string    `json:"run"`
	Started   time.Time `json:"started"`
	DurationS float64   `json:"duration_s"`
	RateS     float64   `json:"rate_s"`
	// WantedS is the rate that was asked for; a loader that fell behind it has put less load on than it claims.
	WantedS int `json:"wanted_s"`

	Requests     int64    `json:"requests"`
	Failed       int64    `json:"failed"`
	Duplicated   int64    `json:"duplicated"`
	Lost         int64    `json:"lost"`
	WrongVersion int64    `json:"wrong_version"`
	LongestGapMS *float64 `json:"longest_gap_ms"`
	P99BeforeMS  *float64 `json:"p99_before_ms"`
	P99DuringMS  *float64 `json:"p99_during_ms"`
	P99AfterMS   *float64 `json:"p99_after_ms"`

	Latency    map[Phase]Latency `json:"latency"`
	Slow       Latency           `json:"slow"`
	Client     ClientSide        `json:"client"`
	Server     ServerSide        `json:"server"`
	Websockets Sockets           `json:"websockets"`

	// Agree: the sides tell the same story. Disagreements says where they do not.
	Agree         bool     `json:"agree"`
	Disagreements []string `json:"disagreements"`
	Faults        []Fault  `json:"faults"`
}

// Latency is one distribution; its requests are counted whether they failed or not.
type Latency struct {
	Requests int64    `json:"requests"`
	P50MS    *float64 `json:"p50_ms"`
	P90MS    *float64 `json:"p90_ms"`
	P99MS    *float64 `json:"p99_ms"`
	P999MS   *float64 `json:"p999_ms"`
	MaxMS    *float64 `json:"max_ms"`
}

// ClientSide is what the loader saw.
type ClientSide struct {
	Requests     int64                       `json:"requests"`
	Failed       int64                       `json:"failed"`
	ByClass      map[Class]Count             `json:"by_class"`
	ByPhase      map[Phase]Count             `json:"by_phase"`
	Acknowledged int64                       `json:"acknowledged"`
	Unknown      int64                       `json:"unknown_outcome"`
	Instances    map[string]map[string]int64 `json:"instances"` // instance → version → answers
	Opened       int64                       `json:"connections_opened"`
	IdleClosed   int64                       `json:"connections_closed_idle"`
	LagP99MS     *float64                    `json:"loader_lag_p99_ms"`
}

// Count is requests and how many of them failed.
type Count struct {
	Requests int64 `json:"requests"`
	Failed   int64 `json:"failed"`
}

// ServerSide is what the orchestrator's counters of the run's queue say, and how many tasks were looked up one by one.
type ServerSide struct {
	Submitted          uint64 `json:"submitted"`
	Executions         uint64 `json:"executions"`
	Completed          uint64 `json:"completed"`
	Released           uint64 `json:"released"`
	FailedAttempts     uint64 `json:"failed_attempts"`
	LostAttempts       uint64 `json:"lost_attempts"`
	LateRefused        uint64 `json:"late_refused"`
	DuplicatesAnswered uint64 `json:"duplicates_answered"`
	Waiting            uint64 `json:"waiting"`
	Running            uint64 `json:"running"`
	Dead               uint64 `json:"dead"`
	LookedUp           int64  `json:"looked_up"`
}

// Fault is one example of what went wrong.
type Fault struct {
	At       time.Time `json:"at"`
	Phase    Phase     `json:"phase,omitempty"`
	Class    Class     `json:"class,omitempty"`
	Key      string    `json:"key,omitempty"`
	Instance string    `json:"instance,omitempty"`
	What     string    `json:"what"`
}

// Err is nil only for a run without a failed, lost, duplicated or wrongly answered request, with every WebSocket in
// order, and with both sides in agreement.
func (r *Result) Err() error {
	var found []string
	for _, c := range []struct {
		count int64
		what  string
	}{
		{r.Failed, "failed"}, {r.Lost, "lost"}, {r.Duplicated, "duplicated"}, {r.WrongVersion, "answered by a wrong version"},
	} {
		if c.count > 0 {
			found = append(found, fmt.Sprintf("%d %s", c.count, c.what))
		}
	}
	if r.RateS < keptUp*float64(r.WantedS) || r.Requests == 0 {
		found = append(found, fmt.Sprintf("%.0f requests a second were made where %d were asked for: no verdict", r.RateS, r.WantedS))
	}
	found = append(found, r.Websockets.faults()...)
	if !r.Agree {
		found = append(found, "the client's and the server's ledger disagree: "+strings.Join(r.Disagreements, "; "))
	}
	if len(found) == 0 {
		return nil
	}
	return errors.New(strings.Join(found, ", "))
}

func (l *Loader) result(duration time.Duration, server counters, check taskCheck, sockets Sockets) *Result {
	r := &Result{
		Source: "loader", Run: l.config.Run, Started: l.started.UTC(), DurationS: duration.Seconds(), WantedS: l.config.Rate,
		Latency: map[Phase]Latency{}, Slow: latencyOf(l.ledger.slow), Websockets: sockets,
		Server: server.ServerSide, Disagreements: []string{}, Faults: []Fault{},
	}
	r.Server.LookedUp = check.looked
	r.Client = l.clientSide(r)
	r.Requests, r.Failed = r.Client.Requests, r.Client.Failed
	r.RateS = float64(r.Requests) / duration.Seconds()
	for phase, h := range l.ledger.latency {
		r.Latency[phase] = latencyOf(h)
	}
	r.P99BeforeMS, r.P99DuringMS, r.P99AfterMS = r.Latency[Before].P99MS, r.Latency[During].P99MS, r.Latency[After].P99MS
	r.LongestGapMS = longestGap(l.started, l.started.Add(duration), l.ledger.entries)
	r.Lost = int64(len(check.lost))
	for _, lost := range check.lost {
		r.fault(Fault{At: time.Now().UTC(), Class: Submit, What: "lost: " + lost})
	}
	r.reconcile()
	return r
}

func (r *Result) fault(f Fault) {
	if len(r.Faults) < maxExamples {
		r.Faults = append(r.Faults, f)
	}
}

// clientSide sums the client's ledger, and notes the faults and the wrong versions in r.
func (l *Loader) clientSide(r *Result) ClientSide {
	c := ClientSide{
		ByClass: map[Class]Count{}, ByPhase: map[Phase]Count{}, Instances: map[string]map[string]int64{},
		Opened: l.wire.opened.Load(), IdleClosed: l.wire.idleClosed.Load(), LagP99MS: quantileMS(l.ledger.lag, 99),
	}
	expect, _ := l.expect.Load().(expectation)
	for _, e := range l.ledger.entries {
		class, phase := c.ByClass[e.class], c.ByPhase[e.phase]
		class.Requests, phase.Requests, c.Requests = class.Requests+1, phase.Requests+1, c.Requests+1
		if e.instance != "" {
			if c.Instances[e.instance] == nil {
				c.Instances[e.instance] = map[string]int64{}
			}
			c.Instances[e.instance][e.version]++
		}
		switch {
		case e.fault != "":
			class.Failed, phase.Failed, c.Failed = class.Failed+1, phase.Failed+1, c.Failed+1
			r.fault(e.asFault(e.fault))
			if e.class == Submit {
				c.Unknown++
			}
		case e.class == Submit:
			c.Acknowledged++
		}
		if e.fault == "" && expect.version != "" && e.due.After(expect.since) && e.version != expect.version {
			r.WrongVersion++
			r.fault(e.asFault(fmt.Sprintf("answered by version %q, expected %q", e.version, expect.version)))
		}
		c.ByClass[e.class], c.ByPhase[e.phase] = class, phase
	}
	return c
}

func (e entry) asFault(what string) Fault {
	return Fault{At: e.due.UTC(), Phase: e.phase, Class: e.class, Key: e.key, Instance: e.instance, What: what}
}

// reconcile compares the sides. Each acknowledged request is exactly one task on the server; a request of unknown
// outcome may be one; nobody else submits to this queue. Executions that were given back or failed are run again by
// design; every other execution beyond one a task is a duplicate.
func (r *Result) reconcile() {
	s := r.Server
	least, most := uint64(r.Client.Acknowledged), uint64(r.Client.Acknowledged+r.Client.Unknown)
	if s.Submitted < least {
		r.disagree("%d submits were acknowledged, the server stored %d", least, s.Submitted)
	}
	if s.Submitted > most {
		r.Duplicated += int64(s.Submitted - most)
		r.disagree("the server stored %d tasks, %d were submitted", s.Submitted, most)
	}
	if again := int64(s.Executions) - int64(s.Released) - int64(s.FailedAttempts) - int64(s.Submitted); again > 0 {
		r.Duplicated += again
		r.disagree("%d tasks were executed %d times (%d given back, %d failed)", s.Submitted, s.Executions, s.Released, s.FailedAttempts)
	}
	if s.Completed > s.Submitted {
		r.Duplicated += int64(s.Completed - s.Submitted)
		r.disagree("%d tasks were completed %d times", s.Submitted, s.Completed)
	}
	if s.Completed < s.Submitted {
		r.disagree("%d of %d tasks were never completed (waiting %d, running %d, dead %d)",
			s.Submitted-s.Completed, s.Submitted, s.Waiting, s.Running, s.Dead)
	}
	if r.Lost > 0 {
		r.disagree("%d acknowledged tasks are not there or not completed", r.Lost)
	}
	r.Agree = len(r.Disagreements) == 0
}

func (r *Result) disagree(format string, args ...any) {
	r.Disagreements = append(r.Disagreements, fmt.Sprintf(format, args...))
}

// longestGap is the longest time without a successful answer, long polls aside, with both ends of the run counted in.
func longestGap(started, ended time.Time, entries []entry) *float64 {
	var ends []time.Time
	for _, e := range entries {
		if e.fault == "" && e.class != Slow {
			ends = append(ends, e.due.Add(e.latency))
		}
	}
	if len(entries) == 0 {
		return nil
	}
	slices.SortFunc(ends, func(a, b time.Time) int { return a.Compare(b) })
	longest, last := time.Duration(0), started
	for _, end := range append(ends, ended) {
		longest = max(longest, end.Sub(last))
		last = maxTime(last, end)
	}
	ms := float64(longest.Microseconds()) / 1000
	return &ms
}

func maxTime(a, b time.Time) time.Time {
	if cmp.Compare(a.UnixNano(), b.UnixNano()) < 0 {
		return b
	}
	return a
}
