package admin

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
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
