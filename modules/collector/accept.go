package collector

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/schema"
	"github.com/miq/pixel/modules/settings"
)

// The doors, as Event.Source.
const (
	web   = "web"
	image = "pixel"
)

// pushTimeout is how long a durable write may take.
const pushTimeout = 10 * time.Second

// accept is the room behind every door: it decides on consent, refuses what is
// wrong, makes events of the rest and returns once those are durable. Its error
// means that none is.
func (c *Collector) accept(ec *echo.Context, p *settings.Pixel, env *event.Envelope, events []event.Incoming, source string) (answer, error) {
	start := time.Now()
	b := c.newBatch()
	defer c.reuse(b)
	a, err := c.prepare(ec, b, p, env, events, source, start)
	if err == nil {
		err = c.push(ec.Request().Context(), b.items, a.accepted > 0)
		b.read = err != nil // a push that was given up may go on
	}
	if err != nil {
		return a, err
	}
	c.metrics.answered(&a, time.Since(start))
	return a, nil
}

// prepare does all of that but the last, of a request that came now: the batch's items are
// not stored yet.
func (c *Collector) prepare(ec *echo.Context, b *batch, p *settings.Pixel, env *event.Envelope, events []event.Incoming, source string, now time.Time) (answer, error) {
	now = now.UTC().Truncate(time.Microsecond)
	r := ec.Request()
	came := c.arrived(r, now)
	env.Consent.GPC = env.Consent.GPC || first(r.Header, "Sec-Gpc") == "1"
	country := ""
	if source != server { // whose request is from where the server is
		country = c.country(r)
	}
	verdict := c.consent.Decide(consent.Request{
		Signals: env.Consent, HeaderGPC: env.Consent.GPC, Country: country, Now: now,
	}, p.Site())
	a := answer{verdict: verdict, results: make([]result, len(events))}
	keep := verdict.State.Allows(event.Partial)
	if err := c.withdrawn(ec, b, p, env, consent.Change{Verdict: verdict, At: now, Source: source}); err != nil {
		return a, err
	}
	sensitive := keep && c.consent.Sensitive(env.Consent)

	var receipts ids
	if keep {
		c.share(ec, &b.made, p, env, verdict, source, now)
		receipts = newIDs(now, len(events))
	}
	account := queue.AccountOf(p.ID, now)
	for i := range events {
		in, res := &events[i], &a.results[i]
		f := in.Fault
		if f.Code == "" {
			f = c.event(&b.made, in, p, env, came)
		}
		switch {
		case f.Code != "":
			a.rejected++
			*res = result{safeID(in.ID), rejected, f}
			c.metrics.rejected(source, f.Code)
			if in.Fault.Code == "" && schema.Mendable(f.Code) && keep {
				b.made.Receipt = receipts.at(i)
				if item, ok := c.violated(b.made, f, sensitive); ok {
					b.items, b.ends = append(b.items, item), append(b.ends, -1)
				}
				continue
			}
			if item, ok := c.refusal(p.ID, source, now, f.In("/events/"+strconv.Itoa(i)), in, keep); ok {
				b.items, b.ends = append(b.items, item), append(b.ends, -1)
			}
			continue
		case !keep:
			a.suppressed++
			*res = result{in.ID, suppressed, event.Fault{Code: "consent", Message: verdict.Reason + " (" + verdict.Rule + ")"}}
			c.metrics.suppressed(p.ID, verdict.Rule)
			continue
		case !c.pressure.Admits(b.made.Priority):
			a.rejected++
			a.turned++
			*res = result{b.made.ID, rejected, overloaded}
			c.metrics.rejected(source, overloaded.Code)
			continue
		}
		if a.first.IsZero() || b.made.Time.Before(a.first) {
			a.first = b.made.Time
		}
		b.made.Receipt = receipts.at(i)
		b.add(&b.made, verdict.State, c.saltFor(p.ID, verdict.State), sensitive)
		if err := c.hold(b); err != nil {
			return a, err
		}
		a.accepted++
		a.priorities[rank(b.made.Priority)]++
		*res = result{b.made.ID, accepted, event.Fault{}}
	}
	if a.turned > 0 && a.accepted == 0 {
		// It all comes again, what was wrong with it too.
		return a, c.turnAway()
	}
	if a.turned > 0 {
		ec.Response().Header().Set("Retry-After", seconds(c.pressure.RetryAfter()))
	}
	b.finish(account)
	b.items = entered(b.items, account, &a)
	return a, nil
}

// event makes one event of what came.
func (c *Collector) event(made *event.Event, in *event.Incoming, p *settings.Pixel, env *event.Envelope, came time.Time) event.Fault {
	var f event.Fault
	var skew time.Duration
	w := c.metrics.parts.Start()
	defer w.End()
	if p.Processing.Does("clock") {
		made.Time, skew, f = in.Corrected(env.SentAt, came)
		w.Done(ofClock)
	} else {
		made.Time, f = in.When(env.SentAt, came)
	}
	if f.Code != "" {
		return f
	}
	cleaned, f := in.Clean(p.Processing.Keys)
	w.Done(ofCleaning)
	if f.Code != "" {
		return f
	}
	if cleaned |= env.Cleaned; cleaned != 0 {
		c.metrics.cleaned.WithLabelValues(cleaned.String()).Inc()
	}
	made.Enrichment.Skew, made.Enrichment.Cleaned = skew.Milliseconds(), cleaned.String()
	var wrong event.Fault
	if made.Order, wrong = in.Order(); wrong.Code != "" && !schema.Mendable(wrong.Code) {
		return wrong
	}
	if made.Properties, f = in.Compact(); f.Code != "" {
		return f
	}
	if in.ID = event.HideID(in.ID); in.ID == "" {
		in.ID = newIDs(came, 1).at(0)
	}
	made.ID, made.Name, made.Seq = in.ID, in.Name, max(in.Seq, 0)
	made.Priority = event.Standard
	if p, ok := c.priority[made.Name]; ok {
		made.Priority = p
	}
	if wrong.Code != "" {
		return wrong
	}
	return c.demanded(p, made)
}

// push stores items durably. Where none of them is an accepted event, they are
// lines for the dead letters, whose loss is no reason to refuse another answer.
func (c *Collector) push(ctx context.Context, items []queue.Item, needed bool) error {
	if len(items) == 0 {
		return nil
	}
	// A page that sends while it closes does not wait for the answer. What came
	// whole is stored all the same, so the request's own context does not count.
	err := c.group.Push(context.Background(), items...)
	switch {
	case err == nil:
		return nil
	case !needed:
		for _, item := range items {
			if queue.IsDead(item.Queue) {
				c.metrics.lostRefusals.Inc()
			}
		}
		return nil
	case errors.Is(err, queue.ErrBusy), errors.Is(err, queue.ErrClosed):
		return busy()
	}
	// Once a second says it all: a full disk should not get a line for each request.
	c.told.Do(func() {
		c.log.ErrorContext(ctx, "events could not be stored", "events", len(items), "error", err)
	})
	return &httpserver.Problem{
		Status: http.StatusServiceUnavailable, Code: "not_stored", RetryAfter: retryAfter,
		Detail: "the events could not be stored; send them again later",
	}
}

func (c *Collector) saltFor(pixel string, s event.State) []byte {
	if s == event.Full {
		return nil // nothing is hidden
	}
	return c.salt(pixel)
}

// safeID is the id that a refused event is told by, if it is one.
func safeID(id string) string {
	if event.ValidID(id) {
		return id
	}
	return ""
}
