package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// testInput says what a test event is like. Params may be left out where a
// route to the partner has some.
type testInput struct {
	PixelID string         `json:"pixel_id"`
	Event   string         `json:"event"`
	Params  jsontext.Value `json:"params"`
	// Account is which of the partner's accounts sends it; empty: the route's.
	Account string `json:"account"`
	// Dry makes and shows the request, and does not send it.
	Dry bool `json:"dry"`
}

// testResult is a delivery that was tried once, outside of all queues.
type testResult struct {
	EventID string       `json:"event_id"`
	Request *testMessage `json:"request"` // null: the adapter made none
	Answer  *testMessage `json:"answer"`  // null: none came
	// LatencyMS is how long the answer took.
	LatencyMS int64         `json:"latency_ms"`
	Outcome   event.Outcome `json:"outcome"`
	Code      string        `json:"code,omitempty"`
	Message   string        `json:"message,omitempty"`
	// Error says why no answer came.
	Error string `json:"error,omitempty"`
}

type testMessage struct {
	Method  string      `json:"method,omitempty"`
	URL     string      `json:"url,omitempty"`
	Status  int         `json:"status,omitzero"`
	Headers [][2]string `json:"headers"`
	Body    string      `json:"body"`
}

// sendTest sends one event that is plainly a test, with the partner's own flag for
// tests where it has one; otherwise the partner gets it for real. It does so even
// while the switch is off: that is when one tests.
func (a *Admin) sendTest(ctx context.Context, who principal, name string, in testInput) (testResult, error) {
	spec, ok := a.partners.specs[name]
	if !ok {
		return testResult{}, errNoPartner
	}
	sender := a.senders[name]
	in.Event = cmp.Or(in.Event, "purchase")
	d := delivered(in, name, a.now())
	var v settings.Invalid
	if !event.ValidName(in.Event) {
		v = append(v, settings.Problem{Field: "event", Message: "must be an event's name"})
	}
	if in.PixelID != "" {
		p, ok := a.o.Settings.Pixel(in.PixelID)
		if !ok {
			v = append(v, settings.Problem{Field: "pixel_id", Message: "is not a pixel"})
		}
		if d.Event.Subject.Country = p.Country; d.Params == nil {
			i := slices.IndexFunc(p.Routes, func(r settings.Route) bool {
				return r.Partner == name && (r.Event == in.Event || r.Event == "*")
			})
			if i < 0 {
				v = append(v, settings.Problem{Field: "params", Message: "are needed, since no route of this pixel sends " + in.Event + " to " + spec.Title})
			} else {
				d.Params = p.Routes[i].Params
				in.Account = cmp.Or(in.Account, p.Routes[i].Account)
			}
		}
	}
	if len(v) == 0 {
		v = a.forms.params[name].check(d.Params, "params")
	}
	if len(v) > 0 {
		return testResult{}, v
	}
	s := a.o.Settings.Partner(name)
	credentials, err := a.o.Settings.Credentials(s, in.Account)
	if err != nil {
		return testResult{}, settings.Invalid{{Field: "credentials", Message: err.Error()}}
	}
	account := delivery.AccountOf(spec, a.o.Partners[name], s, credentials)
	account.Test = spec.Test != ""
	if in.Dry {
		x := sender.Rehearse(ctx, account, d)
		out := resultOf(d.Event.ID, x, nil)
		if x.Method != "" {
			out.Outcome, out.Code, out.Message = event.Dry, "dry_run", "made and not sent"
		}
		return out, nil
	}
	x, err := sender.Send(ctx, account, []event.Delivery{d}, nil)
	return resultOf(d.Event.ID, x, err), a.audit.note(ctx, who, "partner.test", name, "sent test event "+d.Event.ID)
}

func resultOf(id string, x delivery.Exchange, err error) testResult {
	out := testResult{EventID: id, LatencyMS: x.Latency.Milliseconds()}
	if x.Method != "" {
		out.Request = &testMessage{Method: x.Method, URL: x.URL, Headers: headers(x.RequestHeader), Body: text(x.RequestBody)}
	}
	if x.Status != 0 {
		out.Answer = &testMessage{Status: x.Status, Headers: headers(x.AnswerHeader), Body: text(x.Answer)}
	}
	if err != nil {
		out.Error = err.Error()
	}
	for _, r := range x.Receipt.Results {
		out.Outcome, out.Code, out.Message = r.Outcome, r.Code, r.Message
	}
	return out
}

// delivered is the test event: nobody's, of one unit of money, on a page that
// does not exist.
func delivered(in testInput, name string, now time.Time) event.Delivery {
	id := "test-" + uuid.NewString()
	currency := "GBP"
	yes := false
	return event.Delivery{
		Partner: name, Params: in.Params, Permission: event.Allowed, QueuedAt: now,
		Event: event.Event{
			ID: id, Receipt: id, PixelID: in.PixelID, Name: in.Event, Time: now.UTC(), SentAt: now.UTC(), ReceivedAt: now.UTC(),
			Source: "server", Priority: event.High,
			Consent: event.Consent{GDPRApplies: &yes, State: event.Full},
			Verdict: event.Verdict{State: event.Full, Regime: "default", Rule: "test", Reason: "a test event from the console"},
			Subject: event.Subject{
				VisitorID: "test-visitor", AnonymousID: "test-visitor",
				// Google takes no event without an id beside contact data.
				PartnerIDs: map[string]string{"match_id": "pixel-test"},
				// The digest of test@example.com.
				Email: "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b", EmailGoogle: "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b",
			},
			Context: event.Context{
				Page: event.Page{URL: "https://example.com/test", Title: "Test event"}, Locale: "en-GB",
				IP: "203.0.113.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
			},
			Order: event.Order{
				ID: "TEST-" + strings.ToUpper(id[len(id)-8:]), Value: "1.00", Currency: currency,
				Items: []event.Item{{ID: "TEST", Name: "Test item", Price: "1.00", Quantity: "1"}},
			},
		},
	}
}

func headers(h http.Header) [][2]string {
	out := [][2]string{}
	for _, name := range sortedKeys(h) {
		for _, v := range h[name] {
			out = append(out, [2]string{name, v})
		}
	}
	return out
}

// text makes bytes of an unknown kind fit for a page and for JSON.
func text(b []byte) string {
	const most = 32 << 10
	if len(b) > most {
		b = b[:most]
	}
	if !utf8.Valid(b) {
		return strings.ToValidUTF8(string(b), "�")
	}
	return string(b)
}
