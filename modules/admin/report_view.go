package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/settings"
)

// reportTab is one of the pages under Reports.
type reportTab struct{ Path, Title string }

var reportTabs = []reportTab{
	{"/reports", "Over time"}, {"/reports/funnel", "Funnel"}, {"/reports/consent", "Consent"}, {"/reports/reconciliation", "Reconciliation"}, {"/reports/duplicates", "Duplicates"}, {"/reports/loss", "Loss"}, {"/reports/latency", "Latency"},
}

// reportView is what all of them have: the same pixel, time and zone, which links
// from one to the other keep.
type reportView struct {
	Tabs   []reportTab
	Path   string
	Pixels []settings.Pixel
	Pixel  string
	Range  rangeChoice
	Ranges []rangeChoice
	Zone   string
	Keep   string      // the part of an address that keeps them
	Kept   [][2]string // the same, for a form
	// From and To are the days, in the zone, of a range that is none of the usual ones.
	From, To string
	File     string      // the address of the same report as CSV, but for the format
	Others   [][2]string // what else the address asks for, which a change of the above keeps
	Errors   []httpFieldError
	// typed is what was asked for in the fields that are wrong.
	typed map[string]string
	// Here is the address with all that is asked for, and Saved are the views of whoever asks.
	Here  string
	Saved []savedView

	since, until time.Time
	zone         *time.Location
}

func (a *Admin) reportView(c *echo.Context) reportView {
	v := reportView{Tabs: reportTabs, Path: c.Request().URL.Path, Pixels: a.pixels(c.Request().Context()), Pixel: c.QueryParam("pixel_id"), Ranges: ranges, Zone: c.QueryParam("zone"), until: a.now(), zone: time.UTC, typed: map[string]string{"zone": c.QueryParam("zone"), "from": c.QueryParam("from"), "to": c.QueryParam("to")}}
	if _, ok := a.seen(c.Request().Context(), v.Pixel); !ok {
		v.Pixel = ""
	}
	if v.Zone != "" {
		zone, err := time.LoadLocation(v.Zone)
		if err != nil || v.Zone == "Local" {
			v.Errors = append(v.Errors, httpFieldError{"zone", "must be the name of a time zone such as Europe/London; these are by UTC"})
			v.Zone = ""
		} else {
			v.zone = zone
		}
	}
	v.choose(c.QueryParam("range"), c.QueryParam("from"), c.QueryParam("to"))
	for _, name := range []string{"metric", "group_by", "name", "where", "is", "dimension", "step", "window"} {
		for _, value := range c.QueryParams()[name] {
			v.Others = append(v.Others, [2]string{name, value})
		}
	}
	v.Here = c.Request().URL.RequestURI()
	var err error
	if v.Saved, _, err = a.saved(c.Request().Context(), me(c)); err != nil {
		a.o.Log.Warn("saved views could not be read", "error", err)
	}
	for _, pair := range [][2]string{{"range", v.Range.Key}, {"from", v.From}, {"to", v.To}, {"pixel_id", v.Pixel}, {"zone", v.Zone}} {
		if pair[1] != "" {
			v.Kept = append(v.Kept, pair)
		}
	}
	keep := url.Values{}
	for _, pair := range v.Kept {
		keep.Set(pair[0], pair[1])
	}
	v.Keep = "?" + keep.Encode() // a range is always among them
	return v
}

// byDates is the key of a range from one day to another.
const byDates = "dates"

// longest is how many days a range may have.
const longest = 366

// choose sets the range: one of the usual ones, or from one day to another by the zone's
// calendar, which are the last seven where none are told.
func (v *reportView) choose(key, from, to string) {
	if key != byDates {
		v.Range = chosenRange(cmp.Or(key, "7d"))
		v.since = v.until.Add(-v.Range.Span)
		return
	}
	today := v.until.In(v.zone)
	day := func(field, text string, otherwise time.Time) time.Time {
		if text == "" {
			return otherwise
		}
		t, err := time.ParseInLocation(time.DateOnly, text, v.zone)
		if err != nil {
			v.Errors = append(v.Errors, httpFieldError{field, "must be a day such as 2026-11-01"})
			return otherwise
		}
		return t
	}
	last := day("to", to, today)
	first := day("from", from, last.AddDate(0, 0, -6))
	if first.After(last) {
		v.Errors = append(v.Errors, httpFieldError{"from", "must not lie after the last day"})
		first = last
	}
	if least := last.AddDate(0, 0, 1-longest); first.Before(least) {
		v.Errors = append(v.Errors, httpFieldError{"from", fmt.Sprintf("must lie at most %d days before the last", longest-1)})
		first = least
	}
	midnight := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, v.zone) }
	v.From, v.To = first.Format(time.DateOnly), last.Format(time.DateOnly)
	v.since = midnight(first)
	if end := midnight(last.AddDate(0, 0, 1)); end.Before(v.until) {
		v.until = end
	}
	if !v.since.Before(v.until) {
		v.Errors = append(v.Errors, httpFieldError{"from", "must not lie after today"})
		v.since = v.until.AddDate(0, 0, -7)
	}
	v.Range = rangeChoice{Key: byDates, Title: days(first, last), Span: v.until.Sub(v.since)}
}

// days says from when to when, with no more of a date than is needed.
func days(first, last time.Time) string {
	const whole = "2 Jan 2006"
	switch {
	case first.Format(whole) == last.Format(whole):
		return last.Format(whole)
	case first.Year() != last.Year():
		return first.Format(whole) + " to " + last.Format(whole)
	case first.Month() != last.Month():
		return first.Format("2 Jan") + " to " + last.Format(whole)
	}
	return first.Format("2") + " to " + last.Format(whole)
}

// atMost shortens the range of a report that cannot look further back.
func (v *reportView) atMost(d time.Duration) {
	if v.Range.Span > d {
		v.Errors = append(v.Errors, httpFieldError{"from", fmt.Sprintf("must lie at most %d days before the last here; this is of the last of them", int(d.Hours()/24))})
		v.since, v.Range.Span = v.until.Add(-d), d
	}
}

// starts are the steps of a chart of what is counted by the hour.
func (v *reportView) starts() ([]time.Time, error) {
	return analytics.SeriesQuery{Metric: analytics.MetricEvents, Since: v.since, Until: v.until, Step: hourly(niceStep(v.Range.Span)), Zone: v.Zone}.Starts()
}

// Wrong is what is wrong with a field; empty: nothing.
func (v reportView) Wrong(field string) string {
	return wrongOf(v.Errors, field)
}

func wrongOf(list []httpFieldError, field string) string {
	if i := slices.IndexFunc(list, func(e httpFieldError) bool { return e.Field == field }); i >= 0 {
		return list[i].Message
	}
	return ""
}

// Shown is what stands in a field: what was typed, where it is wrong, and else what is asked.
func (v reportView) Shown(field, asked string) string {
	if v.Wrong(field) != "" {
		return v.typed[field]
	}
	return asked
}

// stepOf is the step that a time lies in, or the one next to it.
func stepOf(starts []time.Time, t time.Time) int {
	i, exact := slices.BinarySearchFunc(starts, t, time.Time.Compare)
	if !exact {
		i--
	}
	return min(max(i, 0), len(starts)-1)
}

// bounds are the range as parameters of the API.
func (v *reportView) bounds() []string {
	if v.Range.Key != byDates {
		return []string{"since", v.Range.Key}
	}
	return []string{"since", v.since.Format(time.RFC3339), "until", v.until.Format(time.RFC3339)}
}

// chart is an empty one of the page's time, compared with what was before.
func (v *reportView) chart(title string) chart {
	return chart{Title: title + " over time", Was: v.Range.Before(), Zone: cmp.Or(v.Zone, "UTC"), Until: v.until, zone: v.zone}
}

// file is the address of the API's same report.
func (v *reportView) file(path string, pairs ...string) {
	v.File = base + path + asQuery(append(append(v.bounds(), "pixel_id", v.Pixel), pairs...)...)
}

func (v reportView) status() int {
	if len(v.Errors) > 0 {
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// wrong shows what a store says against a question.
func (v *reportView) wrong(field string, err error) bool {
	if err == nil {
		return false
	}
	v.Errors = append(v.Errors, httpFieldError{field, reason(err)})
	return true
}
