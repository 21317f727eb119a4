package delivery

import (
	"context"
	"maps"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// Rehearse makes the request for one delivery and does not send it. Credentials
// that are missing are stood in for.
func (s *Sender) Rehearse(ctx context.Context, a Account, d event.Delivery) (x Exchange) {
	x.At = s.now()
	refuse := func(code, message string) {
		x.Method, x.Receipt.Results = "", []partner.Result{*partner.Refuse(d, event.Rejected, code, message)}
	}
	defer func() {
		if p := recover(); p != nil {
			refuse("adapter_panic", "a fault of ours: the adapter panicked: "+describe(p))
		}
	}()
	secrets := a.Credentials
	a.Credentials = maps.Clone(secrets)
	if a.Credentials == nil {
		a.Credentials = map[string]string{}
	}
	for _, c := range s.spec.Credentials {
		if a.Credentials[c.Name] == "" && !c.Optional {
			a.Credentials[c.Name] = "dry-run"
		}
	}
	b := a.Batch(x.At)
	b.Token, b.Deliveries, b.Test = "dry-run", []event.Delivery{d}, a.Test
	req, refused, err := s.adapter.Encode(ctx, b)
	m := newMask(secrets, "")
	switch {
	case err != nil:
		refuse("encode_failed", m.text(err.Error()))
		return x
	case req == nil:
		if x.Receipt.Results = complete(refused, b.Deliveries); len(refused) == 0 {
			refuse("encode_failed", "the adapter made no request and gave no reason")
		}
		return x
	}
	body, err := s.prepare(req, "")
	if err != nil {
		refuse("encode_failed", m.text(err.Error()))
		return x
	}
	x.Method, x.URL = req.Method, m.text(req.URL.Redacted())
	x.RequestHeader, x.RequestBody, x.Payload = m.header(req.Header), m.bytes(body), digest(body)
	return x
}
