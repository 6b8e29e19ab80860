package runbook

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // slim images have no zone database, and a run's hour must not depend on the image
)

// Calendar is when a schedule's nominal dates are due: a rule of dates, an hour, and
// the zone whose clocks show it.
//
// A nominal date is due once, whatever the clocks do. Where they are put forward
// over the hour it is due at the first minute after the gap, and where they are put
// back it is due the first time that they show the hour.
type Calendar struct {
	// nth is which of the month's weekdays: 0 every one, 1 to 4, or -1 the last.
	nth          int
	daily        bool
	weekday      time.Weekday
	hour, minute int
	zone         *time.Location
}

// Due is a nominal date, and the instant at which it is due.
type Due struct {
	// Date is the date on the zone's calendar, "2026-11-29".
	Date string    `json:"date"`
	At   time.Time `json:"at"`
}

var ordinals = map[string]int{"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}

var weekdays = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}

// Calendar reads the schedule's rule; the error names the field and what is expected.
func (p SchedulePolicy) Calendar() (Calendar, error) {
	c, err := parseEvery(p.Every)
	if err != nil {
		return c, err
	}
	at, err := time.Parse("15:04", p.At)
	if err != nil || len(p.At) != len("15:04") {
		return c, fmt.Errorf("at: %q; expected an hour and a minute from 00:00 to 23:59, such as \"02:00\"", p.At)
	}
	c.hour, c.minute = at.Hour(), at.Minute()
	if p.Timezone == "" || p.Timezone == "Local" {
		return c, fmt.Errorf("timezone: %q; expected a zone of the IANA database, such as America/Los_Angeles", p.Timezone)
	}
	if c.zone, err = time.LoadLocation(p.Timezone); err != nil {
		return c, fmt.Errorf("timezone: %q; expected a zone of the IANA database, such as America/Los_Angeles", p.Timezone)
	}
	return c, nil
}

func parseEvery(every string) (Calendar, error) {
	if every == "day" {
		return Calendar{daily: true}, nil
	}
	nth, day := 0, every
	if before, after, two := strings.Cut(every, " "); two {
		if nth, day = ordinals[before], after; nth == 0 {
			day = ""
		}
	}
	at := slices.Index(weekdays, day)
	if at < 0 {
		return Calendar{}, fmt.Errorf("every: %q; expected day, a weekday such as sunday, or first, second, third, fourth or last with a weekday, such as \"first sunday\"", every)
	}
	return Calendar{nth: nth, weekday: time.Weekday(at)}, nil
}

// Between lists what is due after one instant, up to and including another.
func (c Calendar) Between(after, until time.Time) []Due {
	var out []Due
	for d := c.date(after).AddDate(0, 0, -1); !d.After(c.date(until)); d = d.AddDate(0, 0, 1) {
		if !c.on(d) {
			continue
		}
		if at := c.at(d); at.After(after) && !at.After(until) {
			out = append(out, Due{d.Format(time.DateOnly), at})
		}
	}
	return out
}

// First is what is due next after an instant.
func (c Calendar) First(after time.Time) Due {
	for d := c.date(after).AddDate(0, 0, -1); ; d = d.AddDate(0, 0, 1) {
		if !c.on(d) {
			continue
		}
		if at := c.at(d); at.After(after) {
			return Due{d.Format(time.DateOnly), at}
		}
	}
}

// Nominal is the date that is due at exactly this instant, if one is. It is not
// always the date that the clocks show: where a gap reaches to midnight, the run of
// the evening begins on the next day.
func (c Calendar) Nominal(at time.Time) (Due, bool) {
	for _, d := range []time.Time{c.date(at), c.date(at).AddDate(0, 0, -1)} {
		if c.on(d) && c.at(d).Equal(at) {
			return Due{d.Format(time.DateOnly), c.at(d)}, true
		}
	}
	return Due{}, false
}

// Local is the instant on the calendar's clocks.
func (c Calendar) Local(at time.Time) time.Time { return at.In(c.zone) }

// date is the zone's date at an instant, as midnight UTC, where days are all alike.
func (c Calendar) date(at time.Time) time.Time {
	y, m, d := at.In(c.zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

func (c Calendar) on(d time.Time) bool {
	switch {
	case c.daily:
		return true
	case d.Weekday() != c.weekday:
		return false
	case c.nth < 0:
		return d.AddDate(0, 0, 7).Month() != d.Month()
	default:
		return c.nth == 0 || (d.Day()-1)/7+1 == c.nth
	}
}

// at is the instant at which the zone's clocks first show the hour on a date, or
// the end of the gap that swallows it. time.Date alone does not say which of two it
// answers, nor on which side of a gap.
func (c Calendar) at(d time.Time) time.Time {
	wall := time.Date(d.Year(), d.Month(), d.Day(), c.hour, c.minute, 0, 0, time.UTC)
	near := time.Date(d.Year(), d.Month(), d.Day(), c.hour, c.minute, 0, 0, c.zone)
	start, end := near.ZoneBounds()
	var first time.Time
	for _, side := range []time.Time{start.Add(-1), near, end} {
		shown := wall.Add(-c.offset(side))
		if c.offset(shown) == c.offset(side) && (first.IsZero() || shown.Before(first)) {
			first = shown
		}
	}
	if !first.IsZero() {
		return first
	}
	for _, change := range []time.Time{start, end} {
		before, after := change.Add(c.offset(change.Add(-1))), change.Add(c.offset(change))
		if !change.IsZero() && !wall.Before(before) && wall.Before(after) {
			return change.UTC()
		}
	}
	return near.UTC()
}

func (c Calendar) offset(at time.Time) time.Duration {
	_, seconds := at.In(c.zone).Zone()
	return time.Duration(seconds) * time.Second
}
