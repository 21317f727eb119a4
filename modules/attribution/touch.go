// Package attribution decides what conversions are owed to: which events are
// touchpoints and conversions, which of a visitor's touchpoints count for which
// conversion, and how models share one conversion among them.
//
// It promises that the same events give the same credits in any order, in any
// batches and however often they are repeated, as long as a visitor stays within
// maxTouches and maxConversions; and that what the shares of one conversion weigh
// adds up to event.Whole, and their money to the conversion's, exactly.
//
// By consent: what is known under full consent counts for every visitor of the same
// person. What came under partial consent, which allows a site to measure its own
// visitors and nobody to link them, counts for that visitor's own conversions alone,
// and a conversion under partial consent is owed to its own visitor's touchpoints
// alone. Nothing is kept of a click id but whose it was.
package attribution

import (
	"encoding/hex"
	"hash/fnv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// visitGap ends a visit: what comes within it after another visit is the same one, as
// a visitor comes back from a payment page or loads the landing page again.
const visitGap = 30 * time.Minute

// maxText bounds the name of a source or a campaign, in bytes.
const maxText = 100

// Touch is a touchpoint as a visitor's history keeps it.
type Touch struct {
	event.Touchpoint
	// Own is set where it may count for this visitor's conversions alone.
	Own bool
}

// Begins is the beginning of the half hour that a touchpoint is named for. What tells of
// the same one by a later page may change what was known of it since then.
func (t *Touch) Begins() time.Time { return t.At.Truncate(visitGap) }

// network is what a click id says of where the click was.
type network struct {
	source, channel, partner string
}

// networks are the click ids of paid clicks, and of social networks, which put theirs
// on every link.
var networks = map[string]network{
	"gclid": {"google", "paid_search", ""}, "gbraid": {"google", "paid_search", ""}, "wbraid": {"google", "paid_search", ""},
	"dclid":   {"google", "display", "dv360"},
	"msclkid": {"bing", "paid_search", ""}, "yclid": {"yandex", "paid_search", ""},
	"ttd_click": {"ttd", "display", "ttd"}, "ttdclid": {"ttd", "display", "ttd"},
	"vmcid": {"yahoo", "display", "yahoo"},
	"aref":  {"amazon", "display", "amazon"}, "maas": {"amazon", "display", "amazon"},
	"ttclid": {"tiktok", "paid_social", ""}, "twclid": {"x", "paid_social", ""}, "sccid": {"snapchat", "paid_social", ""}, "rdt_cid": {"reddit", "paid_social", ""},
	"irclickid": {"impact", "affiliate", ""},
}

// clicked finds the first click id of a query, or else Google's word that there was a
// click of which it may tell no id.
func clicked(query string) (found network, ok bool) {
	for query != "" {
		var part string
		part, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(strings.TrimPrefix(part, "amp;"), "=")
		if value == "" || len(key) < 4 || len(key) > 10 {
			continue
		}
		if n, ok := networks[key]; ok {
			return n, true
		}
		if n, ok := networks[strings.ToLower(key)]; ok {
			return n, true
		}
		if key == "gad_source" {
			found, ok = networks["gclid"], true
		}
	}
	return found, ok
}

// Read returns the touchpoints that an event tells of: the visit or the contact that
// it is part of and, for a conversion, the first and the last arrival that the tag
// remembers.
//
// Of one arrival the strongest evidence counts: a paid click's id before a campaign's
// name, that before the referrer, that before nothing.
func Read(e *event.Event, conversion bool) []Touch {
	var out []Touch
	if t, ok := contact(e); ok {
		out = append(out, t)
	} else if t, ok := visit(e); ok {
		out = append(out, t)
	}
	if conversion {
		for _, m := range [...]*event.Touch{&e.Context.Touch.First, &e.Context.Touch.Last} {
			if t, ok := remembered(e, m); ok {
				out = append(out, t)
			}
		}
	}
	return out
}

// Tells reports whether an event tells of a touchpoint by itself.
func Tells(e *event.Event) bool {
	k := e.Enrichment.Referrer.Kind
	return e.Name == "impression" || e.Name == "click" || e.Context.Page.URL != "" && k != "" && k != "internal"
}

// contact is an advertisement that was seen or clicked.
func contact(e *event.Event) (Touch, bool) {
	kind := event.AdClick
	switch e.Name {
	case "impression":
		kind = event.Impression
	case "click":
	default:
		return Touch{}, false
	}
	p := named(e.Properties)
	c := &e.Enrichment.Campaign
	t := event.Touchpoint{
		Kind: kind, Source: first(p["source"], p["utm_source"], c.Source, p["partner"], p["network"]), Campaign: first(p["campaign"], p["campaign_name"], p["utm_campaign"], p["campaign_id"], c.Name),
		Partner: p["partner"],
	}
	t.Channel = first(p["channel"], medium(first(p["medium"], p["utm_medium"], c.Medium), t.Source), "display")
	return touch(e, t, e.Time), true
}

// visit is an arrival from outside.
func visit(e *event.Event) (Touch, bool) {
	x := &e.Enrichment
	if e.Context.Page.URL == "" || x.Referrer.Kind == "" || x.Referrer.Kind == "internal" {
		return Touch{}, false
	}
	c := &x.Campaign
	_, query, _ := strings.Cut(e.Context.Page.URL, "?")
	query, _, _ = strings.Cut(query, "#")
	t := event.Touchpoint{Source: c.Source, Campaign: first(c.Name, c.ID)}
	n, click := clicked(query)
	switch {
	case click:
		t.Kind, t.Partner = event.AdClick, n.partner
		t.Source, t.Channel = first(c.Source, n.source), n.channel
		// The site's own word on a link says more than whose id is on it, unless it is
		// the word for something else than an advertisement.
		if m := medium(c.Medium, t.Source); paid[m] {
			t.Channel = m
		}
	case c.Source != "" || c.Medium != "" || c.Name != "":
		t.Kind = event.CampaignVisit
		t.Source = first(c.Source, x.Referrer.Name, x.Referrer.Host)
		t.Channel = first(medium(c.Medium, t.Source), byReferrer[x.Referrer.Kind], "other_campaign")
	case x.Referrer.Kind == "direct":
		t.Kind, t.Channel = event.DirectVisit, "direct"
	default:
		t.Kind, t.Source, t.Channel = event.OrganicVisit, first(x.Referrer.Name, x.Referrer.Host), first(byReferrer[x.Referrer.Kind], "referral")
		if paid[t.Channel] {
			t.Kind = event.CampaignVisit // an advertising server sent him
		}
	}
	return touch(e, t, e.Time), true
}

// remembered is an arrival that the tag kept.
func remembered(e *event.Event, m *event.Touch) (Touch, bool) {
	at, err := time.Parse(time.RFC3339, m.Time)
	if err != nil || len(m.Params) == 0 {
		return Touch{}, false
	}
	// The client's clock, set right as the event's was.
	at = at.Add(time.Duration(e.Enrichment.Skew) * time.Millisecond)
	if at.After(e.Time) {
		return Touch{}, false
	}
	t := event.Touchpoint{Source: m.Params["utm_source"], Campaign: first(m.Params["utm_campaign"], m.Params["utm_id"])}
	word := m.Params["utm_medium"]
	var click bool
	for key := range m.Params { // of several the same for every order
		n, ok := networks[strings.ToLower(key)]
		if ok && m.Params[key] != "" && (!click || n.partner > t.Partner || n.partner == t.Partner && n.channel < t.Channel) {
			click, t.Kind, t.Partner, t.Channel = true, event.AdClick, n.partner, n.channel
			t.Source = first(m.Params["utm_source"], n.source)
		}
	}
	switch {
	case click:
		if w := medium(word, t.Source); paid[w] {
			t.Channel = w
		}
	case t.Source == "" && word == "" && t.Campaign == "":
		return Touch{}, false
	default:
		t.Kind, t.Channel = event.CampaignVisit, first(medium(word, t.Source), "other_campaign")
	}
	return touch(e, t, at), true
}

// touch fills in what all kinds have in common. Its id is of what it was and of the
// half hour that it was in, so that each page of one visit tells of the same.
func touch(e *event.Event, t event.Touchpoint, at time.Time) Touch {
	t.Source, t.Campaign, t.Partner, t.Channel = text(strings.ToLower(t.Source)), text(t.Campaign), text(strings.ToLower(t.Partner)), text(strings.ToLower(t.Channel))
	t.PixelID, t.VisitorID, t.EventID, t.At = e.PixelID, e.Subject.VisitorID, e.ID, at.UTC().Truncate(time.Millisecond)
	out := Touch{t, e.Verdict.State != event.Full}
	h := fnv.New128a()
	for _, s := range [...]string{e.Subject.VisitorID, string(t.Kind), t.Channel, t.Source, t.Campaign, t.Partner, out.Begins().Format(time.RFC3339)} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	out.ID = hex.EncodeToString(h.Sum(nil)[:10])
	return out
}

// paid are the channels that somebody pays for by the contact.
var paid = map[string]bool{"paid_search": true, "paid_social": true, "display": true, "video": true, "audio": true, "affiliate": true}

// byReferrer are the channels of visits that no campaign's name came with.
var byReferrer = map[string]string{"search": "organic_search", "social": "organic_social", "mail": "email", "referral": "referral", "paid": "display"}

// social are sources whose paid clicks are no search.
var social = map[string]bool{"facebook": true, "fb": true, "instagram": true, "ig": true, "meta": true, "tiktok": true, "twitter": true, "x": true, "linkedin": true, "pinterest": true, "snapchat": true, "reddit": true}

// medium is the channel that utm_medium names; "" where it names none.
func medium(word, source string) string {
	switch w := strings.ToLower(word); w {
	case "":
		return ""
	case "cpc", "ppc", "sem", "paidsearch", "paid_search", "paid-search", "search_ads", "paid":
		if social[strings.ToLower(source)] {
			return "paid_social"
		}
		return "paid_search"
	case "display", "banner", "cpm", "programmatic", "retargeting", "remarketing", "native", "interstitial":
		return "display"
	case "video", "cpv", "ctv", "ott", "tv", "youtube":
		return "video"
	case "audio", "podcast", "radio":
		return "audio"
	case "affiliate", "affiliates", "cpa", "partner":
		return "affiliate"
	case "email", "e-mail", "e_mail", "mail", "newsletter":
		return "email"
	case "sms", "text", "whatsapp":
		return "sms"
	case "push", "notification", "mobile_push", "web_push":
		return "push"
	case "social", "social-network", "social-media", "social_network", "social_media", "sm":
		return "organic_social"
	case "organic":
		return "organic_search"
	case "referral", "link":
		return "referral"
	default:
		if strings.HasPrefix(w, "paid") {
			return "paid_social" // paidsocial, paid-social, paid_social
		}
		return "other_campaign"
	}
}

// named are the properties of an advertisement that are texts.
func named(properties jsontext.Value) map[string]string {
	var all map[string]jsontext.Value
	if json.Unmarshal(properties, &all, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return nil
	}
	out := map[string]string{}
	for _, key := range [...]string{"source", "utm_source", "campaign", "campaign_name", "utm_campaign", "campaign_id", "partner", "network", "channel", "medium", "utm_medium"} {
		var v string
		if raw, ok := all[key]; ok && len(raw) <= 1024 && json.Unmarshal(raw, &v, jsontext.AllowInvalidUTF8(true)) == nil {
			out[key] = strings.TrimSpace(v)
		}
	}
	return out
}

func first(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

func text(s string) string {
	if len(s) <= maxText {
		return s
	}
	s = s[:maxText]
	for !utf8.ValidString(s) && s != "" {
		s = s[:len(s)-1]
	}
	return s
}
