package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/attribution"
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
		return pathSheet(c, format, rows)
	}
	return c.JSON(http.StatusOK, items(rows, ""))
}

// pathSheet is the paths as a table.
func pathSheet(c *echo.Context, format string, rows []analytics.PathRow) error {
	all := map[string]float64{}
	for _, r := range rows {
		for currency, v := range r.Revenue {
			all[currency] += v
		}
	}
	currencies := sortedKeys(all)
	columns := []column{{"path", ""}, {"conversions", int64(0)}, {"without", int64(0)}}
	for _, currency := range currencies {
		columns = append(columns, column{"revenue_" + currency, 0.0})
	}
	out := download(c, "paths", format, columns)
	for _, r := range rows {
		line := []any{strings.Join(r.Steps, " > "), r.Conversions, r.Nulls}
		for _, currency := range currencies {
			line = append(line, r.Revenue[currency])
		}
		if err := out.row(line...); err != nil {
			return err
		}
	}
	return out.end()
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
