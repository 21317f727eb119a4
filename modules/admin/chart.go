package admin

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/miq/pixel/modules/analytics"
)

// chart is what one is drawn from. The table below it has the same numbers, and so has
// the file; lines differ by their dashes too.
type chart struct {
	Title  string // for who cannot see it
	Groups []string
	Units  []string // of each group: empty for a number, percent, or a currency
	Lines  []chartLine
	Sums   []chartSum
	// Was is what it is compared with, such as "the 7 days before"; empty: with nothing.
	Was   string
	Zone  string // whose clock tells the times; empty: the reader's own
	Until time.Time

	zone *time.Location
}

// chartLine is one step.
type chartLine struct {
	At     time.Time
	Values []float64 // of each group; NaN: there is none
	Before []float64 // in the same step of the period before, where it is compared
}

// chartSum is what a group comes to.
type chartSum struct {
	Group         string
	Unit          string
	Value, Before float64
	Note          string // what it is, where it is no sum
}

// perHundred is the unit of shares.
const perHundred = "percent"

// mostLinesDrawn is how many groups a chart can tell apart.
const mostLinesDrawn = 6

// draw puts series into the chart, and beside them those of the period before.
func (c *chart) draw(now, before []analytics.Series, titles func(group string) (title, unit string)) {
	now = now[:min(len(now), mostLinesDrawn)]
	compared := false
	for _, s := range now {
		title, unit := titles(s.Group)
		c.Groups, c.Units = append(c.Groups, title), append(c.Units, unit)
		sum := chartSum{Group: title, Unit: unit, Value: total(s)}
		var was []analytics.Point
		if i := slices.IndexFunc(before, func(b analytics.Series) bool { return b.Group == s.Group }); i >= 0 {
			was, sum.Before = before[i].Points, total(before[i])
			compared = compared || slices.ContainsFunc(was, func(p analytics.Point) bool { return p.Value > 0 })
		}
		c.Sums = append(c.Sums, sum)
		for i, p := range s.Points {
			if len(c.Lines) <= i {
				c.Lines = append(c.Lines, chartLine{At: p.Time})
			}
			l, v := &c.Lines[i], 0.0
			if i < len(was) {
				v = was[i].Value
			} else if was != nil {
				v = math.NaN() // a month had fewer days
			}
			l.Values, l.Before = append(l.Values, p.Value), append(l.Before, v)
		}
	}
	if !compared {
		c.alone()
	}
}

// alone takes the comparison away.
func (c *chart) alone() {
	c.Was = ""
	for i := range c.Lines {
		c.Lines[i].Before = nil
	}
}

// mean makes sums into what they are in a step: people who come in several cannot be added up.
func (c *chart) mean(note string) {
	n := float64(max(1, len(c.Lines)))
	for i := range c.Sums {
		s := &c.Sums[i]
		s.Value, s.Before, s.Note = s.Value/n, s.Before/n, note
	}
}

// Single reports whether the chart has one line, beside which that of the period before is drawn.
func (c chart) Single() bool { return len(c.Groups) == 1 }

// Say writes a value of a group.
func (c chart) Say(group int, v float64) string {
	if group < len(c.Units) {
		return said(v, c.Units[group])
	}
	return said(v, "")
}

func said(v float64, unit string) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case unit == perHundred:
		return percent(v / 100)
	case unit != "":
		return money(v, unit)
	}
	return number(v)
}

// Raw is the value that is drawn.
func (c chart) Raw(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// Unit is what all lines are measured in; they have the same or none.
func (c chart) Unit() string {
	if len(c.Units) == 0 || slices.ContainsFunc(c.Units, func(u string) bool { return u != c.Units[0] }) {
		return ""
	}
	return c.Units[0]
}

// Say writes a sum.
func (s chartSum) Say() string { return said(s.Value, s.Unit) }

// Against says how a sum stands against the period before.
func (c chart) Against(s chartSum) string {
	if c.Was == "" {
		return ""
	}
	return against(s.Value, s.Before, s.Unit, c.Was)
}

// against says how a value stands against what it was: "12% more than in the 7 days before".
func against(now, before float64, unit, was string) string {
	switch {
	case math.IsNaN(before) || math.IsNaN(now):
		return ""
	case unit == perHundred:
		more := math.Round(10*(now-before)) / 10
		if more == 0 {
			return "As in " + was
		}
		than := " points more than in "
		if more < 0 {
			than = " points less than in "
		}
		return strconv.FormatFloat(math.Abs(more), 'f', -1, 64) + than + was
	case before == 0:
		return "None in " + was
	}
	less := "fewer"
	if unit != "" {
		less = "less"
	}
	switch change := math.Round((now/before - 1) * 100); {
	case change == 0:
		return "As in " + was
	case change < 0:
		return number(-change) + "% " + less + " than in " + was
	case change >= 1000: // a percentage of that says nothing
		return number(now/before) + " times what it was in " + was
	default:
		return number(change) + "% more than in " + was
	}
}

// Clock writes a step's beginning by the chart's zone.
func (c chart) Clock(t time.Time) string {
	if c.zone != nil {
		t = t.In(c.zone)
	}
	return t.Format("2 Jan 2006 15:04")
}

// earlier is the same question of the period before.
func earlier(q analytics.SeriesQuery) analytics.SeriesQuery {
	q.Since, q.Until = q.Since.Add(-q.Until.Sub(q.Since)), q.Since
	return q
}

// both asks of a time and of the one before it, at once.
func (a *Admin) both(ctx context.Context, q analytics.SeriesQuery) (now, before []analytics.Series, err error) {
	two, within := errgroup.WithContext(ctx)
	two.Go(func() (err error) {
		now, err = a.o.Events.Series(within, q)
		return err
	})
	two.Go(func() (err error) {
		before, err = a.o.Events.Series(within, earlier(q))
		return err
	})
	return now, before, two.Wait()
}

// compared asks of a time and of the one before it. Of groups only those are asked of the
// time before that are among the greatest now.
func (a *Admin) compared(ctx context.Context, q analytics.SeriesQuery) (now, before []analytics.Series, err error) {
	if q.GroupBy == "" {
		return a.both(ctx, q)
	}
	if now, err = a.o.Events.Series(ctx, q); err != nil || len(now) == 0 {
		return nil, nil, err
	}
	was := earlier(q)
	if len(was.Where) < analytics.MaxConditions {
		groups := analytics.Condition{Dimension: q.GroupBy}
		for _, s := range now {
			groups.Values = append(groups.Values, s.Group)
		}
		was.Where = append(slices.Clone(was.Where), groups)
	}
	before, err = a.o.Events.Series(ctx, was)
	return now, before, err
}
