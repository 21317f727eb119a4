package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// Ask asks a partner what became of an earlier request, by its id; deliveries are
// those that were accepted then.
func (s *Sender) Ask(ctx context.Context, d partner.Deferred, a Account, requestID string, deliveries []event.Delivery) (x Exchange, err error) {
	x.At = s.now()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the adapter of %s panicked: %s", s.spec.Name, describe(p))
		}
	}()
	for try := range 2 {
		var token string
		b := a.Batch(s.now())
		if partner.NeedsToken(s.adapter, b) {
			token, err = s.tokens.get(ctx, a)
			var gone *Disconnected
			if errors.As(err, &gone) {
				x.Receipt.Pause = gone.Reason
				return x, nil
			}
			if err != nil {
				return x, err
			}
		}
		b.Token = token
		var req *http.Request
		if req, err = d.Ask(ctx, b, requestID); err != nil {
			return x, nil
		}
		if x, err = s.heard(ctx, d, req, a, token, deliveries); err != nil || !x.Receipt.NewToken || try > 0 {
			return x, err
		}
		s.tokens.drop(ctx, a, token)
	}
	return x, nil
}

func (s *Sender) heard(ctx context.Context, d partner.Deferred, req *http.Request, a Account, token string, deliveries []event.Delivery) (Exchange, error) {
	x, m := Exchange{At: s.now()}, newMask(a.Credentials, token)
	body, err := s.prepare(req, token)
	if err != nil {
		return x, nil
	}
	x.Method, x.URL, x.RequestHeader, x.Payload = req.Method, m.text(req.URL.Redacted()), m.header(req.Header), digest(body)
	start := s.now()
	answer, err := s.exchange(ctx, req)
	if x.Latency = s.now().Sub(start); err != nil {
		return x, bare(err)
	}
	answer.Now, answer.Settings = s.now(), a.Settings
	x.Status, x.AnswerHeader, x.Answer = answer.Status, m.header(answer.Header), m.bytes(answer.Body)
	x.Receipt = d.Hear(answer, deliveries)
	for i, r := range x.Receipt.Results {
		x.Receipt.Results[i].Message = m.text(r.Message)
	}
	if answer.Status >= 500 || answer.Status == http.StatusRequestTimeout {
		return x, fmt.Errorf("the partner answered HTTP %d", answer.Status)
	}
	return x, nil
}
