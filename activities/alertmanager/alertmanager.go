// Package alertmanager is the hand on Alertmanager: it lists what fires, and opens
// and closes silences of its own. A silence carries its run in its comment, so
// that a retry finds it, and is never without matchers: one would mute everything.
package alertmanager

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/leanvibe/hive/workflows/runbook"
)

const (
	// author marks our silences.
	author = "hive"
	// longest bounds a silence: it is opened short and extended, so that one of a
	// terminated run lapses by itself.
	longest = 24 * time.Hour
)

// Hand asks Alertmanager. Its zero value is ready.
type Hand struct{}

// alert is what GET /api/v2/alerts lists.
type alert struct {
	Labels   map[string]string `json:"labels"`
	StartsAt time.Time         `json:"startsAt"`
	Status   struct {
		SilencedBy []string `json:"silencedBy"`
	} `json:"status"`
}

// List answers runbook.ListAlerts: everything that fires, silenced or not.
func (Hand) List(ctx context.Context, in runbook.AlertsInput) (runbook.AlertsState, error) {
	out := runbook.AlertsState{Alerts: []runbook.Alert{}}
	var found []alert
	query := url.Values{"active": {"true"}, "silenced": {"true"}, "inhibited": {"false"}, "unprocessed": {"true"}}
	if err := call(ctx, in.URL, http.MethodGet, "/alerts?"+query.Encode(), nil, &found); err != nil {
		return out, err
	}
	for _, a := range found {
		out.Alerts = append(out.Alerts, runbook.Alert{
			Name: a.Labels["alertname"], Severity: a.Labels["severity"], Labels: a.Labels,
			Since: a.StartsAt, Silenced: len(a.Status.SilencedBy) > 0,
		})
	}
	sort.SliceStable(out.Alerts, func(i, j int) bool { return out.Alerts[i].Name < out.Alerts[j].Name })
	return out, nil
}

// matcher is one condition of a silence.
type matcher struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	IsRegex bool   `json:"isRegex"`
	IsEqual *bool  `json:"isEqual,omitempty"`
}

// silence is what the API reads and writes.
type silence struct {
	ID        string    `json:"id,omitempty"`
	Matchers  []matcher `json:"matchers"`
	StartsAt  time.Time `json:"startsAt"`
	EndsAt    time.Time `json:"endsAt"`
	CreatedBy string    `json:"createdBy"`
	Comment   string    `json:"comment"`
	Status    *struct {
		State string `json:"state"`
	} `json:"status,omitempty"`
}

func (s silence) live() bool { return s.Status != nil && s.Status.State != "expired" }

// of says whether the silence is the run's.
func (s silence) of(run string) bool {
	return s.CreatedBy == author && strings.HasSuffix(s.Comment, mark(run))
}

func mark(run string) string { return "[run " + run + "]" }

// Open answers runbook.OpenSilence: it opens a silence, adopts one that the same
// run has opened already, or extends the one with the ID.
func (Hand) Open(ctx context.Context, in runbook.SilenceInput) (runbook.Silence, error) {
	if err := sensible(in); err != nil {
		return runbook.Silence{}, err
	}
	now := time.Now()
	s := silence{
		Matchers: matchersOf(in.Matchers), StartsAt: now, EndsAt: now.Add(in.For.D()),
		CreatedBy: author, Comment: strings.TrimSpace(in.Comment + " " + mark(in.Run)),
	}
	before, err := earlier(ctx, in)
	if err != nil {
		return runbook.Silence{}, err
	}
	if before != nil {
		// Only its end changes: another change would close it and open a new one.
		s.ID, s.Matchers, s.StartsAt, s.Comment = before.ID, before.Matchers, before.StartsAt, before.Comment
		if before.EndsAt.After(s.EndsAt) {
			s.EndsAt = before.EndsAt
		}
	}
	if len(s.Matchers) == 0 {
		return runbook.Silence{}, runbook.Fail(runbook.Missing, "silence %s has ended or never was, and no matchers say what a new one should mute", in.ID)
	}
	var made struct {
		SilenceID string `json:"silenceID"`
	}
	if err := call(ctx, in.URL, http.MethodPost, "/silences", s, &made); err != nil {
		return runbook.Silence{}, err
	}
	return runbook.Silence{ID: made.SilenceID, Until: s.EndsAt}, nil
}

func sensible(in runbook.SilenceInput) error {
	switch {
	case in.Run == "":
		return runbook.Fail(runbook.Refused, "a silence needs the run that opens it, by which a retry finds it")
	case in.For <= 0 || in.For.D() > longest:
		return runbook.Fail(runbook.Refused, "a silence for %s is refused: up to %s, and extend it", in.For, longest)
	case in.ID == "" && len(in.Matchers) == 0:
		return runbook.Fail(runbook.Refused, "a silence without matchers would mute every alert; name labels, for example {\"service\": \"communication-hub\"}")
	}
	for label, value := range in.Matchers {
		if label == "" || value == "" {
			return runbook.Fail(runbook.Refused, "matcher %q = %q would match alerts that lack the label; name a label and its value", label, value)
		}
	}
	return nil
}

func matchersOf(labels map[string]string) []matcher {
	out := make([]matcher, 0, len(labels))
	yes := true
	for _, name := range sorted(labels) {
		out = append(out, matcher{Name: name, Value: labels[name], IsEqual: &yes})
	}
	return out
}

// earlier finds the live silence to extend: the one with the ID, else the run's
// with the same matchers.
func earlier(ctx context.Context, in runbook.SilenceInput) (*silence, error) {
	all, err := list(ctx, in.URL)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.live() && (s.ID == in.ID || in.ID == "" && s.of(in.Run) && maps.Equal(labelsOf(s), in.Matchers)) {
			return &s, nil
		}
	}
	return nil, nil
}

func labelsOf(s silence) map[string]string {
	out := map[string]string{}
	for _, m := range s.Matchers {
		out[m.Name] = m.Value
	}
	return out
}

func list(ctx context.Context, address string) ([]silence, error) {
	var all []silence
	err := call(ctx, address, http.MethodGet, "/silences", nil, &all)
	return all, err
}

// Close answers runbook.CloseSilence. Without an ID it closes every silence of the
// run: the one whose opening got no answer.
func (Hand) Close(ctx context.Context, in runbook.SilenceInput) (runbook.Changed, error) {
	var out runbook.Changed
	if in.ID == "" && in.Run == "" {
		return out, runbook.Fail(runbook.Refused, "name the silence, or the run that opened it")
	}
	all, err := list(ctx, in.URL)
	if err != nil {
		return out, err
	}
	for _, s := range all {
		if !s.live() || s.ID != in.ID && (in.ID != "" || !s.of(in.Run)) {
			continue
		}
		if err := call(ctx, in.URL, http.MethodDelete, "/silence/"+url.PathEscape(s.ID), nil, nil); err != nil {
			return out, err
		}
		out.Changed = true
	}
	return out, nil
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
