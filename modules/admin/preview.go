package admin

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/deadletters"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/fields"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/settings"
)

// maxPreview bounds how many letters are looked into for a preview.
const maxPreview = 500

// preview says what a replay would come to if it were done now: the dispatcher asks
// the same questions again before it sends.
type preview struct {
	Looked int    `json:"looked_at"`
	Sends  int    `json:"would_send"`
	Stops  []stop `json:"would_stop"`
	More   bool   `json:"more"` // there are letters that were not looked into
}

// sentence says it.
func (p *preview) sentence(title string) string {
	if p.Looked == p.Sends {
		return ""
	}
	text := " Of " + count(p.Looked, "letter") + " that were looked into, " + thousands(float64(p.Sends)) + " would be sent to " + title + " now; the others not:"
	by := map[string]int{}
	for _, s := range p.Stops {
		by[s.Code] += s.Count
	}
	for _, code := range sortedKeys(by) {
		text += " " + thousands(float64(by[code])) + " " + code + ";"
	}
	return strings.TrimSuffix(text, ";") + "."
}

// stop is a reason why letters would not be sent.
type stop struct {
	Code    string `json:"code"`
	Reason  string `json:"reason"`
	Count   int    `json:"count"`
	EventID string `json:"event_id"` // of one of them
}

// previewOf looks into the letters that a selection means.
func (a *Admin) previewOf(ctx context.Context, short string, s selection, edit func([]byte) ([]byte, error)) (*preview, error) {
	spec := a.partners.specs[short]
	conf := a.o.Settings.Partner(short)
	credentials, err := a.o.Settings.Credentials(conf, "")
	if err != nil {
		credentials = nil // the preview is about the letters
	}
	look := lookout{
		Admin: a, spec: spec, conf: conf,
		account: delivery.AccountOf(spec, a.o.Partners[short], conf, credentials),
	}
	p := &preview{Stops: []stop{}}
	by := map[string]*stop{}
	for cursor := s.Cursor; ; {
		letters, next, err := deadletters.Find(ctx, a.o.Queues, queue.PartnerDead(short), s.Selection, cursor, 100)
		if err != nil {
			return nil, err
		}
		for _, l := range letters {
			if p.Looked == maxPreview {
				p.More = true
				break
			}
			p.Looked++
			code, reason, id, err := look.into(ctx, l, edit)
			if err != nil {
				return nil, err
			}
			if code == "" {
				p.Sends++
				continue
			}
			key := code + "\x00" + reason
			if by[key] == nil {
				by[key] = &stop{Code: code, Reason: reason, EventID: id}
			}
			by[key].Count++
		}
		if cursor = next; cursor == "" || p.More || ctx.Err() != nil {
			break
		}
	}
	for _, x := range by {
		p.Stops = append(p.Stops, *x)
	}
	slices.SortFunc(p.Stops, func(x, y stop) int {
		return cmp.Or(y.Count-x.Count, strings.Compare(x.Code, y.Code), strings.Compare(x.Reason, y.Reason))
	})
	return p, nil
}

// lookout asks of letters what the dispatcher will.
type lookout struct {
	*Admin
	spec    partner.Spec
	conf    settings.Partner
	account delivery.Account
}

// into says why a letter would not be sent; the code is empty where it would.
func (l lookout) into(ctx context.Context, letter queue.DeadLetter, edit func([]byte) ([]byte, error)) (code, reason, id string, err error) {
	if letter.Origin == "" {
		return "not_replayable", "it came from no queue", "", nil
	}
	body := letter.Body
	if edit != nil {
		if body, err = edit(body); err != nil {
			return "edit", "the change cannot be made: " + err.Error(), "", nil
		}
	}
	var d event.Delivery
	if err := json.Unmarshal(event.AsJSON(body), &d); err != nil || d.Event.ID == "" {
		return "unreadable", "it cannot be read", "", nil
	}
	id = d.Event.ID
	now := l.now()
	pixel, ok := l.o.Settings.Pixel(d.Event.PixelID)
	if !ok {
		return "pixel_removed", "the pixel was removed", id, nil
	}
	switch l.conf.Mode {
	case settings.Off:
		return routes.CodeOff, l.spec.Title + " is off", id, nil
	case settings.Hold:
		return "partner_hold", l.spec.Title + " is on hold: it would wait in the queue", id, nil
	}
	if r, known := routes.Find(pixel, l.spec.Name, d.Routed(), d.When); known {
		switch r.Switch() {
		case settings.Off:
			return routes.CodeRouteOff, "the route is off", id, nil
		case settings.Hold:
			return "route_hold", "the route is on hold: it would wait", id, nil
		}
	}
	at := d.Event.Time
	if at.IsZero() {
		at = d.Event.ReceivedAt
	}
	adapter := l.partners.adapters[l.spec.Name]
	if age := partner.AgeLimit(adapter, l.account.Batch(now)); age > 0 && now.Sub(at) > age {
		return "too_old", "older than " + l.spec.Title + " takes", id, nil
	}
	newest, err := consent.Load(ctx, l.o.State, consent.VisitorOf(&d.Event))
	if err != nil {
		return "", "", id, err
	}
	p, why := l.o.Decider.Permit(&d.Event, newest[0], l.spec.Name, l.spec.Consent, pixel.Site(), now)
	if d.Permission = consent.Lesser(d.Permission, p); d.Permission == event.Denied {
		return routes.CodeConsent, routes.ConsentMessage(why), id, nil
	}
	d.Event.Consent.TCF = l.o.Decider.TCF(d.Event.Consent)
	x := l.senders[l.spec.Name].Rehearse(ctx, l.account, d)
	if x.Method == "" && len(x.Receipt.Results) > 0 {
		res := x.Receipt.Results[0]
		return cmp.Or(res.Code, "refused"), cmp.Or(res.Message, "the adapter refuses it"), id, nil
	}
	if !pixel.Fields.Open(l.spec.Name) {
		refused, undecided := pixel.Fields.Sift(l.spec.Name, fields.Paths(fields.Request{URL: x.URL, Type: x.RequestHeader.Get("Content-Type"), Body: x.RequestBody, At: x.At}))
		switch {
		case len(refused) > 0:
			return fields.CodeRefused, fields.RefusedMessage(l.spec.Title, refused), id, nil
		case len(undecided) > 0:
			return "field_hold", "it would wait for approval of what " + l.spec.Title + " was never told: " + strings.Join(undecided, ", "), id, nil
		}
	}
	return "", "", id, nil
}
