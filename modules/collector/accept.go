package collector

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/ledger"
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

// maxStored bounds what one request may become: what the events share is stored
// with each of them.
const maxStored = 8 << 20

// batch is the memory that accept needs for one request, and uses again.
type batch struct {
	made    event.Event
	encoder event.Encoder
	bytes   []byte // of all events
	items   []queue.Item
	ends    []int // of each item's body in bytes; -1: it has its own

	// read is whether somebody may read bytes still.
	read bool

	// Of all messages of a request that holds several envelopes:
	before int                               // bytes of those done
	held   int64                             // bytes of room that are reserved
	told   map[consent.Visitor]event.Verdict // whose change of consent is recorded, and what it was
}

// keptBatch bounds what a batch keeps.
const keptBatch = 256 << 10

func (c *Collector) reuse(b *batch) {
	c.room.give(b.held)
	if b.read || cap(b.bytes) > keptBatch {
		return
	}
	clear(b.items)
	*b = batch{encoder: b.encoder, bytes: b.bytes[:0], items: b.items[:0], ends: b.ends[:0]}
	c.batches.Put(b)
}

// next makes room for the next envelope of the same request, beside what the items point to.
func (b *batch) next() {
	b.before += len(b.bytes)
	clear(b.items)
	b.made, b.bytes, b.items, b.ends = event.Event{}, make([]byte, 0, firstRead/4), b.items[:0], b.ends[:0]
}

// hold reserves room for what a request becomes, which may be many times its body. A
// usual request needs none beside its body's.
func (c *Collector) hold(b *batch) error {
	n := int64(b.before + len(b.bytes))
	switch {
	case n > maxStored:
		return httpserver.NewProblem(http.StatusRequestEntityTooLarge, "too_large", "the events are too large together with what they share; send fewer at once")
	case n <= keptBatch || 2*n <= b.held:
		return nil
	}
	// Twice, since it grows by being copied; and in steps of a piece.
	more := 2*(n+keptBatch) - b.held
	if !c.room.take(more) {
		return busy()
	}
	b.held += more
	return nil
}

// accept is the room behind every door: it decides on consent, refuses what is
// wrong, makes events of the rest and returns once those are durable. Its error
// means that none is.
func (c *Collector) accept(ec *echo.Context, p *settings.Pixel, env *event.Envelope, events []event.Incoming, source string) (answer, error) {
	start := time.Now()
	b := c.newBatch()
	defer c.reuse(b)
	a, err := c.prepare(ec, b, p, env, events, source)
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

func (c *Collector) newBatch() *batch {
	if b, _ := c.batches.Get().(*batch); b != nil {
		return b
	}
	return &batch{}
}

// prepare does all of that but the last: the batch's items are not stored yet.
func (c *Collector) prepare(ec *echo.Context, b *batch, p *settings.Pixel, env *event.Envelope, events []event.Incoming, source string) (answer, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	r := ec.Request()
	came := arrived(r, now)
	env.Consent.GPC = env.Consent.GPC || r.Header.Get("Sec-Gpc") == "1"
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
		receipts = newIDs(len(events))
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

// add encodes one event, without what a state does not allow to keep, and where it
// must not be kept without what is sensitive.
func (b *batch) add(made *event.Event, state event.State, salt []byte, sensitive bool) {
	if state != event.Full {
		stripped := *made
		consent.Strip(&stripped, state, salt)
		made = &stripped
	}
	if sensitive {
		consent.StripSensitive(made)
	}
	if len(b.bytes) == 0 {
		b.encoder.Share(made)
	}
	b.bytes = b.encoder.Append(b.bytes, made)
	b.items = append(b.items, queue.Item{Queue: queue.Ingest(made.Priority)})
	b.ends = append(b.ends, len(b.bytes))
}

// finish gives the events' items their bodies, which are parts of bytes.
func (b *batch) finish(account queue.Account) {
	from := 0
	for i, end := range b.ends {
		if end >= 0 {
			b.items[i].Body, b.items[i].Account = b.bytes[from:end:end], account
			b.items[i].Stage, b.items[i].N = ledger.Received, 1
			from = end
		}
	}
}

// share begins events with what all of an envelope have in common.
func (c *Collector) share(ec *echo.Context, e *event.Event, p *settings.Pixel, env *event.Envelope, verdict event.Verdict, source string, now time.Time) {
	r := ec.Request()
	e.PixelID, e.ReceivedAt, e.SentAt, e.Source = p.ID, now, env.SentAt, source
	e.Consent, e.Verdict, e.Context = env.Consent, verdict, env.Context
	e.Trace = traceparent(r.Context())
	if keys := p.Processing.Keys; len(keys) > 0 {
		page := &e.Context.Page
		var here, there event.Cleaned
		page.URL, here = event.CleanURL(page.URL, keys)
		page.Referrer, there = event.CleanURL(page.Referrer, keys)
		env.Cleaned |= here | there
	}
	if verdict.State == event.Full {
		e.Subject = identity.Digest(env.Identity, p.Country)
	} else {
		e.Subject.AnonymousID = env.Identity.AnonymousID
	}
	if source == server {
		return // it says itself what the visitor's own request showed
	}
	c.cross(e, p)
	e.Context.IP = ec.RealIP()
	e.Context.UserAgent = event.WithoutMail(header(r.UserAgent(), maxUserAgent))
	e.Context.ClientHints = hints(r.Header)
	e.Context.Place = place(r)
}

// event makes one event of what came.
func (c *Collector) event(made *event.Event, in *event.Incoming, p *settings.Pixel, env *event.Envelope, came time.Time) event.Fault {
	var f event.Fault
	var skew time.Duration
	w := c.metrics.stopwatch()
	if p.Processing.Does("clock") {
		made.Time, skew, f = in.Corrected(env.SentAt, came)
		w.done(ofClock)
	} else {
		made.Time, f = in.When(env.SentAt, came)
	}
	if f.Code != "" {
		return f
	}
	cleaned, f := in.Clean(p.Processing.Keys)
	w.done(ofCleaning)
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
		in.ID = newIDs(1).at(0)
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
	c.log.ErrorContext(ctx, "events could not be stored", "events", len(items), "error", err)
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

const (
	maxUserAgent = 1 << 10
	maxHint      = 256
)

// hintHeaders are the client hints that enrichment reads, in Go's spelling.
var hintHeaders = [...][2]string{
	{"Sec-Ch-Ua", "sec-ch-ua"},
	{"Sec-Ch-Ua-Mobile", "sec-ch-ua-mobile"},
	{"Sec-Ch-Ua-Platform", "sec-ch-ua-platform"},
	{"Sec-Ch-Ua-Platform-Version", "sec-ch-ua-platform-version"},
	{"Sec-Ch-Ua-Model", "sec-ch-ua-model"},
	{"Sec-Ch-Ua-Full-Version-List", "sec-ch-ua-full-version-list"},
}

func hints(h http.Header) map[string]string {
	var m map[string]string
	for _, name := range hintHeaders {
		if v := h[name[0]]; len(v) > 0 && v[0] != "" && len(v[0]) <= maxHint {
			if m == nil {
				m = make(map[string]string, len(hintHeaders))
			}
			m[name[1]] = header(v[0], maxHint)
		}
	}
	return m
}

// header is a header's value as text: HTTP lets any byte pass.
func header(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "")
}

// country is where the edge in front of us says the visitor is. Only a proxy
// that we trust may say so; anybody else could talk himself out of the GDPR.
func (c *Collector) country(r *http.Request) string {
	if e, ok := edged(r); ok {
		return e.Country
	}
	if len(c.proxies) == 0 {
		return ""
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	for _, p := range c.proxies {
		if !p.Contains(peer.Addr().Unmap()) {
			continue
		}
		for _, name := range [...]string{"Cf-Ipcountry", "Cloudfront-Viewer-Country"} {
			if v := r.Header.Get(name); len(v) == 2 {
				return v
			}
		}
	}
	return ""
}
