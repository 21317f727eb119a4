package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v5"
	"golang.org/x/sync/errgroup"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/settings"
)

// attributionData is the page.
type attributionData struct {
	Report attributionReport
	// Sums are how many conversions there were and what they brought, beside the period before.
	Sums       []chartSum
	Was        string
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
	File       string // the models, but for the format
	PathFile   string
	Here       string
	Saved      []savedView
	PathMost   int64
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
	Revenue     []string
	Percent     int // of the greatest
}

type pathLine struct {
	Steps              []string
	Conversions, Nulls int64
	Revenue            []string
}

func (a *Admin) attributionPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := attributionData{Models: modelTitles, Dimensions: analytics.CreditDimensions[:5], Pixels: a.pixels(ctx), Pixel: c.QueryParam("pixel_id"), Ranges: []string{"7d", "30d", "90d"}, Range: "30d", Here: c.Request().URL.RequestURI()}
	if v := c.QueryParam("range"); slices.Contains(d.Ranges, v) {
		d.Range = v
	}
	if _, ok := a.seen(ctx, d.Pixel); !ok {
		d.Pixel = ""
	}
	dimension := "channel"
	if v := c.QueryParam("dimension"); slices.Contains(d.Dimensions, v) {
		dimension = v
	}
	age, _ := span(d.Range)
	d.Was = rangeChoice{Span: age}.Before()
	now := a.now()
	q := analytics.AttributionQuery{Models: attribution.Models, Dimension: dimension, PixelID: d.Pixel, Since: now.Add(-age), Until: now.Add(time.Minute), Limit: 25}
	var paths []analytics.PathRow
	all, within := errgroup.WithContext(ctx)
	// What is read of them is kept in the same memory, and each finds most of it there.
	all.Go(func() (err error) {
		if d.Report, err = a.readAttribution(within, q); err != nil {
			return err
		}
		d.Sums, err = a.conversionSums(within, q)
		return err
	})
	all.Go(func() (err error) {
		paths, err = a.o.Credits.Paths(within, analytics.PathQuery{PixelID: d.Pixel, Since: q.Since, Until: q.Until, Limit: 15})
		return err
	})
	if err := all.Wait(); err != nil {
		return err
	}
	var err error
	if d.Saved, _, err = a.saved(ctx, me(c)); err != nil {
		a.o.Log.Warn("saved views could not be read", "error", err)
	}
	for _, row := range d.Report.Items {
		for _, credited := range row.Models {
			d.Most = max(d.Most, credited.Conversions)
		}
	}
	for _, row := range d.Report.Items {
		line := attributionLine{Group: row.Group}
		if dimension == "channel" || dimension == "kind" {
			line.Group = channelWords(row.Group)
		}
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
		d.PathMost = max(d.PathMost, p.Conversions)
		steps := make([]string, len(p.Steps))
		for i, s := range p.Steps {
			steps[i] = channelWords(s)
		}
		d.Paths = append(d.Paths, pathLine{steps, p.Conversions, p.Nulls, revenueOf(p.Revenue)})
	}
	d.Any = len(d.Rows) > 0
	d.File = base + "/reports/attribution" + asQuery("dimension", dimension, "since", d.Range, "pixel_id", d.Pixel)
	d.PathFile = base + "/reports/attribution/paths" + asQuery("since", d.Range, "pixel_id", d.Pixel, "limit", "1000")
	return a.show(c, http.StatusOK, "attribution", view{Title: "Attribution", Nav: "attribution", Data: d})
}

// channelWords is a channel's or a kind's name for people: "Paid search".
func channelWords(s string) string {
	s = strings.ReplaceAll(s, "_", " ")
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// conversions is a number of them with one decimal where it is not whole.
func conversions(n float64) string {
	s := strconv.FormatFloat(n, 'f', 1, 64)
	return strings.TrimSuffix(s, ".0")
}

// revenueOf is revenue for people, the greatest first.
func revenueOf(by map[string]float64) (out []string) {
	currencies := sortedKeys(by)
	slices.SortStableFunc(currencies, func(x, y string) int { return cmp.Compare(by[y], by[x]) })
	for _, currency := range currencies {
		out = append(out, money(by[currency], currency))
	}
	return out
}

// conversionSums are the conversions and the revenue of a time and of the one before it:
// each conversion is owed once by one model.
func (a *Admin) conversionSums(ctx context.Context, q analytics.AttributionQuery) ([]chartSum, error) {
	sums := func(since, until time.Time) (n float64, revenue map[string]float64, err error) {
		model := attribution.LastNonDirect
		rows, err := a.o.Credits.Attribution(ctx, analytics.AttributionQuery{Models: []string{model}, Dimension: "name", PixelID: q.PixelID, Since: since, Until: until, Limit: 1000})
		revenue = map[string]float64{}
		for _, r := range rows {
			n += r.Models[model].Conversions
			for currency, v := range r.Models[model].Revenue {
				revenue[currency] += v
			}
		}
		return n, revenue, err
	}
	n, revenue, err := sums(q.Since, q.Until)
	if err != nil {
		return nil, err
	}
	before, earned, err := sums(q.Since.Add(-q.Until.Sub(q.Since)), q.Since)
	if err != nil {
		return nil, err
	}
	out := []chartSum{{Group: "Conversions", Value: n, Before: before}}
	currencies := sortedKeys(revenue)
	slices.SortStableFunc(currencies, func(x, y string) int { return cmp.Compare(revenue[y], revenue[x]) })
	for _, currency := range currencies[:min(len(currencies), 3)] {
		out = append(out, chartSum{Group: "Revenue in " + currency, Unit: currency, Value: revenue[currency], Before: earned[currency]})
	}
	return out, nil
}

// Against says how a sum stands against the period before.
func (d attributionData) Against(s chartSum) string { return against(s.Value, s.Before, s.Unit, d.Was) }
