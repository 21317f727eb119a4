package admin

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/ledger"
)

type reconciliationData struct {
	reportView

	// Wait: the sync log is still being read, as after a start; what was sent and accepted follows.
	Wait bool
	// Against says how what was received stands against the period before.
	Against  string
	Chart    chart
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
	d.atMost(maxBooks)
	d.file("/reports/reconciliation")
	rows, ready, err := a.reconciledSoon(ctx, d.Pixel, d.since, d.until)
	if err != nil {
		return err
	}
	if d.Wait = !ready; d.Wait {
		return a.show(c, d.status(), "report_reconciliation", view{Title: "Reconciliation", Nav: "reports", Data: d})
	}
	earlier, err := a.books(ctx, d.since.Add(-d.Range.Span), d.since.Truncate(time.Hour))
	if err != nil {
		return err
	}
	if err := d.count(rows, earlier); err != nil {
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

// count draws what was received and stored over time.
func (d *reconciliationData) count(rows []reconciled, earlier []ledger.Book) error {
	starts, err := d.starts()
	if err != nil || len(starts) == 0 {
		return err
	}
	d.Chart = d.chart("Received and stored")
	d.Chart.Groups = []string{"Received", "Stored"}
	for _, t := range starts {
		d.Chart.Lines = append(d.Chart.Lines, chartLine{At: t.UTC(), Values: make([]float64, 2), Before: make([]float64, 2)})
	}
	received := 0.0
	for _, r := range rows {
		if r.Partner == "" {
			v := d.Chart.Lines[stepOf(starts, r.Hour)].Values
			v[0], v[1] = v[0]+float64(r.Received), v[1]+float64(r.Stored)
			received += float64(r.Received)
		}
	}
	was := 0.0
	for _, b := range earlier {
		if d.Pixel == "" || b.Pixel == d.Pixel {
			v := d.Chart.Lines[stepOf(starts, b.Hour.Add(d.Range.Span))].Before
			v[0], v[1] = v[0]+float64(b.Received), v[1]+float64(b.Stored)
			was += float64(b.Received)
		}
	}
	if was > 0 {
		d.Against = against(received, was, "", d.Range.Before())
	} else {
		d.Chart.alone()
	}
	return nil
}

type duplicatesData struct {
	reportView

	Events, Of int64
	Share      float64
	Against    string
	Chart      chart
	Rows       []duplicated
	More       int
	Titles     map[string]string
	Orders     []analytics.RepeatedOrder
}

func (a *Admin) duplicatesPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := duplicatesData{reportView: a.reportView(c), Titles: map[string]string{}}
	d.atMost(maxBooks)
	d.file("/reports/duplicates")
	books, err := a.books(ctx, d.since, d.until)
	if err != nil {
		return err
	}
	earlier, err := a.books(ctx, d.since.Add(-d.Range.Span), d.since.Truncate(time.Hour))
	if err != nil {
		return err
	}
	if err := d.count(books, earlier); err != nil {
		return err
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

// count draws the share of events that were copies, over time and against the period before.
func (d *duplicatesData) count(books, earlier []ledger.Book) error {
	starts, err := d.starts()
	if err != nil || len(starts) == 0 {
		return err
	}
	type sum struct{ copies, of int64 }
	share := func(s sum) float64 {
		if s.of == 0 {
			return math.NaN()
		}
		return 100 * float64(s.copies) / float64(s.of)
	}
	steps, all := make([][2]sum, len(starts)), [2]sum{}
	for when, list := range [2][]ledger.Book{books, earlier} {
		for _, b := range list {
			if d.Pixel != "" && b.Pixel != d.Pixel {
				continue
			}
			for _, v := range []*sum{&steps[stepOf(starts, b.Hour.Add(time.Duration(when)*d.Range.Span))][when], &all[when]} {
				v.copies, v.of = v.copies+b.Duplicate, v.of+b.Accepted
			}
		}
	}
	d.Events, d.Of, d.Share = all[0].copies, all[0].of, float64(all[0].copies)/float64(max(1, all[0].of))
	d.Chart = d.chart("Copies")
	d.Chart.Groups, d.Chart.Units = []string{"Copies among events"}, []string{perHundred}
	for i, s := range steps {
		d.Chart.Lines = append(d.Chart.Lines, chartLine{starts[i].UTC(), []float64{share(s[0])}, []float64{share(s[1])}})
	}
	if all[1].of == 0 {
		d.Chart.alone()
	} else {
		d.Against = against(share(all[0]), share(all[1]), perHundred, d.Range.Before())
	}
	return nil
}
