package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/settings"
)

// maxBooks bounds how many hours one question reads.
const maxBooks = 31 * 24 * time.Hour

// ledgerReport are the books of some hours, and what of them does not balance.
type ledgerReport struct {
	Items       []ledger.Book       `json:"items"`
	Next        string              `json:"next"`
	Total       ledger.Book         `json:"total"`
	Balanced    bool                `json:"balanced"`
	Differences []ledger.Difference `json:"differences"`
	// CheckedAt is when the queues' lengths were last compared, in the background.
	CheckedAt time.Time `json:"checked_at,omitzero"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
}

// readLedger reads whole hours. What concerns no pixel in particular, as a queue's
// length, is part of every report.
func (a *Admin) readLedger(ctx context.Context, pixel string, since, until time.Time) (ledgerReport, error) {
	since, until = since.UTC().Truncate(time.Hour), until.UTC().Add(time.Hour-1).Truncate(time.Hour)
	r := ledgerReport{Since: since, Until: until, Items: []ledger.Book{}, Differences: []ledger.Difference{}}
	books, found, err := a.o.Ledger.Read(ctx, since, until)
	if err != nil {
		return r, err
	}
	books = a.within(ctx, books)
	last, err := a.o.Ledger.Last()
	if err != nil {
		return r, err
	}
	r.CheckedAt = last.At
	for _, d := range last.Differences {
		if d.Pixel == "" {
			found = append(found, d)
		}
	}
	for _, d := range found {
		if _, mine := a.seen(ctx, d.Pixel); whoOf(ctx).Confined() && !mine {
			continue // what is of no pixel is shown to those who may see all
		}
		if pixel == "" || d.Pixel == "" || d.Pixel == pixel {
			r.Differences = append(r.Differences, d)
		}
	}
	for _, b := range books {
		if pixel == "" || b.Pixel == pixel {
			r.Items = append(r.Items, b)
			r.Total.Add(b)
		}
	}
	r.Total.Pixel, r.Total.Hour, r.Total.Partners = pixel, since, nonNil(r.Total.Partners)
	r.Balanced = len(r.Differences) == 0
	return r, nil
}

func (a *Admin) ledgerReport(c *echo.Context) error {
	q := a.query(c)
	pixel, since, until := q.text("pixel_id"), q.time("since"), q.time("until")
	format := q.choice("format", "json", formats...)
	defaults(&since, &until, q.now)
	switch {
	case !since.Before(until):
		q.fail("since", "must lie before until")
	case until.Sub(since) > maxBooks:
		q.fail("since", "must lie at most 31 days before until")
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	r, err := a.readLedger(ctx, pixel, since, until)
	if err != nil {
		return err
	}
	if format != "json" {
		return ledgerRows(c, format, r)
	}
	return c.JSON(http.StatusOK, r)
}

// ledgerRows is the report as a table: a line for each pixel's hour, with columns
// for the partners that any of them went to.
func ledgerRows(c *echo.Context, format string, r ledgerReport) error {
	head := append([]column{{"hour", time.Time{}}, {"pixel_id", ""}},
		columnsOf(int64(0), "received", "suppressed", "rejected", "accepted", "stored", "duplicate", "purged", "dead", "dropped", "waiting", "difference")...)
	for _, p := range r.Total.Partners {
		for _, name := range []string{"routed", "delivered", "not_sent", "duplicate", "purged", "dead", "dropped", "waiting", "difference"} {
			head = append(head, column{p.Name + "_" + name, int64(0)})
		}
	}
	off := map[string]int64{}
	for _, d := range r.Differences {
		off[d.Pixel+" "+d.Hour.String()+" "+d.Partner] += max(d.N, -d.N)
	}
	out := download(c, "ledger", format, head)
	for _, b := range r.Items {
		row := []any{b.Hour, b.Pixel}
		add := func(figures ...int64) {
			for _, n := range figures {
				row = append(row, n)
			}
		}
		add(b.Received, b.Suppressed, b.Rejected, b.Accepted, b.Stored, b.Duplicate, b.Purged, b.Dead, b.Dropped, b.Waiting, off[b.Pixel+" "+b.Hour.String()+" "])
		for _, of := range r.Total.Partners {
			p := ledger.Partner{}
			if i := slices.IndexFunc(b.Partners, func(p ledger.Partner) bool { return p.Name == of.Name }); i >= 0 {
				p = b.Partners[i]
			}
			add(p.Routed, p.Delivered, p.NotSent, p.Duplicate, p.Purged, p.Dead, p.Dropped, p.Waiting, off[b.Pixel+" "+b.Hour.String()+" "+of.Name])
		}
		if err := out.row(row...); err != nil {
			return err
		}
	}
	return out.end()
}

type ledgerData struct {
	Range  rangeChoice
	Ranges []rangeChoice
	Pixel  string
	Pixels []settings.Pixel
	Report ledgerReport
	// Repeats are duplicates by the way that they came, with the share of what came so.
	Repeats []repeats
	// Titles are the partners' names for people.
	Titles map[string]string
	// Off are differences by pixel and hour, to mark a line.
	Lines []ledgerLine
	More  int
}

// ledgerLine is an hour's line on the page.
type ledgerLine struct {
	ledger.Book
	Wrong []string
}

// repeats are the duplicates among what came by one way.
type repeats struct {
	Way              string
	ByEvent, ByOrder int64
	Stored           int64
}

// Share is how much of what came was a duplicate, in per cent.
func (r repeats) Share() float64 {
	return 100 * float64(r.ByEvent+r.ByOrder) / float64(r.ByEvent+r.ByOrder+r.Stored)
}

func (a *Admin) repeats(ctx context.Context, pixel string, r ledgerReport) ([]repeats, error) {
	if len(r.Total.Duplicates) == 0 {
		return nil, nil
	}
	stored, err := a.o.Events.Top(ctx, analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "source", PixelID: pixel, Since: r.Since, Until: r.Until})
	if err != nil {
		return nil, err
	}
	var out []repeats
	for _, way := range []string{"web", "pixel", "server", "other"} {
		x := repeats{Way: way, ByEvent: r.Total.Duplicates["event_"+way], ByOrder: r.Total.Duplicates["order_"+way]}
		for _, s := range stored {
			if ledger.Way(s.Group) == way {
				x.Stored += int64(s.Value)
			}
		}
		if x.ByEvent+x.ByOrder > 0 {
			out = append(out, x)
		}
	}
	return out, nil
}

// mostLines bounds the page; the CSV has all.
const mostLines = 200

func (a *Admin) ledgerPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	choices := ranges[1:3]
	d := ledgerData{Range: choices[0], Ranges: choices, Pixel: c.QueryParam("pixel_id"), Pixels: a.pixels(ctx), Titles: map[string]string{}}
	for _, r := range choices {
		if r.Key == c.QueryParam("range") {
			d.Range = r
		}
	}
	if _, ok := a.seen(ctx, d.Pixel); !ok {
		d.Pixel = ""
	}
	now := a.now()
	var err error
	if d.Report, err = a.readLedger(ctx, d.Pixel, now.Add(-d.Range.Span), now); err != nil {
		return err
	}
	if d.Repeats, err = a.repeats(ctx, d.Pixel, d.Report); err != nil {
		return err
	}
	for _, p := range d.Report.Total.Partners {
		d.Titles[p.Name] = a.partners.title(p.Name)
	}
	for i, b := range d.Report.Items {
		if i == mostLines {
			d.More = len(d.Report.Items) - i
			break
		}
		line := ledgerLine{Book: b}
		for _, f := range d.Report.Differences {
			if f.Pixel == b.Pixel && f.Hour.Equal(b.Hour) {
				line.Wrong = append(line.Wrong, f.Text)
			}
		}
		d.Lines = append(d.Lines, line)
	}
	return a.show(c, http.StatusOK, "ledger", view{Title: "Books", Nav: "ledger", Data: d})
}

// ledgerNeed is the sentence for the overview where the books do not balance.
func (a *Admin) ledgerNeed() (need, bool) {
	last, err := a.o.Ledger.Last()
	if err != nil {
		return need{"warn", "The books cannot be checked: " + strings.TrimSuffix(err.Error(), ".") + ".", "/ledger", "See the books"}, true
	}
	if len(last.Differences) == 0 {
		return need{}, false
	}
	text := "The books do not balance: " + last.Differences[0].Text
	if n := len(last.Differences) - 1; n > 0 {
		text = strings.TrimSuffix(text, ".") + ", and " + count(n, "more difference") + "."
	}
	return need{"bad", text, "/ledger", "See the books"}, true
}
