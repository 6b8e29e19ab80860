package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sound is evidence that breaks nothing: one task whose first agent was lost and whose
// second attempt was completed, its answer repeated, and one message that came twice.
func sound() Evidence {
	now := time.Now()
	return Evidence{
		Whole: true,
		Records: Records{
			Submits: []Submit{{Key: "k", Task: "t", Answered: now}, {Key: "gone", Err: "gave up"}},
			Given:   []Given{{Task: "t", Attempt: 1, Agent: "a"}, {Task: "t", Attempt: 2, Agent: "b"}, {Task: "t", Attempt: 2, Agent: "b"}},
			Handled: []Handled{{Task: "t", Attempt: 1, Agent: "a"}, {Task: "t", Attempt: 2, Agent: "b"}},
			Reports: []Report{
				{Task: "t", Attempt: 1, Agent: "a", Reason: "not held"},
				{Task: "t", Attempt: 2, Agent: "b", Accepted: true, Completed: true},
				{Task: "t", Attempt: 2, Agent: "b", Accepted: true, Completed: true, Duplicate: true},
			},
			Sent:     []Sent{{To: "r", Body: "hi", Stored: true}, {To: "r", Body: "cut", Err: "closed"}},
			Received: []Received{{"r", "hi", "p.1"}, {"r", "hi", "p.1"}},
		},
		Journal: []Change{
			{Seq: 1, Epoch: 1, What: submitted, Task: "t", Key: "k"},
			{Seq: 2, Epoch: 1, What: started, Task: "t", Attempt: 1, Agent: "a"},
			{Seq: 3, Epoch: 2, What: lost, Task: "t"},
			{Seq: 4, Epoch: 2, What: started, Task: "t", Attempt: 2, Agent: "b"},
			{Seq: 5, Epoch: 2, What: completed, Task: "t"},
		},
		Final: map[string]Final{"t": {Found: true, Completed: true, Attempt: 2}},
	}
}

func TestJudge(t *testing.T) {
	require.Empty(t, judge(sound()))
	tests := []struct {
		name string
		harm func(*Evidence)
		want Rule
	}{
		{"acknowledged and gone", func(e *Evidence) { delete(e.Final, "t") }, Lost},
		{"acknowledged and never finished", func(e *Evidence) { e.Final["t"] = Final{Found: true} }, Lost},
		{"acknowledged and not in the journal", func(e *Evidence) {
			e.Submits = append(e.Submits, Submit{Key: "l", Task: "u"})
			e.Final["u"] = Final{Found: true, Completed: true}
		}, Lost},
		{"accepted result gone from the journal", func(e *Evidence) { e.Journal = e.Journal[:4] }, Lost},
		{"accepted result of an attempt that the service does not know", func(e *Evidence) { e.Final["t"] = Final{Found: true, Completed: true, Attempt: 1} }, Lost},
		{"two leases", func(e *Evidence) { e.Journal[2].What = "" }, TwoLeases},
		{"one execution for two agents", func(e *Evidence) { e.Given[2].Agent = "c" }, TwoLeases},
		{"newer attempt after an accepted one", func(e *Evidence) {
			e.Journal = append(e.Journal, Change{Seq: 6, Epoch: 2, What: started, Task: "t", Attempt: 3, Agent: "c"})
		}, TwoLeases},
		{"attempt repeats", func(e *Evidence) { e.Journal[3].Attempt = 1 }, Duplicated},
		{"attempt goes down", func(e *Evidence) { e.Journal[1].Attempt = 3 }, Duplicated},
		{"executed twice under one number", func(e *Evidence) { e.Handled[0].Attempt = 2 }, Duplicated},
		{"two tasks of one key", func(e *Evidence) {
			e.Submits = append(e.Submits, Submit{Key: "k", Task: "u"})
			e.Final["u"] = Final{Found: true, Completed: true}
		}, Duplicated},
		{"two tasks of one key in the journal", func(e *Evidence) {
			e.Journal = append(e.Journal, Change{Seq: 6, Epoch: 2, What: submitted, Task: "u", Key: "k"})
		}, Duplicated},
		{"accepted after it was lost", func(e *Evidence) { e.Reports[0].Accepted = true }, FencedAck},
		{"accepted after it was released", func(e *Evidence) { e.Reports[0].Accepted, e.Journal[2].What = true, released }, FencedAck},
		{"accepted from another agent", func(e *Evidence) { e.Reports[1].Agent = "a" }, FencedAck},
		{"an end that nobody held", func(e *Evidence) { e.Journal[3].What = "" }, FencedAck},
		{"a former owner writes", func(e *Evidence) { e.Journal[4].Epoch = 1 }, FencedAck},
		{"given and never recorded", func(e *Evidence) { e.Given = append(e.Given, Given{Task: "t", Attempt: 3, Agent: "a"}) }, Unrecorded},
		{"confirmed message that did not come", func(e *Evidence) { e.Received = nil }, Lost},
		{"message repeated under another ID", func(e *Evidence) { e.Received[1].ID = "p.2" }, Duplicated},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := sound()
			test.harm(&e)
			var rules []Rule
			for _, v := range judge(e) {
				rules = append(rules, v.Rule)
			}
			require.Contains(t, rules, test.want)
		})
	}
}

// Without the journal's front the services' own words are judged, and nothing else is
// held against the rest of the journal.
func TestJudge_TrimmedJournal(t *testing.T) {
	e := sound()
	e.Whole, e.Journal = false, e.Journal[4:]
	require.Empty(t, judge(e))
	e.Final["t"] = Final{Found: true}
	require.NotEmpty(t, judge(e))
}

// An old attempt's accepted result is found without the journal too.
func TestJudge_TrimmedJournalAndFencedAck(t *testing.T) {
	e := sound()
	e.Whole, e.Journal = false, nil
	e.Reports[0].Accepted, e.Reports[0].Completed = true, true
	require.Len(t, judge(e), 1)
	require.Equal(t, FencedAck, judge(e)[0].Rule)
}

func TestThin(t *testing.T) {
	require.NoError(t, thin(sound()))
	for _, harm := range []func(*Evidence){
		func(e *Evidence) { e.Given = nil },
		func(e *Evidence) { e.Reports = nil },
		func(e *Evidence) { e.Journal = nil },
	} {
		e := sound()
		harm(&e)
		require.Error(t, thin(e))
	}
}
