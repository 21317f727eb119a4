package collector

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/labstack/echo/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// The doors, as Event.Source.
const (
	web   = "web"
	image = "pixel"
)

// pushTimeout is how long a request waits to be durable.
const pushTimeout = 10 * time.Second

// maxStored bounds what one request may become: what the events share is stored
// with each of them.
const maxStored = 8 << 20

// candidate is one event on its way in.
type candidate struct {
	raw   jsontext.Value
	in    event.Incoming
	fault event.Fault // has a code if the event was refused
}

// accept is the room behind every door: it decides on consent, refuses what is
// wrong, makes events of the rest and returns once those are durable. Its error
// means that none is.
func (c *Collector) accept(ec *echo.Context, p *settings.Pixel, env *event.Envelope, events []candidate, source string) (answer, error) {
	start := time.Now()
	now := start.UTC().Truncate(time.Microsecond)
	r := ec.Request()
	came := arrived(r, now)
	env.Consent.GPC = env.Consent.GPC || r.Header.Get("Sec-Gpc") == "1"
	verdict := c.consent.Decide(consent.Request{
		Signals: env.Consent, HeaderGPC: env.Consent.GPC, Country: c.country(r), Now: now,
	}, p.Site())
	a := answer{verdict: verdict, results: make([]result, len(events))}
	keep := verdict.State.Allows(event.Partial)
	sensitive := keep && c.consent.Sensitive(env.Consent)

	var shared, made event.Event // made again for each: it is large
	if keep {
		shared = c.shared(ec, p, env, verdict, source, now)
	}
	account := queue.AccountOf(p.ID, now)
	items := make([]queue.Item, 0, len(events)+2)
	var encoder event.Encoder
	var size int64
	for i := range events {
		e, res := &events[i], &a.results[i]
		if e.fault.Code == "" {
			e.fault = c.event(&made, &shared, e, env, came)
		}
		switch {
		case e.fault.Code != "":
			a.rejected++
			*res = result{safeID(e.in.ID), rejected, e.fault}
			c.metrics.rejected(source, e.fault.Code)
			if item, ok := c.refusal(p.ID, source, now, e.fault.In("/events/"+strconv.Itoa(i)), e, keep); ok {
				items = append(items, item)
			}
			continue
		case !keep:
			a.suppressed++
			*res = result{e.in.ID, suppressed, event.Fault{Code: "consent", Message: verdict.Reason + " (" + verdict.Rule + ")"}}
			c.metrics.suppressed(p.ID, verdict.Rule)
			continue
		}
		consent.Strip(&made, verdict.State, c.saltFor(p.ID, verdict.State))
		if sensitive {
			consent.StripSensitive(&made)
		}
		encoded, err := encoder.Encode(&made)
		if err != nil {
			return a, fmt.Errorf("encode an event: %w", err)
		}
		if size += int64(len(encoded)); size > maxStored {
			return a, httpserver.NewProblem(http.StatusRequestEntityTooLarge, "too_large", "the events are too large together with what they share; send fewer at once")
		}
		a.accepted++
		*res = result{made.ID, accepted, event.Fault{}}
		items = append(items, queue.Item{Queue: queue.Ingest(made.Priority), Body: encoded, Account: account})
	}
	items = entered(items, account, len(events), &a)
	if err := c.push(items, a.accepted > 0); err != nil {
		return a, err
	}
	c.metrics.answered(events, &a, c.priority, time.Since(start))
	return a, nil
}

// shared is what all events of an envelope have in common.
func (c *Collector) shared(ec *echo.Context, p *settings.Pixel, env *event.Envelope, verdict event.Verdict, source string, now time.Time) event.Event {
	r := ec.Request()
	e := event.Event{
		PixelID: p.ID, ReceivedAt: now, SentAt: env.SentAt, Source: source,
		Consent: env.Consent, Verdict: verdict, Context: env.Context,
		Trace: traceparent(r.Context()),
	}
	if verdict.State == event.Full {
		e.Subject = identity.Digest(env.Identity, p.Country)
	} else {
		e.Subject.AnonymousID = env.Identity.AnonymousID
	}
	e.Context.IP = ec.RealIP()
	e.Context.UserAgent = header(r.UserAgent(), maxUserAgent)
	e.Context.ClientHints = hints(r.Header)
	e.Context.Place = place(r)
	return e
}

// event makes one event of what came.
func (c *Collector) event(made, shared *event.Event, e *candidate, env *event.Envelope, came time.Time) event.Fault {
	*made = *shared
	var f event.Fault
	if made.Time, f = e.in.When(env.SentAt, came); f.Code != "" {
		return f
	}
	if made.Order, f = event.ParseOrder(e.in.Name, e.in.Properties); f.Code != "" {
		return f
	}
	if e.in.ID == "" {
		e.in.ID = newID()
	}
	made.ID, made.Receipt, made.Name = e.in.ID, newID(), e.in.Name
	made.Properties = e.in.Properties
	made.Priority = event.Standard
	if p, ok := c.priority[made.Name]; ok {
		made.Priority = p
	}
	return f
}

// push stores items durably. Where none of them is an accepted event, they are
// lines for the dead letters, whose loss is no reason to refuse another answer.
func (c *Collector) push(items []queue.Item, needed bool) error {
	if len(items) == 0 {
		return nil
	}
	// A page that sends while it closes does not wait for the answer. What came
	// whole is stored all the same.
	ctx, cancel := context.WithTimeout(context.Background(), pushTimeout)
	defer cancel()
	err := c.group.Push(ctx, items...)
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
	c.log.Error("events could not be stored", "events", len(items), "error", err)
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

// newID is a UUID of version 7: ordered by time, so that indexes grow at one end.
// It is the uuid package's without its lock and one of its allocations.
func newID() string {
	var id uuid.UUID
	_, _ = rand.Read(id[8:]) // ends the program rather than fail
	now := time.Now()
	// 48 bits of milliseconds, and 12 of the rest, in 1/4096 ms.
	ms, rest := now.UnixMilli(), now.Nanosecond()%1e6
	binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16|0x7000|uint64(rest)<<12/1e6)
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// safeID is the id that a refused event is told by, if it is one.
func safeID(id string) string {
	if event.ValidID(id) {
		return id
	}
	return ""
}

// traceparent is the W3C header for what happens next to these events.
func traceparent(ctx context.Context) string {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return ""
	}
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	traceID, spanID := sc.TraceID(), sc.SpanID()
	b = hex.AppendEncode(b, traceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, spanID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, []byte{byte(sc.TraceFlags())})
	return string(b)
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
