package admin

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v5"
	"golang.org/x/sync/errgroup"

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
	File   string      // the address of the same report as CSV, but for the format
	Others [][2]string // what else the address asks for, which a change of the above keeps
	Errors []httpFieldError
	// Here is the address with all that is asked for, and Saved are the views of whoever asks.
	Here  string
	Saved []savedView

	since, until time.Time
	zone         *time.Location
}

func (a *Admin) reportView(c *echo.Context) reportView {
	v := reportView{Tabs: reportTabs, Path: c.Request().URL.Path, Pixels: a.pixels(c.Request().Context()), Pixel: c.QueryParam("pixel_id"), Ranges: ranges, Zone: c.QueryParam("zone"), until: a.now(), zone: time.UTC}
	v.Range = chosenRange(cmp.Or(c.QueryParam("range"), "7d"))
	v.since = v.until.Add(-v.Range.Span)
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
	v.Keep = asQuery("range", v.Range.Key, "pixel_id", v.Pixel, "zone", v.Zone)
	return v
}

// file is the address of the API's same report.
func (v *reportView) file(path string, pairs ...string) {
	v.File = base + path + asQuery(append([]string{"since", v.Range.Key, "pixel_id", v.Pixel, "zone", v.Zone}, pairs...)...)
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

// chartLine is a row of a table that a chart is drawn from.
type chartLine struct {
	At     time.Time
	Values []float64
}

type overTimeData struct {
	reportView

	Metrics    []metricChoice
	Metric     string
	Dimensions []string
	GroupBy    string
	Dimension  string // of the table of the greatest
	Name       string
	Where      analytics.Condition
	Step       analytics.Step
	Groups     []string
	Lines      []chartLine
	Totals     []float64
	Top        []analytics.TopRow
	Most       float64
	TopFile    string
}

type metricChoice struct{ Key, Title string }

var metricChoices = []metricChoice{{"events", "Events"}, {"visitors", "Visitors"}, {"revenue", "Revenue, by currency"}, {"base_revenue", "Revenue, converted"}, {"syncs", "Deliveries"}}

// mostLinesDrawn is how many groups a chart can tell apart.
const mostLinesDrawn = 6

func (a *Admin) overTimePage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := overTimeData{reportView: a.reportView(c), Metrics: metricChoices, Metric: cmp.Or(c.QueryParam("metric"), "events"), GroupBy: c.QueryParam("group_by"), Name: c.QueryParam("name")}
	m := analytics.Metric(d.Metric)
	d.Dimensions = dimensions(m)
	if m == analytics.MetricRevenue {
		d.GroupBy = "currency" // amounts of different currencies cannot be added up
	}
	if !slices.Contains(d.Dimensions, d.GroupBy) {
		d.GroupBy = ""
	}
	d.Dimension = cmp.Or(c.QueryParam("dimension"), map[bool]string{false: "page_path", true: "partner"}[m == analytics.MetricSyncs])
	if !slices.Contains(d.Dimensions, d.Dimension) {
		d.Dimension = d.Dimensions[len(d.Dimensions)-1]
	}
	if m == analytics.MetricSyncs {
		d.Name = ""
	}
	q := analytics.SeriesQuery{Metric: m, PixelID: d.Pixel, Name: d.Name, Since: d.since, Until: d.until, Zone: d.Zone, GroupBy: d.GroupBy, Step: niceStep(d.Range.Span)}
	d.Where = analytics.Condition{Dimension: c.QueryParam("where"), Values: []string{c.QueryParam("is")}}
	pairs := []string{"metric", d.Metric, "name", d.Name}
	if d.Where.Dimension != "" && slices.Contains(d.Dimensions, d.Where.Dimension) {
		q.Where = []analytics.Condition{d.Where}
		pairs = append(pairs, d.Where.Dimension, d.Where.Values[0])
	} else {
		d.Where.Dimension = ""
	}
	d.Step = q.Step
	d.file("/reports/timeseries", append(pairs, "group_by", d.GroupBy, "step", string(q.Step))...)
	d.TopFile = base + "/reports/top" + asQuery(append(pairs, "since", d.Range.Key, "pixel_id", d.Pixel, "dimension", d.Dimension, "limit", "1000")...)
	if d.wrong("metric", q.Check()) {
		return a.show(c, d.status(), "reports", view{Title: "Reports", Nav: "reports", Data: d})
	}
	var series []analytics.Series
	both, within := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		series, err = a.o.Events.Series(within, q)
		return err
	})
	both.Go(func() (err error) {
		d.Top, err = a.o.Events.Top(within, analytics.TopQuery{Metric: m, Dimension: d.Dimension, PixelID: d.Pixel, Name: d.Name, Where: q.Where, Since: d.since, Until: d.until, Limit: 20})
		return err
	})
	if err := both.Wait(); err != nil {
		return err
	}
	series = series[:min(len(series), mostLinesDrawn)]
	for _, s := range series {
		d.Groups = append(d.Groups, cmp.Or(s.Group, map[bool]string{true: "none", false: metricTitle(d.Metric)}[d.GroupBy != ""]))
		d.Totals = append(d.Totals, total(s))
		for i, p := range s.Points {
			if len(d.Lines) <= i {
				d.Lines = append(d.Lines, chartLine{At: p.Time})
			}
			d.Lines[i].Values = append(d.Lines[i].Values, p.Value)
		}
	}
	for _, r := range d.Top {
		d.Most = max(d.Most, r.Value)
	}
	return a.show(c, d.status(), "reports", view{Title: "Reports", Nav: "reports", Data: d})
}

func metricTitle(key string) string {
	for _, m := range metricChoices {
		if m.Key == key {
			return m.Title
		}
	}
	return key
}

// Hidden are the page's filters but for the dimension, for a form.
func (d overTimeData) Hidden() map[string]string {
	m := map[string]string{"range": d.Range.Key, "pixel_id": d.Pixel, "zone": d.Zone, "metric": d.Metric, "group_by": d.GroupBy, "name": d.Name, "where": d.Where.Dimension}
	maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
	if d.Where.Dimension != "" {
		m["is"] = d.Where.Values[0]
	}
	return m
}

// Link keeps the page's filters and changes some.
func (d overTimeData) Link(pairs ...string) string {
	v := url.Values{"dimension": {d.Dimension}}
	for name, value := range d.Hidden() {
		v.Set(name, value)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return "/reports?" + v.Encode()
}

type funnelData struct {
	reportView

	Steps  []string
	Window string
	Rows   []funnelRow
}

var usualFunnel = []string{"page_view", "view_item", "add_to_cart", "purchase"}

func (a *Admin) funnelPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := funnelData{reportView: a.reportView(c), Window: cmp.Or(c.QueryParam("window"), "7d")}
	f := analytics.FunnelQuery{PixelID: d.Pixel, Since: d.since, Until: d.until}
	for _, s := range c.QueryParams()["step"] {
		if s = strings.TrimSpace(s); s != "" {
			d.Steps = append(d.Steps, s)
		}
	}
	if len(d.Steps) == 0 {
		d.Steps = usualFunnel
	}
	for _, s := range d.Steps {
		step, ok := funnelStep(s)
		if !ok {
			d.Errors = append(d.Errors, httpFieldError{"step", "must be an event's name, perhaps with conditions: page_view(page_path=/checkout)"})
		}
		f.Steps = append(f.Steps, step)
	}
	var ok bool
	if f.Window, ok = span(d.Window); !ok {
		d.Errors = append(d.Errors, httpFieldError{"window", "must be a duration such as 30m, 24h or 7d"})
	}
	values := url.Values{"step": d.Steps, "window": {d.Window}, "since": {d.Range.Key}}
	if d.Pixel != "" {
		values.Set("pixel_id", d.Pixel)
	}
	d.File = base + "/reports/funnel?" + values.Encode()
	if len(d.Errors) == 0 {
		f, err := f.Check()
		if !d.wrong("step", err) {
			counts, err := a.o.Events.Funnel(ctx, f)
			if err != nil {
				return err
			}
			d.Rows = funnelRows(counts)
		}
	}
	for len(d.Steps) < 5 {
		d.Steps = append(d.Steps[:len(d.Steps):len(d.Steps)], "")
	}
	return a.show(c, d.status(), "report_funnel", view{Title: "Funnel", Nav: "reports", Data: d})
}

type consentData struct {
	reportView

	Groups []string
	Lines  []chartLine
	Sum    consentStep
}

func (a *Admin) consentPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := consentData{reportView: a.reportView(c), Groups: []string{"Full", "Partial", "Not stored"}}
	step := hourly(niceStep(d.Range.Span))
	d.file("/reports/consent", "step", string(step))
	steps, err := a.consentSteps(ctx, d.Pixel, d.since, d.until, step, d.Zone)
	if err != nil {
		return err
	}
	for _, s := range steps {
		d.Lines = append(d.Lines, chartLine{s.Time, []float64{float64(s.Full), float64(s.Partial), float64(s.Suppressed)}})
		d.Sum.Full, d.Sum.Partial, d.Sum.Suppressed = d.Sum.Full+s.Full, d.Sum.Partial+s.Partial, d.Sum.Suppressed+s.Suppressed
	}
	if all := float64(d.Sum.Full + d.Sum.Partial + d.Sum.Suppressed); all > 0 {
		d.Sum.FullRate, d.Sum.GivenRate = float64(d.Sum.Full)/all, float64(d.Sum.Full+d.Sum.Partial)/all
	}
	return a.show(c, d.status(), "report_consent", view{Title: "Consent over time", Nav: "reports", Data: d})
}

type reconciliationData struct {
	reportView

	Ours     reconciled
	Partners []reconciled // sums
	Titles   map[string]string
	Rows     []reconciled
	More     int
}

func (a *Admin) reconciliationPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := reconciliationData{reportView: a.reportView(c), Titles: map[string]string{}}
	d.file("/reports/reconciliation")
	rows, err := a.reconcile(ctx, d.Pixel, "", d.since, d.until)
	if err != nil {
		return err
	}
	for _, r := range rows {
		into := &d.Ours
		if r.Partner != "" {
			i := slices.IndexFunc(d.Partners, func(p reconciled) bool { return p.Partner == r.Partner })
			if i < 0 {
				i = len(d.Partners)
				d.Partners = append(d.Partners, reconciled{Partner: r.Partner})
				d.Titles[r.Partner] = cmp.Or(a.partners.title(r.Partner), r.Partner)
			}
			into = &d.Partners[i]
		}
		into.Received, into.Stored, into.Routed, into.Sent, into.Accepted = into.Received+r.Received, into.Stored+r.Stored, into.Routed+r.Routed, into.Sent+r.Sent, into.Accepted+r.Accepted
	}
	slices.SortFunc(d.Partners, func(x, y reconciled) int { return cmp.Compare(d.Titles[x.Partner], d.Titles[y.Partner]) })
	d.Rows = rows[:min(len(rows), mostLines)]
	d.More = len(rows) - len(d.Rows)
	return a.show(c, d.status(), "report_reconciliation", view{Title: "Reconciliation", Nav: "reports", Data: d})
}

type duplicatesData struct {
	reportView

	Events, Of int64
	Rows       []duplicated
	More       int
	Titles     map[string]string
	Orders     []analytics.RepeatedOrder
}

func (a *Admin) duplicatesPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := duplicatesData{reportView: a.reportView(c), Titles: map[string]string{}}
	d.file("/reports/duplicates")
	books, err := a.books(ctx, d.since, d.until)
	if err != nil {
		return err
	}
	for _, b := range books {
		if d.Pixel == "" || b.Pixel == d.Pixel {
			d.Events, d.Of = d.Events+b.Duplicate, d.Of+b.Accepted
		}
	}
	d.Rows = duplicatesOf(books, d.Pixel)
	if len(d.Rows) > mostLines {
		d.More, d.Rows = len(d.Rows)-mostLines, d.Rows[:mostLines]
	}
	for _, r := range d.Rows {
		if r.Partner != "" {
			d.Titles[r.Partner] = cmp.Or(a.partners.title(r.Partner), r.Partner)
		}
	}
	if d.Orders, err = a.o.Events.Repeated(ctx, analytics.RepeatedQuery{PixelID: d.Pixel, Since: d.since, Until: d.until}); err != nil {
		return err
	}
	return a.show(c, d.status(), "report_duplicates", view{Title: "Duplicates", Nav: "reports", Data: d})
}

type latencyData struct {
	reportView

	All    []analytics.Latency
	Titles map[string]string
	Groups []string
	Lines  []chartLine
}

// latencyPage draws each partner's 90th percentile over time.
func (a *Admin) latencyPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := latencyData{reportView: a.reportView(c), Titles: map[string]string{}}
	q := analytics.LatencyQuery{PixelID: d.Pixel, Since: d.since, Until: d.until, Zone: d.Zone}
	var err error
	if d.All, err = a.o.Events.Latency(ctx, q); err != nil {
		return err
	}
	q.Step = niceStep(d.Range.Span)
	d.file("/reports/latency", "step", string(q.Step))
	starts, err := q.Starts()
	if err != nil {
		return err
	}
	list, err := a.o.Events.Latency(ctx, q)
	if err != nil {
		return err
	}
	shown := d.All[:min(len(d.All), mostLinesDrawn)]
	for _, t := range starts {
		d.Lines = append(d.Lines, chartLine{At: t.UTC(), Values: make([]float64, len(shown))})
	}
	for i, one := range shown {
		d.Titles[one.Partner] = cmp.Or(a.partners.title(one.Partner), one.Partner)
		d.Groups = append(d.Groups, d.Titles[one.Partner])
		for _, l := range list {
			if at, ok := slices.BinarySearchFunc(starts, l.Time, time.Time.Compare); ok && l.Partner == one.Partner {
				d.Lines[at].Values[i] = float64(l.P90.Milliseconds())
			}
		}
	}
	return a.show(c, d.status(), "report_latency", view{Title: "Latency", Nav: "reports", Data: d})
}

// Until is when what a page shows ends.
func (v reportView) Until() time.Time { return v.until }

// Clock writes a step's beginning by the page's zone.
func (v reportView) Clock(t time.Time) string { return t.In(v.zone).Format("2 Jan 2006 15:04") }
