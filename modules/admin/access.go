package admin

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/backfill"
	"github.com/miq/pixel/modules/deadletters"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// Somebody may be confined to the pixels of certain advertisers. The request's
// context says to which, and everything that handlers read from goes by it, so that a
// page that is written tomorrow cannot forget to ask.

type whoKey struct{}

// asking carries who asks.
func asking(ctx context.Context, who principal) context.Context {
	return context.WithValue(ctx, whoKey{}, who)
}

func whoOf(ctx context.Context) principal {
	who, _ := ctx.Value(whoKey{}).(principal)
	return who
}

// Confined reports whether only some advertisers' pixels may be seen.
func (p principal) Confined() bool { return len(p.Advertisers) > 0 }

// sees reports whether a pixel is one of those.
func (p principal) sees(pixel settings.Pixel) bool {
	return !p.Confined() || slices.Contains(p.Advertisers, pixel.Advertiser)
}

// pixels are those that whoever asks may see.
func (a *Admin) pixels(ctx context.Context) []settings.Pixel {
	all, who := a.o.Settings.Pixels(), whoOf(ctx)
	if !who.Confined() {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(p settings.Pixel) bool { return !who.sees(p) })
}

// seen is a pixel, where whoever asks may see it: to others it is not there.
func (a *Admin) seen(ctx context.Context, id string) (settings.Pixel, bool) {
	p, ok := a.o.Settings.Pixel(id)
	if !ok || !whoOf(ctx).sees(p) {
		return settings.Pixel{}, false
	}
	return p, true
}

// reach says which pixels a context may read of.
type reach func(ctx context.Context) (ids []string, confined bool)

func reachOf(store *settings.Store) reach {
	return func(ctx context.Context) ([]string, bool) {
		who := whoOf(ctx)
		if !who.Confined() {
			return nil, false
		}
		ids := []string{}
		for _, p := range store.Pixels() {
			if who.sees(p) {
				ids = append(ids, p.ID)
			}
		}
		return ids, true
	}
}

// has reports whether a pixel is within reach.
func (r reach) has(ctx context.Context, pixel string) bool {
	ids, confined := r(ctx)
	return !confined || slices.Contains(ids, pixel)
}

// where adds to conditions that an event must be of a pixel within reach.
func (r reach) where(ctx context.Context, list []analytics.Condition) []analytics.Condition {
	ids, confined := r(ctx)
	if !confined {
		return list
	}
	if len(ids) == 0 {
		ids = []string{"!"} // is no pixel's id
	}
	return append(slices.Clone(list), analytics.Is("pixel_id", ids...))
}

// pixels are those for a question that takes a list of them.
func (r reach) pixels(ctx context.Context) []string {
	ids, confined := r(ctx)
	if !confined {
		return nil
	}
	return ids
}

// confinedReader answers of what is within reach.
type confinedReader struct {
	analytics.Reader
	reach reach
}

func (c confinedReader) Events(ctx context.Context, f analytics.EventFilter) (analytics.EventPage, error) {
	f.Where = c.reach.where(ctx, f.Where)
	return c.Reader.Events(ctx, f)
}

func (c confinedReader) Event(ctx context.Context, pixelID, id string) (event.Event, error) {
	return eachPixel(ctx, c.reach, pixelID, func(p string) (event.Event, error) { return c.Reader.Event(ctx, p, id) })
}

func (c confinedReader) Story(ctx context.Context, q analytics.StoryQuery) (analytics.Story, error) {
	return eachPixel(ctx, c.reach, q.PixelID, func(p string) (analytics.Story, error) {
		q.PixelID = p
		return c.Reader.Story(ctx, q)
	})
}

// eachPixel asks of one pixel, or where none is named of each within reach until one
// has it: an event of another's may have the same id.
func eachPixel[T any](ctx context.Context, r reach, pixel string, ask func(pixel string) (T, error)) (none T, err error) {
	ids, confined := r(ctx)
	switch {
	case !confined:
		return ask(pixel)
	case pixel != "" && slices.Contains(ids, pixel):
		ids = []string{pixel}
	case pixel != "":
		ids = nil
	}
	for _, id := range ids {
		if v, err := ask(id); !errors.Is(err, analytics.ErrNotFound) {
			return v, err
		}
	}
	return none, analytics.ErrNotFound
}

func (c confinedReader) Syncs(ctx context.Context, f analytics.SyncFilter) (analytics.SyncPage, error) {
	f.Pixels = c.reach.pixels(ctx)
	return c.Reader.Syncs(ctx, f)
}

func (c confinedReader) Matches(ctx context.Context, pixelID, eventID string) ([]event.Match, error) {
	if !c.reach.has(ctx, pixelID) {
		return []event.Match{}, nil
	}
	return c.Reader.Matches(ctx, pixelID, eventID)
}

func (c confinedReader) Readiness(ctx context.Context, q analytics.ReadinessQuery) ([]analytics.Readiness, error) {
	q.Pixels = c.reach.pixels(ctx)
	return c.Reader.Readiness(ctx, q)
}

func (c confinedReader) Funnel(ctx context.Context, q analytics.FunnelQuery) ([]analytics.FunnelCount, error) {
	q.Where = c.reach.where(ctx, q.Where)
	return c.Reader.Funnel(ctx, q)
}

func (c confinedReader) Latency(ctx context.Context, q analytics.LatencyQuery) ([]analytics.Latency, error) {
	q.Pixels = c.reach.pixels(ctx)
	return c.Reader.Latency(ctx, q)
}

func (c confinedReader) Repeated(ctx context.Context, q analytics.RepeatedQuery) ([]analytics.RepeatedOrder, error) {
	q.Pixels = c.reach.pixels(ctx)
	return c.Reader.Repeated(ctx, q)
}

func (c confinedReader) Series(ctx context.Context, q analytics.SeriesQuery) ([]analytics.Series, error) {
	q.Where = c.reach.where(ctx, q.Where)
	return c.Reader.Series(ctx, q)
}

func (c confinedReader) Top(ctx context.Context, q analytics.TopQuery) ([]analytics.TopRow, error) {
	q.Where = c.reach.where(ctx, q.Where)
	return c.Reader.Top(ctx, q)
}

func (c confinedReader) Tally(ctx context.Context, since, until time.Time) ([]analytics.Tally, error) {
	rows, err := c.Reader.Tally(ctx, since, until)
	return slices.DeleteFunc(rows, func(t analytics.Tally) bool { return !c.reach.has(ctx, t.PixelID) }), err
}

func (c confinedReader) Stored(ctx context.Context, since, until time.Time) ([]analytics.Tally, error) {
	rows, err := c.Reader.Stored(ctx, since, until)
	return slices.DeleteFunc(rows, func(t analytics.Tally) bool { return !c.reach.has(ctx, t.PixelID) }), err
}

// confinedCredits answers of what is within reach.
type confinedCredits struct {
	analytics.CreditReader
	reach reach
}

func (c confinedCredits) Credits(ctx context.Context, f analytics.CreditFilter) (analytics.CreditPage, error) {
	// Whoever asks names an event's pixel; that of all pixels is nobody's question.
	if !c.reach.has(ctx, f.PixelID) {
		return analytics.CreditPage{}, nil
	}
	return c.CreditReader.Credits(ctx, f)
}

func (c confinedCredits) Attribution(ctx context.Context, q analytics.AttributionQuery) ([]analytics.AttributionRow, error) {
	q.Pixels = c.reach.pixels(ctx)
	return c.CreditReader.Attribution(ctx, q)
}

func (c confinedCredits) Paths(ctx context.Context, q analytics.PathQuery) ([]analytics.PathRow, error) {
	q.Pixels = c.reach.pixels(ctx)
	return c.CreditReader.Paths(ctx, q)
}

// confinedQueues shows messages and dead letters within reach. How many wait in a
// queue that all share, and for how long, is nobody's in particular.
type confinedQueues struct {
	queue.Inspector
	reach reach
}

func (c confinedQueues) Peek(ctx context.Context, name, cursor string, limit int) ([]queue.Waiting, string, error) {
	list, next, err := c.Inspector.Peek(ctx, name, cursor, limit)
	if _, confined := c.reach(ctx); !confined {
		return list, next, err
	}
	return slices.DeleteFunc(list, func(w queue.Waiting) bool {
		return !c.reach.has(ctx, cmp.Or(deadletters.About(w.Body).PixelID, w.Account.Pixel))
	}), next, err
}

func (c confinedQueues) Dead(ctx context.Context, name, cursor string, limit int) ([]queue.DeadLetter, string, error) {
	list, next, err := c.Inspector.Dead(ctx, name, cursor, limit)
	if _, confined := c.reach(ctx); !confined {
		return list, next, err
	}
	return slices.DeleteFunc(list, func(l queue.DeadLetter) bool {
		return !c.reach.has(ctx, cmp.Or(deadletters.About(l.Body).PixelID, l.Account.Pixel))
	}), next, err
}

// books are the ledger's within reach, with what of them does not balance. What is of
// no pixel in particular is shown to those alone who may see all.
func (a *Admin) books(ctx context.Context, since, until time.Time) ([]ledger.Book, error) {
	list, err := a.o.Ledger.Books(ctx, since, until)
	return a.within(ctx, list), err
}

func (a *Admin) within(ctx context.Context, list []ledger.Book) []ledger.Book {
	if !whoOf(ctx).Confined() {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(b ledger.Book) bool {
		_, ok := a.seen(ctx, b.Pixel)
		return !ok
	})
}

// advertised refuses a pixel of an advertiser that whoever asks is not confined to.
func advertised(who principal, p settings.Pixel) error {
	if who.sees(p) {
		return nil
	}
	return settings.Invalid{{Field: "advertiser", Message: "must be one of yours: " + strings.Join(who.Advertisers, ", ")}}
}

// ownPart leaves of a partner what is not another advertiser's: the accounts that own
// routes name, and no complaint of the partner's about anybody's event.
func (a *Admin) ownPart(ctx context.Context, v *partnerView) {
	named := map[string]bool{}
	for _, p := range a.pixels(ctx) {
		for _, r := range p.Routes {
			named[r.Account] = named[r.Account] || r.Partner == v.Name
		}
	}
	v.Accounts = slices.DeleteFunc(v.Accounts, func(x accountView) bool { return !named[x.Name] })
	for i := range v.Lane.Answers {
		v.Lane.Answers[i].Note = ""
	}
}

// jobs are the backfills and rehearsals of pixels within reach.
func (a *Admin) jobs(ctx context.Context) ([]backfill.Job, error) {
	list, err := a.backfills.List(ctx)
	return slices.DeleteFunc(list, func(j backfill.Job) bool { return !a.ownJob(ctx, j) }), err
}

func (a *Admin) job(ctx context.Context, id string) (backfill.Job, error) {
	j, err := a.backfills.Get(ctx, id)
	if err == nil && !a.ownJob(ctx, j) {
		err = backfill.ErrNotFound
	}
	return j, err
}

func (a *Admin) ownJob(ctx context.Context, j backfill.Job) bool {
	_, ok := a.seen(ctx, j.Spec.PixelID)
	return ok || !whoOf(ctx).Confined()
}
