package backfill

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/enrich"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/settings"
)

// maxFields bounds the differing fields that a report lists, for each partner.
const maxFields = 200

// rehearsing takes events through two configurations.
type rehearsing struct {
	r      *Runner
	job    *Job
	was    settings.Pixel
	will   settings.Pixel
	enrich bool      // what is found out differs too
	clock  time.Time // the senders'
	sends  map[string]*delivery.Sender
	with   map[string]delivery.Account
}

func (r *Runner) rehearsal(job *Job) (worker, error) {
	was, ok := r.d.Settings.Pixel(job.Spec.PixelID)
	if !ok {
		return nil, errors.New("the pixel was removed")
	}
	h := &rehearsing{r: r, job: job, was: was, will: *job.Spec.Change, sends: map[string]*delivery.Sender{}, with: map[string]delivery.Account{}}
	h.enrich = r.d.Enricher != nil && (!reflect.DeepEqual(was.Processing, h.will.Processing) || !slices.Equal(was.Domains, h.will.Domains))
	if job.Report == nil {
		job.Report = &Report{Partners: []PartnerShift{}}
	}
	return h, nil
}

func (h *rehearsing) do(ctx context.Context, events []event.Event) error {
	// By the clock of now consent is asked; by the event's own the requests are made,
	// or all of them would be too old.
	now := h.r.d.Now().UTC()
	page, err := h.r.permit(ctx, events, now, h.job.Progress.skip)
	if err != nil {
		return err
	}
	for _, it := range page {
		h.try(ctx, it, now)
		h.job.Report.Events++
	}
	return nil
}

// try takes one event through both.
func (h *rehearsing) try(ctx context.Context, it Permitted, now time.Time) {
	before, after := it.Event, it.Event
	if h.enrich {
		// From what the event says, by both, so that only the change makes a difference.
		before.Subject.ClickIDs, after.Subject.ClickIDs = clone(before.Subject.ClickIDs), clone(after.Subject.ClickIDs)
		h.enriched(&before, h.was)
		h.enriched(&after, h.will)
	}
	old := h.decide(before, it, h.was, now)
	next := h.decide(after, it, h.will, now)
	for _, name := range partners(old, next) {
		h.compare(ctx, name, h.delivery(old, name, before, h.was, now), h.delivery(next, name, after, h.will, now), old[name], next[name])
	}
}

// enriched finds out again what the event says. What a currency was worth is known from
// then, and so is what the address said (place, network, data centre), if it was asked:
// of it only the network is left, in which nobody can be told from his neighbours.
func (h *rehearsing) enriched(e *event.Event, pixel settings.Pixel) {
	known := e.Enrichment
	h.r.d.Enricher.Enrich(e, enrich.Site{Domains: pixel.Domains, Off: pixel.Processing.Off})
	asked := func(kind string) bool { return pixel.Processing.Does(kind) && h.was.Processing.Does(kind) }
	x := &e.Enrichment
	if asked("geo") {
		asn, who := x.Place.ASN, x.Place.Network
		x.Place = known.Place
		x.Place.ASN, x.Place.Network = asn, who
	}
	if asked("network") {
		x.Place.ASN, x.Place.Network = known.Place.ASN, known.Place.Network
	}
	// Whom his own words gave away then, nobody asked where he came from.
	if found := enrich.OfDatacenter(x.Bot); asked("datacenter") && (found || x.Bot == "") && (known.Bot == "" || enrich.OfDatacenter(known.Bot)) {
		x.Bot, x.Automated = known.Bot, known.Automated
	}
	if asked("currency") {
		x.Value = known.Value
	}
}

func (h *rehearsing) decide(e event.Event, it Permitted, pixel settings.Pixel, now time.Time) map[string]routes.Decision {
	// The signals are read again under what is set in this configuration.
	e.Verdict = h.r.d.Decider.Again(e.Verdict, e.Consent, pixel.Site(), now)
	it.Pixel = pixel
	all := map[string]routes.Decision{}
	for _, d := range routes.Decide(&e, &pixel, h.r.rules(it, now)) {
		all[d.Partner] = d
	}
	return all
}

func (h *rehearsing) delivery(all map[string]routes.Decision, name string, e event.Event, pixel settings.Pixel, now time.Time) *event.Delivery {
	d, ok := all[name]
	if !ok || !d.Send {
		return nil
	}
	out := d.Delivery(&e, pixel.Country, now)
	return &out
}

func clone(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func partners(a, b map[string]routes.Decision) []string {
	var names []string
	for _, m := range []map[string]routes.Decision{a, b} {
		for name := range m {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// compare enters what one event comes to at one partner.
func (h *rehearsing) compare(ctx context.Context, name string, old, next *event.Delivery, wasDecided, isDecided routes.Decision) {
	p := h.shift(name)
	p.Before.decided(wasDecided)
	p.After.decided(isDecided)
	if old != nil && next != nil && equal(old, next) {
		// The same request, whatever it is.
		count(&p.Before, old)
		count(&p.After, next)
		return
	}
	var a, b request
	if old != nil {
		if a = h.request(ctx, *old); a.refused == "" {
			count(&p.Before, old)
		} else {
			p.Before.keep("rejected: " + a.refused)
		}
	}
	if next != nil {
		if b = h.request(ctx, *next); b.refused == "" {
			count(&p.After, next)
		} else {
			p.After.keep("rejected: " + b.refused)
			if a.refused != b.refused {
				if p.Rejections == nil {
					p.Rejections = map[string]int64{}
				}
				p.Rejections[b.refused]++
			}
		}
	}
	if old != nil && next != nil && a.refused == "" && b.refused == "" && p.fields(a, b, old.Event.ID) {
		p.Changed++
	}
}

func equal(a, b *event.Delivery) bool {
	return bytes.Equal(a.Params, b.Params) && a.Permission == b.Permission && a.Account == b.Account && a.Country == b.Country &&
		a.Event.Enrichment == b.Event.Enrichment && reflect.DeepEqual(a.Event.Subject.ClickIDs, b.Event.Subject.ClickIDs) &&
		a.Event.Order.Value == b.Event.Order.Value && a.Event.Verdict == b.Event.Verdict
}

func (h *rehearsing) shift(name string) *PartnerShift {
	list := h.job.Report.Partners
	i, found := slices.BinarySearchFunc(list, name, func(p PartnerShift, name string) int { return cmp.Compare(p.Partner, name) })
	if !found {
		list = slices.Insert(list, i, PartnerShift{Partner: name})
		h.job.Report.Partners = list
	}
	return &list[i]
}

func (s *Side) keep(reason string) {
	if s.Kept == nil {
		s.Kept = map[string]int64{}
	}
	s.Kept[reason]++
}

func (s *Side) decided(d routes.Decision) {
	if d.Partner != "" && !d.Send {
		s.keep(d.Code)
	}
}

func count(s *Side, d *event.Delivery) {
	s.Events++
	v, err := strconv.ParseFloat(string(d.Event.Order.Value), 64)
	if err != nil || v == 0 {
		return
	}
	if s.Value == nil {
		s.Value = map[string]float64{}
	}
	s.Value[cmp.Or(d.Event.Order.Currency, "?")] += v
}

// request is what would be sent.
type request struct {
	refused string // why the adapter would not
	fields  map[string]string
}

func (h *rehearsing) request(ctx context.Context, d event.Delivery) request {
	key := d.Partner + "\x00" + d.Account
	s := h.sends[key]
	if s == nil {
		account, err := h.r.account(d.Partner, d.Account)
		if err != nil {
			return request{refused: "the credentials cannot be read"}
		}
		s = delivery.New(h.r.adapters[d.Partner], delivery.NewClient(1), nil, func() time.Time { return h.clock })
		h.sends[key], h.with[key] = s, account
	}
	h.clock = d.Event.ReceivedAt.Add(time.Minute)
	x := s.Rehearse(ctx, h.with[key], d)
	if x.Method == "" {
		return request{refused: x.Receipt.Results[0].Code}
	}
	f := map[string]string{"(address)": strconv.Quote(x.Method + " " + x.URL)}
	flatten(jsontext.NewDecoder(bytes.NewReader(x.RequestBody), jsontext.AllowDuplicateNames(true)), "", f)
	return request{fields: f}
}

// flatten notes each value of a JSON text under its path; those of a list share one.
func flatten(d *jsontext.Decoder, at string, into map[string]string) {
	switch d.PeekKind() {
	case '{':
		_, _ = d.ReadToken()
		for d.PeekKind() == '"' {
			name, err := d.ReadToken()
			if err != nil {
				return
			}
			next := name.String()
			if at != "" {
				next = at + "." + next
			}
			flatten(d, next, into)
		}
		_, _ = d.ReadToken()
	case '[':
		_, _ = d.ReadToken()
		for k := d.PeekKind(); k != ']' && k != 0; k = d.PeekKind() {
			flatten(d, at+"[]", into)
		}
		_, _ = d.ReadToken()
	default:
		v, err := d.ReadValue()
		if err != nil {
			return
		}
		if was, there := into[at]; there {
			into[at] = was + ", " + string(v)
			return
		}
		into[at] = string(v)
	}
}

// fields enters which fields of two requests differ, and reports whether any does.
func (p *PartnerShift) fields(a, b request, eventID string) bool {
	differs := false
	note := func(path string, change func(*FieldShift), before, after string) {
		differs = true
		i := slices.IndexFunc(p.Fields, func(f FieldShift) bool { return f.Path == path })
		if i < 0 {
			if len(p.Fields) >= maxFields {
				return
			}
			i = len(p.Fields)
			p.Fields = append(p.Fields, FieldShift{Path: path, EventID: eventID, Before: shown(before), After: shown(after)})
		}
		change(&p.Fields[i])
	}
	for path, was := range a.fields {
		switch is, there := b.fields[path]; {
		case !there:
			note(path, func(f *FieldShift) { f.Removed++ }, was, "")
		case is != was:
			note(path, func(f *FieldShift) { f.Changed++ }, was, is)
		}
	}
	for path, is := range b.fields {
		if _, there := a.fields[path]; !there {
			note(path, func(f *FieldShift) { f.Added++ }, "", is)
		}
	}
	slices.SortFunc(p.Fields, func(x, y FieldShift) int { return strings.Compare(x.Path, y.Path) })
	return differs
}

// shown is a value for a report: JSON, not long, and no digest of who it was.
func shown(v string) jsontext.Value {
	if v == "" {
		return nil
	}
	if bare := strings.Trim(v, `"`); len(bare) >= 40 && isHex(bare) {
		return jsontext.Value(`"(a digest)"`)
	}
	if j := jsontext.Value(v); len(v) <= 200 && j.IsValid() {
		return j
	}
	if r := []rune(v); len(r) > 200 {
		v = string(r[:199]) + "…"
	}
	j, err := jsontext.AppendQuote(nil, v)
	if err != nil {
		return nil
	}
	return j
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}
