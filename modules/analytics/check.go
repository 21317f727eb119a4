package analytics

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The bounds of a question.
const (
	MaxLimit  = 1000 // rows in an answer
	MaxSteps  = 2000 // of a Series
	MaxGroups = 20   // of a Series
	MinStep   = time.Minute

	maxRange = 100 * 366 * 24 * time.Hour
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

// Check fills the limit in, or says what is wrong with the filter.
func (f EventFilter) Check() (_ EventFilter, err error) {
	if f.Limit, err = limit(f.Limit, 50); err != nil {
		return f, err
	}
	if f.After != "" && f.Cursor != "" {
		return f, invalid("after and cursor exclude one another")
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
	case q.Step < MinStep || q.Step > maxRange || q.Step%time.Second != 0:
		return invalid("step must be at least %s and a whole number of seconds, not %s", MinStep, q.Step)
	}
	if q.Until.Sub(q.Since) > maxRange {
		return invalid("since and until lie more than a hundred years apart")
	}
	if q.Until.Sub(q.From())/MaxSteps > q.Step || q.Steps() > MaxSteps {
		return invalid("more than %d steps of %s lie between since and until", MaxSteps, q.Step)
	}
	return nil
}

// From is where the first step begins.
func (q SeriesQuery) From() time.Time { return q.Since.UTC().Truncate(q.Step) }

// Steps is how many steps there are.
func (q SeriesQuery) Steps() int {
	span := q.Until.Sub(q.From())
	steps := span / q.Step
	if span%q.Step > 0 {
		steps++
	}
	return int(steps)
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
	case MetricEvents, MetricVisitors, MetricRevenue, MetricSyncs:
	default:
		return invalid("metric must be one of events, visitors, revenue, syncs, not %q", clip(string(m)))
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
