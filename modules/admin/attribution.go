package admin

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/settings"
)

// attributionReport is what models give, side by side.
type attributionReport struct {
	Items     []analytics.AttributionRow `json:"items"`
	Next      string                     `json:"next"`
	Models    []string                   `json:"models"`
	Dimension string                     `json:"dimension"`
	// Total is of all rows shown, by model.
	Total map[string]analytics.Credited `json:"total"`
	Since time.Time                     `json:"since"`
	Until time.Time                     `json:"until"`
	// Run is the last run of the data-driven models; null: there was none.
	Run   *attribution.Status `json:"run"`
	Asked bool                `json:"run_asked"`
}

func (a *Admin) readAttribution(ctx context.Context, q analytics.AttributionQuery) (attributionReport, error) {
	rows, err := a.o.Credits.Attribution(ctx, q)
	if err != nil {
		return attributionReport{}, err
	}
	r := attributionReport{Items: nonNil(rows), Models: q.Models, Dimension: q.Dimension, Since: q.Since.UTC(), Until: q.Until.UTC(), Total: map[string]analytics.Credited{}}
	for _, m := range q.Models {
		t := analytics.Credited{Revenue: map[string]float64{}, Refunded: map[string]float64{}}
		for _, row := range rows {
			c := row.Models[m]
			t.Conversions += c.Conversions
			for currency, v := range c.Revenue {
				t.Revenue[currency] += v
			}
			for currency, v := range c.Refunded {
				t.Refunded[currency] += v
			}
		}
		r.Total[m] = t
	}
	r.Run, r.Asked, err = attribution.LastRun(ctx, a.o.State)
	if r.Run != nil && whoOf(ctx).Confined() {
		run := *r.Run
		run.Pixels = slices.DeleteFunc(slices.Clone(run.Pixels), func(p attribution.Result) bool {
			_, ok := a.seen(ctx, p.PixelID)
			return !ok
		})
		r.Run = &run
	}
	return r, err
}

// models reads which are asked for: some with commas between, or all.
func (q *query) models() []string {
	v := q.text("model")
	if v == "" || v == "all" {
		return attribution.Models
	}
	var out []string
	for _, m := range strings.Split(v, ",") {
		if m = strings.TrimSpace(m); !slices.Contains(attribution.Models, m) {
			q.fail("model", "must be all, or one or more of "+strings.Join(attribution.Models, ", ")+" with commas between")
			return nil
		}
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

func (a *Admin) attributionReport(c *echo.Context) error {
	q := a.query(c)
	ask := analytics.AttributionQuery{
		Models: q.models(), Dimension: q.choice("dimension", "channel", analytics.CreditDimensions...),
		PixelID: q.text("pixel_id"), Name: q.text("name"), Since: q.time("since"), Until: q.time("until"), Limit: q.number("limit", 1, 1000, 100),
	}
	format := q.choice("format", "json", formats...)
	month(&ask.Since, &ask.Until, q.now)
	if !ask.Since.Before(ask.Until) {
		q.fail("since", "must lie before until")
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	r, err := a.readAttribution(ctx, ask)
	if err != nil {
		return err
	}
	if format != "json" {
		return attributionSheet(c, format, r)
	}
	return c.JSON(http.StatusOK, r)
}

// month is what reports of conversions are of, unless told.
func month(since, until *time.Time, now time.Time) {
	if until.IsZero() {
		*until = now
	}
	if since.IsZero() {
		*since = until.Add(-30 * 24 * time.Hour)
	}
}

// attributionSheet is the report as a table: a line for each group and model.
func attributionSheet(c *echo.Context, format string, r attributionReport) error {
	var currencies []string
	for _, t := range r.Total {
		for _, list := range []map[string]float64{t.Revenue, t.Refunded} {
			for currency := range list {
				if !slices.Contains(currencies, currency) {
					currencies = append(currencies, currency)
				}
			}
		}
	}
	slices.Sort(currencies)
	columns := []column{{r.Dimension, ""}, {"model", ""}, {"conversions", 0.0}}
	for _, currency := range currencies {
		columns = append(columns, column{"revenue_" + currency, 0.0}, column{"refunded_" + currency, 0.0})
	}
	out := download(c, "attribution", format, columns)
	for _, one := range r.Items {
		for _, m := range r.Models {
			credited := one.Models[m]
			line := []any{one.Group, m, credited.Conversions}
			for _, currency := range currencies {
				line = append(line, credited.Revenue[currency], credited.Refunded[currency])
			}
			if err := out.row(line...); err != nil {
				return err
			}
		}
	}
	return out.end()
}

func (a *Admin) pathsReport(c *echo.Context) error {
	q := a.query(c)
	ask := analytics.PathQuery{
		PixelID: q.text("pixel_id"), Name: q.text("name"), Since: q.time("since"), Until: q.time("until"), Limit: q.number("limit", 1, 1000, 20),
	}
	format := q.choice("format", "json", formats...)
	month(&ask.Since, &ask.Until, q.now)
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	rows, err := a.o.Credits.Paths(ctx, ask)
	if err != nil {
		return err
	}
	if format != "json" {
		out := download(c, "paths", format, []column{{"path", ""}, {"conversions", int64(0)}, {"without", int64(0)}})
		for _, r := range rows {
			if err := out.row(strings.Join(r.Steps, " > "), r.Conversions, r.Nulls); err != nil {
				return err
			}
		}
		return out.end()
	}
	return c.JSON(http.StatusOK, items(rows, ""))
}

// runAttribution asks for a run of the data-driven models.
func (a *Admin) runAttribution(c *echo.Context) error {
	if err := attribution.Ask(c.Request().Context(), a.o.State, a.now()); err != nil {
		return err
	}
	return c.JSON(http.StatusAccepted, map[string]bool{"run_asked": true})
}

func (a *Admin) runAttributionForm(c *echo.Context) error {
	if err := attribution.Ask(c.Request().Context(), a.o.State, a.now()); err != nil {
		return err
	}
	return a.done(c, "/attribution", "Markov and Shapley are being worked out anew. That takes up to a minute, and longer with very many conversions.")
}

// attributionData is the page.
type attributionData struct {
	Report     attributionReport
	Paths      []pathLine
	Rows       []attributionLine
	Models     []modelTitle
	Dimensions []string
	Pixels     []settings.Pixel
	Pixel      string
	Range      string
	Ranges     []string
	Most       float64
	Any        bool
	CSV        string
}

type modelTitle struct{ Name, Title, Help string }

// modelTitles are the models' names for people.
var modelTitles = []modelTitle{
	{attribution.LastNonDirect, "Last non-direct", "All to the last visit that something led to."},
	{attribution.First, "First", "All to the first touchpoint."},
	{attribution.Last, "Last", "All to the last touchpoint."},
	{attribution.Linear, "Linear", "The same to each touchpoint."},
	{attribution.TimeDecay, "Time decay", "More to what was nearer to the conversion."},
	{attribution.Position, "Position", "Most to the first and to the last touchpoint."},
	{attribution.Markov, "Markov", "By how many conversions would be lost without the channel. Each night."},
	{attribution.Shapley, "Shapley", "By what each set of channels brought. Each night."},
}

type attributionLine struct {
	Group string
	Cells []attributionCell
}

type attributionCell struct {
	Model       string
	Conversions string
	Revenue     []fact
	Percent     int // of the greatest
}

type pathLine struct {
	Steps              []string
	Conversions, Nulls int64
	Revenue            []fact
}

func (a *Admin) attributionPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := attributionData{Models: modelTitles, Dimensions: analytics.CreditDimensions[:5], Pixels: a.pixels(ctx), Pixel: c.QueryParam("pixel_id"), Ranges: []string{"7d", "30d", "90d"}, Range: "30d"}
	if v := c.QueryParam("range"); slices.Contains(d.Ranges, v) {
		d.Range = v
	}
	dimension := "channel"
	if v := c.QueryParam("dimension"); slices.Contains(d.Dimensions, v) {
		dimension = v
	}
	age, _ := span(d.Range)
	now := a.now()
	q := analytics.AttributionQuery{Models: attribution.Models, Dimension: dimension, PixelID: d.Pixel, Since: now.Add(-age), Until: now.Add(time.Minute), Limit: 25}
	var err error
	if d.Report, err = a.readAttribution(ctx, q); err != nil {
		return err
	}
	paths, err := a.o.Credits.Paths(ctx, analytics.PathQuery{PixelID: d.Pixel, Since: q.Since, Until: q.Until, Limit: 15})
	if err != nil {
		return err
	}
	for _, row := range d.Report.Items {
		for _, credited := range row.Models {
			d.Most = max(d.Most, credited.Conversions)
		}
	}
	for _, row := range d.Report.Items {
		line := attributionLine{Group: row.Group}
		for _, m := range modelTitles {
			credited := row.Models[m.Name]
			cell := attributionCell{Model: m.Title, Conversions: conversions(credited.Conversions), Revenue: revenueOf(credited.Revenue)}
			if d.Most > 0 {
				cell.Percent = int(credited.Conversions/d.Most*100 + 0.5)
			}
			line.Cells = append(line.Cells, cell)
		}
		d.Rows = append(d.Rows, line)
	}
	for _, p := range paths {
		d.Paths = append(d.Paths, pathLine{p.Steps, p.Conversions, p.Nulls, revenueOf(p.Revenue)})
	}
	d.Any = len(d.Rows) > 0
	d.CSV = "/api/v1/reports/attribution?format=csv&dimension=" + dimension + "&since=" + d.Range
	if d.Pixel != "" {
		d.CSV += "&pixel_id=" + d.Pixel
	}
	return a.show(c, http.StatusOK, "attribution", view{Title: "Attribution", Nav: "attribution", Data: d})
}

// conversions is a number of them with one decimal where it is not whole.
func conversions(n float64) string {
	s := strconv.FormatFloat(n, 'f', 1, 64)
	return strings.TrimSuffix(s, ".0")
}

// revenueOf is revenue for people, the greatest first.
func revenueOf(by map[string]float64) []fact {
	var out []fact
	for _, currency := range sortedKeys(by) {
		out = append(out, fact{currency, strconv.FormatFloat(by[currency], 'f', 2, 64)})
	}
	slices.SortStableFunc(out, func(x, y fact) int {
		switch {
		case by[x.Name] > by[y.Name]:
			return -1
		case by[x.Name] < by[y.Name]:
			return 1
		}
		return 0
	})
	return out
}
