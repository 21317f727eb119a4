package admin

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
)

type funnelData struct {
	reportView

	Steps  []string
	Window string
	Rows   []funnelRow
	// Reached is the share that came to the end, and Against how it stands against the period before.
	Reached float64
	Against string
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
	for i, s := range d.Steps {
		step, ok := funnelStep(s)
		field := fmt.Sprint("step-", i)
		if !ok {
			d.Errors = append(d.Errors, httpFieldError{field, "must be an event's name, perhaps with conditions: page_view(page_path=/checkout)"})
		}
		for _, c := range step.Where {
			if ok && !slices.Contains(analytics.EventDimensions, c.Dimension) {
				d.Errors = append(d.Errors, httpFieldError{field, fmt.Sprintf("nothing can be selected by %q, but by country, device or page_path, say", short(c.Dimension, 40))})
				break
			}
		}
		f.Steps = append(f.Steps, step)
	}
	var ok bool
	if f.Window, ok = span(d.Window); !ok {
		d.Errors = append(d.Errors, httpFieldError{"window", "must be a duration such as 30m, 24h or 7d"})
	}
	d.file("/reports/funnel", "window", d.Window, "compare", "before")
	d.File += "&" + url.Values{"step": d.Steps}.Encode()
	if len(d.Errors) == 0 {
		f, err := f.Check()
		field := "step-0"
		switch {
		case len(f.Steps) < analytics.MinFunnel:
			field = fmt.Sprint("step-", len(f.Steps)) // what is missing
		case f.Window > analytics.MaxFunnelWindow:
			field = "window"
		}
		if !d.wrong(field, err) {
			if d.Rows, err = a.comparedFunnel(ctx, f); err != nil {
				return err
			}
			last := d.Rows[len(d.Rows)-1]
			if d.Reached = last.OfFirst; d.Rows[0].Visitors > 0 && *d.Rows[0].Before > 0 {
				d.Against = against(100*d.Reached, 100**last.OfFirstBefore, perHundred, d.Range.Before())
			}
		}
	}
	for len(d.Steps) < 5 {
		d.Steps = append(d.Steps[:len(d.Steps):len(d.Steps)], "")
	}
	return a.show(c, d.status(), "report_funnel", view{Title: "Funnel", Nav: "reports", Data: d})
}

type consentData struct {
	reportView

	Rate, Events chart
	Sum, Before  consentStep
}

func (a *Admin) consentPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := consentData{reportView: a.reportView(c)}
	d.atMost(maxBooks)
	step := hourly(niceStep(d.Range.Span))
	d.file("/reports/consent", "step", string(step), "zone", d.Zone, "compare", "before")
	steps, err := a.comparedConsent(ctx, d.Pixel, d.since, d.until, step, d.Zone)
	if err != nil {
		return err
	}
	d.Rate, d.Events = d.chart("Full consent"), d.chart("Events by consent")
	d.Rate.Groups, d.Rate.Units = []string{"Full consent"}, []string{perHundred}
	d.Events.Groups = []string{"Full", "Partial", "Not stored"}
	for _, s := range steps {
		before := consentStep{}
		if s.Before != nil {
			before = *s.Before
		}
		d.Rate.Lines = append(d.Rate.Lines, chartLine{s.Time, []float64{s.fullRate()}, []float64{before.fullRate()}})
		d.Events.Lines = append(d.Events.Lines, chartLine{s.Time, s.counts(), before.counts()})
		d.Sum.add(s)
		d.Before.add(before)
	}
	if d.Before.all() == 0 {
		d.Rate.alone()
		d.Events.alone()
	}
	return a.show(c, d.status(), "report_consent", view{Title: "Consent over time", Nav: "reports", Data: d})
}

// AgainstFull and its kin say how the period's shares stand against the one before.
func (d consentData) AgainstFull() string {
	return against(d.Sum.fullRate(), d.Before.fullRate(), perHundred, d.Range.Before())
}

// AgainstGiven is of any consent.
func (d consentData) AgainstGiven() string {
	return against(d.Sum.givenRate(), d.Before.givenRate(), perHundred, d.Range.Before())
}
