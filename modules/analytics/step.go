package analytics

import (
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the binary must know time zones where the machine does not
)

// Step is how long the steps of a series are, by the clock and the calendar of
// its time zone: a number and a unit, such as "15m".
//
// Minutes and hours count from local midnight, so they must divide an hour or a
// day; where the clock is put forward or back, a new step begins. Days, weeks
// (from Monday) and months are as long as the calendar makes them.
type Step string

// The usual steps. Minutes and hours may be several, as in "5m" and "6h".
const (
	Minute Step = "1m"
	Hour   Step = "1h"
	Day    Step = "1d"
	Week   Step = "1w"
	Month  Step = "1mo"
)

// ParseStep reads a step as people write it: a word, or a number and a unit.
func ParseStep(s string) (Step, error) {
	for word, step := range map[string]Step{"minute": Minute, "hour": Hour, "day": Day, "week": Week, "month": Month} {
		if s == word {
			return step, nil
		}
	}
	step := Step(s)
	if _, _, ok := step.parts(); !ok {
		return "", badStep(s)
	}
	return step, nil
}

func badStep(s string) error {
	return invalid("step must be minute, hour, day, week or month, or a part of them such as 5m, 15m, 2h or 6h, not %q", clip(s))
}

// parts are the number and the unit; ok is false where it is no step.
func (s Step) parts() (n int, unit string, ok bool) {
	digits := strings.TrimRight(string(s), "abcdefghijklmnopqrstuvwxyz")
	unit = string(s)[len(digits):]
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || digits[0] == '0' || digits[0] == '+' {
		return 0, "", false
	}
	switch unit {
	case "m":
		ok = n < 60 && 60%n == 0
	case "h":
		ok = n < 24 && 24%n == 0
	case "d", "w", "mo":
		ok = n == 1
	}
	return n, unit, ok
}

// length is that of a step within a day; 0 for the longer ones.
func (s Step) length() time.Duration {
	switch n, unit, _ := s.parts(); unit {
	case "m":
		return time.Duration(n) * time.Minute
	case "h":
		return time.Duration(n) * time.Hour
	}
	return 0
}

// Usual is how long a step usually is, for whoever must choose one.
func (s Step) Usual() time.Duration {
	const day = 24 * time.Hour
	if d := s.length(); d > 0 {
		return d
	}
	return map[Step]time.Duration{Day: day, Week: 7 * day, Month: 30 * day}[s]
}

// Floor is the beginning of the step that t lies in.
func (s Step) Floor(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	year, month, day := t.Date()
	if d := s.length(); d > 0 {
		// By the clock as it was set at t, but not before it was set so.
		begin := t.Add(-into(t, d))
		if set, _ := t.ZoneBounds(); !set.IsZero() && begin.Before(set) {
			begin = set
		}
		return begin
	}
	switch s {
	case Week:
		day -= (int(t.Weekday()) + 6) % 7
	case Month:
		day = 1
	}
	return midnight(year, month, day, zone)
}

// Next is the beginning of the step after the one that begins at t.
func (s Step) Next(t time.Time, zone *time.Location) time.Time {
	t = t.In(zone)
	year, month, day := t.Date()
	if d := s.length(); d > 0 {
		next := t.Add(d - into(t, d))
		if _, set := t.ZoneBounds(); !set.IsZero() && next.After(set) {
			next = set.In(zone)
		}
		return next
	}
	switch s {
	case Week:
		day += 7
	case Month:
		month++
	default:
		day++
	}
	return midnight(year, month, day, zone)
}

// into is how far t lies in a step of length d, by the clock as it is set at t.
func into(t time.Time, d time.Duration) time.Duration {
	_, offset := t.Zone()
	n := int64(d / time.Second)
	return time.Duration(((t.Unix()+int64(offset))%n+n)%n)*time.Second + time.Duration(t.Nanosecond())
}

// midnight is the first moment of a day. There are days without 00:00, on which
// the clock was put forward then, and days with two of them.
func midnight(year int, month time.Month, day int, zone *time.Location) time.Time {
	wall := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	for t := wall.Add(-48 * time.Hour).In(zone); ; {
		begin, end := t.ZoneBounds()
		_, offset := t.Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		if !begin.IsZero() && at.Before(begin) {
			at = begin
		}
		if end.IsZero() || at.Before(end) {
			return at.In(zone)
		}
		t = end.In(zone)
	}
}

// location finds a zone by its IANA name; empty is UTC. "Local" is none: it would
// mean another thing on each machine.
func location(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	if name != "Local" {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	return nil, invalid("zone must be the name of a time zone such as Europe/London, not %q", clip(name))
}

// starts are where the steps from since to before until begin, at most most + 1.
func (s Step) starts(since, until time.Time, zone *time.Location, most int) []time.Time {
	var out []time.Time
	for t := s.Floor(since, zone); t.Before(until) && len(out) <= most; t = s.Next(t, zone) {
		out = append(out, t)
	}
	return out
}
