package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/ledger"
)

// reconciled is an hour of receipt of one pixel, at one partner or, where Partner is
// empty, with us. What came in and what was handed over is read from the queues'
// books; what is stored, was sent and was accepted is counted in the store.
type reconciled struct {
	Hour     time.Time `json:"hour"`
	PixelID  string    `json:"pixel_id"`
	Partner  string    `json:"partner,omitempty"`
	Received int64     `json:"received"` // at the door; of a partner, 0
	Stored   int64     `json:"stored"`
	Routed   int64     `json:"routed"`   // handed to the partner's queue
	Sent     int64     `json:"sent"`     // at least one attempt was made
	Accepted int64     `json:"accepted"` // by the partner
}

// reconcile puts the books beside the store, newest hour first.
func (a *Admin) reconcile(ctx context.Context, pixel, partner string, since, until time.Time) ([]reconciled, error) {
	since, until = since.UTC().Truncate(time.Hour), until.UTC().Add(time.Hour-1).Truncate(time.Hour)
	books, err := a.books(ctx, since, until)
	if err != nil {
		return nil, err
	}
	tallies, err := a.o.Events.Stored(ctx, since, until)
	if err != nil {
		return nil, err
	}
	type key struct {
		hour           int64
		pixel, partner string
	}
	by := map[key]*reconciled{}
	at := func(hour time.Time, of, name string) *reconciled {
		k := key{hour.Unix(), of, name}
		if by[k] == nil {
			by[k] = &reconciled{Hour: hour.UTC(), PixelID: of, Partner: name}
		}
		return by[k]
	}
	for _, b := range books {
		at(b.Hour, b.Pixel, "").Received += b.Received
		for _, p := range b.Partners {
			at(b.Hour, b.Pixel, p.Name).Routed = p.Routed
		}
	}
	for _, t := range tallies {
		r := at(t.Hour, t.PixelID, t.Partner)
		if t.Partner == "" {
			r.Stored += t.N
			continue
		}
		// The books forget after some weeks; the store knows longer.
		r.Accepted, r.Sent, r.Routed = t.N, t.Sent, max(r.Routed, t.Routed)
	}
	out := []reconciled{}
	for _, r := range by {
		if (pixel == "" || r.PixelID == pixel) && (partner == "" || r.Partner == partner) {
			out = append(out, *r)
		}
	}
	slices.SortFunc(out, func(x, y reconciled) int {
		return cmp.Or(y.Hour.Compare(x.Hour), cmp.Compare(x.PixelID, y.PixelID), cmp.Compare(x.Partner, y.Partner))
	})
	return out, nil
}

// reconciledSoon is reconcile for a page: ready is false where it takes longer than people
// wait for, as while a start reads the sync log. It asks again in a second, and whoever asks
// meanwhile waits for the same answer.
func (a *Admin) reconciledSoon(ctx context.Context, pixel string, since, until time.Time) (rows []reconciled, ready bool, err error) {
	// What others may see is not for all.
	key := strings.Join(append([]string{pixel, until.Sub(since).String(), until.Truncate(time.Hour).String()}, whoOf(ctx).Advertisers...), "\x00")
	answer := a.reconciling.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return a.reconcile(ctx, pixel, "", since, until)
	})
	enough := time.NewTimer(a.patience)
	defer enough.Stop()
	select {
	case r := <-answer:
		rows, _ = r.Val.([]reconciled)
		return rows, true, r.Err
	case <-enough.C:
		return nil, false, nil
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

func (a *Admin) reconciliationReport(c *echo.Context) error {
	q := a.query(c)
	pixel, partner, since, until := q.text("pixel_id"), q.text("partner"), q.time("since"), q.time("until")
	format := q.choice("format", "json", formats...)
	defaults(&since, &until, q.now)
	q.within(since, until, maxBooks)
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	rows, err := a.reconcile(ctx, pixel, partner, since, until)
	if err != nil {
		return err
	}
	if format != "json" {
		out := download(c, "reconciliation", format, append([]column{{"hour", time.Time{}}, {"pixel_id", ""}, {"partner", ""}},
			columnsOf(int64(0), "received", "stored", "routed", "sent", "accepted")...))
		for _, r := range rows {
			if err := out.row(r.Hour, r.PixelID, r.Partner, r.Received, r.Stored, r.Routed, r.Sent, r.Accepted); err != nil {
				return err
			}
		}
		return out.end()
	}
	return c.JSON(http.StatusOK, items(rows, ""))
}

// duplicated is how many repeats of what came before were taken out in an hour of
// receipt: of events, or of deliveries where there is a partner.
type duplicated struct {
	Hour       time.Time `json:"hour"`
	PixelID    string    `json:"pixel_id"`
	Partner    string    `json:"partner,omitempty"`
	Of         int64     `json:"of"` // accepted, or routed
	Duplicates int64     `json:"duplicates"`
}

func duplicatesOf(books []ledger.Book, pixel string) []duplicated {
	out := []duplicated{}
	for _, b := range books {
		if pixel != "" && b.Pixel != pixel {
			continue
		}
		if b.Duplicate > 0 {
			out = append(out, duplicated{b.Hour, b.Pixel, "", b.Accepted, b.Duplicate})
		}
		for _, p := range b.Partners {
			if p.Duplicate > 0 {
				out = append(out, duplicated{b.Hour, b.Pixel, p.Name, p.Routed, p.Duplicate})
			}
		}
	}
	return out
}
