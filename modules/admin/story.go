package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/lanestatus"
)

// story is all that is known of one event.
type story struct {
	Event event.Event `json:"event"`
	// Steps are what happened, in order, in words.
	Steps      []step    `json:"steps"`
	Deliveries []outcome `json:"deliveries"`
	// Attribution is what the event is owed to, by model, where it is a conversion.
	Attribution []event.Credits `json:"attribution,omitempty"`
	// Settled is set once no more is expected to happen.
	Settled bool `json:"settled"`
}

// step is one stage of an event's way.
type step struct {
	Kind   string    `json:"kind"` // received, consent, enriched, identity, stored, attribution
	At     time.Time `json:"at,omitzero"`
	Title  string    `json:"title"`
	Text   string    `json:"text"`
	Facts  []fact    `json:"facts,omitempty"`
	Status string    `json:"status"` // ok, limited, none
}

type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// story reads an event and everything that came of it.
func (a *Admin) story(ctx context.Context, pixelID, id string) (story, error) {
	found, err := a.o.Events.Story(ctx, analytics.StoryQuery{PixelID: pixelID, ID: id})
	if err != nil {
		return story{}, err
	}
	lanes, err := lanestatus.Read(ctx, a.o.State)
	if err != nil {
		return story{}, err
	}
	e, matches := found.Event, found.Matches
	s := story{Event: e, Steps: a.steps(e)}
	credits, err := a.o.Credits.Credits(ctx, analytics.CreditFilter{PixelID: e.PixelID, EventID: e.ID, Limit: analytics.MaxModels})
	if err != nil {
		return story{}, err
	}
	if s.Attribution = credits.Credits; len(s.Attribution) > 0 {
		s.Steps = append(s.Steps, attributed(s.Attribution))
	}
	if err := a.person(ctx, e, s.Steps); err != nil {
		return story{}, err
	}
	s.Deliveries = a.deliveries(e, found, lanes)
	if err := a.fieldsAwaited(ctx, e, s.Deliveries); err != nil {
		return story{}, err
	}
	for i, d := range s.Deliveries {
		for _, m := range matches {
			if m.Partner == d.Partner {
				s.Deliveries[i].Match = a.matchOf(m)
			}
		}
	}
	s.Settled = true
	for _, d := range s.Deliveries {
		if d.Outcome == waiting || d.Outcome == event.Retry {
			s.Settled = false
		}
	}
	return s, nil
}

// steps tells what happened to an event before it went to anybody.
func (a *Admin) steps(e event.Event) []step {
	out := []step{received(e), decided(e)}
	if e.Enrichment != (event.Enrichment{}) {
		out = append(out, a.enriched(e))
	}
	out = append(out, identified(e))
	return append(out, step{Kind: "stored", Title: "Stored", Text: "Kept in the archive and the event store.", Status: "ok"})
}

// attributed tells what a conversion is owed to.
func attributed(sets []event.Credits) step {
	s := step{Kind: "attribution", Title: "Attributed", Text: "It is a conversion: this is what each model owes it to.", Status: "ok"}
	for _, m := range modelTitles {
		for _, set := range sets {
			if set.Model != m.Name {
				continue
			}
			var parts []string
			for _, h := range set.Shares {
				parts = append(parts, fmt.Sprintf("%s %.4g %%", strings.TrimSpace(h.Channel+" "+h.Source), float64(h.Weight)/event.Whole*100))
			}
			s.Facts = append(s.Facts, facts(m.Title, strings.Join(parts, ", "))...)
		}
	}
	return s
}

func received(e event.Event) step {
	doors := map[string]string{"web": "the tag", "pixel": "the image pixel", "server": "the server API"}
	s := step{Kind: "received", At: e.ReceivedAt, Title: "Received", Status: "ok"}
	s.Text = "Came through " + cmp.Or(doors[e.Source], e.Source) + " and was queued with " + string(cmp.Or(e.Priority, event.Standard)) + " priority."
	s.Facts = facts(
		"Happened", stamp(e.Time), "Page", e.Context.Page.URL, "Title", e.Context.Page.Title,
		"Came from", e.Context.Page.Referrer, "SDK", strings.TrimSpace(e.Context.SDK.Name+" "+e.Context.SDK.Version),
		"Language", e.Context.Locale, "Time zone", e.Context.Timezone, "Address", e.Context.IP,
	)
	return s
}

func decided(e event.Event) step {
	s := step{Kind: "consent", At: e.ReceivedAt, Title: "Consent"}
	s.Text = sentence("Rule " + cmp.Or(e.Verdict.Rule, "unknown") + ": " + cmp.Or(e.Verdict.Reason, "no reason was kept"))
	allows := map[event.State]string{
		event.Full:    "storing it, and sharing it with the partners that consent names",
		event.Partial: "our own analytics only",
		event.None:    "nothing",
	}[e.Verdict.State]
	s.Status = map[event.State]string{event.Full: "ok", event.Partial: "limited"}[e.Verdict.State]
	if s.Status == "" {
		s.Status = "none"
	}
	c := e.Consent
	signals := []string{}
	for _, x := range []struct {
		name string
		is   bool
	}{{"TCF", c.TCF != ""}, {"GPP", c.GPP != ""}, {"US Privacy", c.USPrivacy != ""}, {"Consent Mode", c.GCM != event.ConsentMode{}}, {"Global Privacy Control", c.GPC}} {
		if x.is {
			signals = append(signals, x.name)
		}
	}
	s.Facts = facts("Allows", allows, "Law", regime(e.Verdict.Regime),
		"Signals", cmp.Or(strings.Join(signals, ", "), "none"), "The page said", string(c.State))
	return s
}

func regime(r string) string {
	return cmp.Or(map[string]string{"gdpr": "GDPR", "us": "US state law", "default": "no opt-in law"}[r], r)
}

func (a *Admin) enriched(e event.Event) step {
	x := e.Enrichment
	s := step{Kind: "enriched", Title: "Enriched", Status: "ok"}
	words := []string{}
	if d := device(x.Device); d != "" {
		words = append(words, d)
	}
	if x.Referrer.Kind != "" {
		words = append(words, "from "+cmp.Or(x.Referrer.Name, x.Referrer.Host, x.Referrer.Kind))
	}
	if x.Campaign.Name != "" || x.Campaign.Source != "" {
		words = append(words, "campaign "+cmp.Or(x.Campaign.Name, x.Campaign.Source))
	}
	s.Text = sentence(strings.Join(words, ", "))
	switch {
	case x.Bot != "" && a.forwards(&e):
		s.Status, s.Text = "limited", s.Text+" It looks like a program ("+x.Bot+"), so it is marked; it is sent all the same."
	case x.Bot != "":
		s.Status, s.Text = "limited", "Taken for a machine ("+x.Bot+"), so it is counted apart and sent to nobody."
	}
	if p := x.Place; p.Country != "" {
		s.Text = sentence(s.Text + " In " + strings.Join(nonEmpty(p.City, p.Region, p.Country), ", "))
	}
	s.Facts = facts("Device", x.Device.Class, "Browser", strings.TrimSpace(x.Device.Browser+" "+x.Device.BrowserVersion),
		"System", strings.TrimSpace(x.Device.OS+" "+x.Device.OSVersion), "Referrer", x.Referrer.Kind, "Host", x.Referrer.Host,
		"Source", x.Campaign.Source, "Medium", x.Campaign.Medium, "Campaign", x.Campaign.Name, "Term", x.Campaign.Term, "Content", x.Campaign.Content,
		"Country", x.Place.Country, "Region", x.Place.Region, "City", x.Place.City, "Network", x.Place.Network,
		"Session", sessionFact(x.Session), "Value", strings.TrimSpace(string(x.Value.Amount)+" "+x.Value.Currency), "No value", x.Value.Missing,
		"Clock", skewFact(x.Skew), "Taken out", x.Cleaned)
	return s
}

// forwards reports whether partners get the event by what is known of its client.
func (a *Admin) forwards(e *event.Event) bool {
	p, _ := a.o.Settings.Pixel(e.PixelID)
	return p.Processing.Forwards(&e.Enrichment)
}

func nonEmpty(words ...string) (out []string) {
	for _, w := range words {
		if w != "" {
			out = append(out, w)
		}
	}
	return out
}

func sessionFact(x event.Session) string {
	if x.ID == "" {
		return ""
	}
	text := "since " + x.Start.Format("15:04:05")
	if x.N > 0 {
		text = fmt.Sprintf("number %d, %s", x.N, text)
	}
	if x.Entry != "" {
		text += ", began on " + x.Entry
	}
	return text
}

func skewFact(ms int64) string {
	switch {
	case ms > 0:
		return (time.Duration(ms) * time.Millisecond).Round(time.Second).String() + " behind; the time is corrected"
	case ms < 0:
		return (time.Duration(-ms) * time.Millisecond).Round(time.Second).String() + " ahead; the time is corrected"
	}
	return ""
}

func device(d event.Device) string {
	var parts []string
	if d.Browser != "" {
		parts = append(parts, d.Browser)
	}
	if d.OS != "" {
		parts = append(parts, "on "+d.OS)
	}
	if d.Class != "" {
		parts = append(parts, "("+d.Class+")")
	}
	return strings.Join(parts, " ")
}

func identified(e event.Event) step {
	u := e.Subject
	s := step{Kind: "identity", Title: "Identity", Status: "ok"}
	var keys []string
	for _, x := range []struct{ name, value string }{
		{"browser id", u.AnonymousID}, {"customer id", u.UserID}, {"e-mail digest", u.Email}, {"phone digest", u.PhoneE164}, {"postal address digests", u.PostalCode},
	} {
		if x.value != "" {
			keys = append(keys, x.name)
		}
	}
	keys = append(keys, sortedKeys(u.ClickIDs)...)
	keys = append(keys, sortedKeys(u.PartnerIDs)...)
	switch {
	case len(keys) > 0:
		s.Text = "Known by " + list(keys) + "."
	case u.VisitorID != "":
		s.Text = "Known by the visitor id alone."
	default:
		s.Status, s.Text = "none", "Nobody in particular: the event carries no identifier."
	}
	s.Facts = facts("Visitor", u.VisitorID, "Browser id", u.AnonymousID, "Customer id", u.UserID,
		"E-mail", abbreviated(u.Email), "Phone", abbreviated(u.PhoneE164), "Country", u.Country)
	for _, k := range sortedKeys(u.ClickIDs) {
		s.Facts = append(s.Facts, facts(k, u.ClickIDs[k])...)
	}
	for _, k := range sortedKeys(u.PartnerIDs) {
		s.Facts = append(s.Facts, facts(k, u.PartnerIDs[k])...)
	}
	return s
}

// person adds to the identity step whose the event is as far as is known now, which may
// be more than when it was stored.
func (a *Admin) person(ctx context.Context, e event.Event, steps []step) error {
	if e.Subject.VisitorID == "" {
		return nil
	}
	p, err := a.o.People.Profile(ctx, e.PixelID, identity.Visiting(e.Subject.VisitorID))
	if errors.Is(err, identity.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range steps {
		if s := &steps[i]; s.Kind == "identity" {
			s.Facts = append(s.Facts, facts("Profile", p.ID)...)
			if n := len(p.Visitors) - 1; n > 0 {
				s.Text += " By now one person with " + count(n, "other visitor") + "."
			}
		}
	}
	return nil
}

func facts(pairs ...string) []fact {
	var out []fact
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out = append(out, fact{pairs[i], pairs[i+1]})
		}
	}
	return out
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000 MST")
}

func milliseconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", max(d.Milliseconds(), 1))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// abbreviated shows that there is a digest, and enough of it to compare two.
func abbreviated(digest string) string {
	if len(digest) <= 12 {
		return digest
	}
	return digest[:12] + "…"
}

func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

func sentence(s string) string {
	if s == "" || strings.HasSuffix(s, ".") || strings.HasSuffix(s, "…") {
		return s
	}
	return s + "."
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
