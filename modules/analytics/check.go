package analytics

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// The bounds of a question.
const (
	MaxLimit  = 1000 // rows in an answer
	MaxSteps  = 2000 // of a Series
	MaxGroups = 20   // of a Series
	maxRange  = 100 * 366 * 24 * time.Hour
	// maxSpan bounds what reads every event of a time, and not only roll-ups.
	maxSpan = 400 * 24 * time.Hour
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

func limit(n, usual int) (int, error) {
	if n == 0 {
		return usual, nil
	}
	if n < 0 || n > MaxLimit {
		return 0, invalid("limit must be 1 to %d, not %d", MaxLimit, n)
	}
	return n, nil
}

func between(since, until time.Time) error {
	if !since.IsZero() && !until.IsZero() && until.Before(since) {
		return invalid("until lies before since")
	}
	return nil
}

// span says whether there is a beginning and an end, not too far apart.
func span(since, until time.Time) error {
	switch {
	case since.IsZero() || until.IsZero():
		return invalid("since and until are needed")
	case !since.Before(until):
		return invalid("until must lie after since")
	case until.Sub(since) > maxSpan:
		return invalid("since and until lie more than %d days apart", int(maxSpan.Hours()/24))
	}
	return nil
}

// stepsOf are where steps begin.
func stepsOf(step Step, zone string, since, until time.Time) ([]time.Time, error) {
	if _, _, ok := step.parts(); !ok {
		return nil, badStep(string(step))
	}
	loc, err := location(zone)
	if err != nil {
		return nil, err
	}
	starts := step.starts(since, until, loc, MaxSteps)
	if len(starts) > MaxSteps {
		return nil, invalid("more than %d steps of %s lie between since and until", MaxSteps, step)
	}
	return starts, nil
}

// Check fills the limit in, or says what is wrong with the filter.
func (f EventFilter) Check() (_ EventFilter, err error) {
	if f.Limit, err = limit(f.Limit, 50); err != nil {
		return f, err
	}
	if f.After != "" && f.Cursor != "" {
		return f, invalid("after and cursor exclude one another")
	}
	if f.MinValue != nil && f.MaxValue != nil && *f.MaxValue < *f.MinValue {
		return f, invalid("the greatest value lies below the least")
	}
	for _, v := range []*float64{f.MinValue, f.MaxValue} {
		if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
			return f, invalid("a value must be a number")
		}
	}
	if err := conditions(f.Where, EventDimensions); err != nil {
		return f, err
	}
	return f, between(f.Since, f.Until)
}

// Check fills the limit in, or says what is wrong with the filter.
func (f SyncFilter) Check() (_ SyncFilter, err error) {
	if f.Limit, err = limit(f.Limit, 50); err != nil {
		return f, err
	}
	return f, between(f.Since, f.Until)
}

// Check says what is wrong with the question.
func (q SeriesQuery) Check() error {
	if err := counts(q.Metric, q.GroupBy, q.Name, q.Partner); err != nil {
		return err
	}
	switch {
	case q.Since.IsZero() || q.Until.IsZero():
		return invalid("a series needs since and until")
	case !q.Since.Before(q.Until):
		return invalid("until must lie after since")
	}
	if q.Until.Sub(q.Since) > maxRange {
		return invalid("since and until lie more than a hundred years apart")
	}
	if err := conditions(q.Where, dimensions(q.Metric)); err != nil {
		return err
	}
	_, err := q.Starts()
	return err
}

// Starts are where the steps begin, the first at or before Since. Every instant
// from Since to before Until lies in the step of the last start at or before it.
func (q SeriesQuery) Starts() ([]time.Time, error) {
	return stepsOf(q.Step, q.Zone, q.Since, q.Until)
}

// Check fills the limit in, or says what is wrong with the question.
func (q TopQuery) Check() (_ TopQuery, err error) {
	if q.Limit, err = limit(q.Limit, 10); err != nil {
		return q, err
	}
	if q.Dimension == "" {
		return q, invalid("a dimension is needed: %s", strings.Join(dimensions(q.Metric), ", "))
	}
	if err := counts(q.Metric, q.Dimension, q.Name, q.Partner); err != nil {
		return q, err
	}
	if err := conditions(q.Where, dimensions(q.Metric)); err != nil {
		return q, err
	}
	return q, between(q.Since, q.Until)
}

func dimensions(m Metric) []string {
	if m == MetricSyncs {
		return SyncDimensions
	}
	return EventDimensions
}

func counts(m Metric, dimension, name, partner string) error {
	switch m {
	case MetricEvents, MetricVisitors, MetricRevenue, MetricBaseRevenue, MetricSyncs:
	default:
		return invalid("metric must be one of events, visitors, revenue, base_revenue, syncs, not %q", clip(string(m)))
	}
	if dimension != "" && !slices.Contains(dimensions(m), dimension) {
		return invalid("%s cannot be grouped by %q, only by one of %s", m, clip(dimension), strings.Join(dimensions(m), ", "))
	}
	if m == MetricSyncs && name != "" {
		return invalid("the sync log has no event names to select by")
	}
	if m != MetricSyncs && partner != "" {
		return invalid("only syncs can be selected by partner, not %s", m)
	}
	return nil
}

func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}
