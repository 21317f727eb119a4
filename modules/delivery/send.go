package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/timeout"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

const defaultTimeout = 15 * time.Second

// Last has the last word on what goes: what may have changed while a token was got or
// an earlier request was under way, it looks up again.
type Last func(context.Context, []event.Delivery) []event.Delivery

// Sender sends to one partner. It is safe for concurrent use.
type Sender struct {
	adapter partner.Adapter
	spec    partner.Spec
	client  *http.Client
	tokens  tokens
	now     func() time.Time
	limit   failsafe.Executor[partner.Answer]

	// Renewed, where it is set before the first request, is told of each access
	// token that was asked for: when it ends, or why there is none.
	Renewed func(ends time.Time, err error)
	// Left, where it is set before the first request, is told of each request with
	// deliveries that left, whatever came of it, and of those in it in their order.
	Left func(x Exchange, in []event.Delivery)
}

// New returns a sender for one partner. Client comes from NewClient, vault shares
// tokens with other replicas (nil: none does), and now is time.Now but in tests.
func New(a partner.Adapter, client *http.Client, vault *Vault, now func() time.Time) *Sender {
	spec := a.Spec()
	d := spec.Limits.Timeout
	if d <= 0 {
		d = defaultTimeout
	}
	s := &Sender{
		adapter: a, spec: spec, client: client, now: now,
		tokens: tokens{adapter: a, spec: spec, client: client, vault: vault, now: now},
		limit:  failsafe.With(timeout.New[partner.Answer](d)),
	}
	s.tokens.renewed = func(ends time.Time, err error) {
		if s.Renewed != nil {
			s.Renewed(ends, err)
		}
	}
	return s
}

// Close gives up the connections that are kept.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Send makes one request of deliveries of one group and sends it; where the
// partner refuses the token, twice. Every delivery has a result in the Receipt.
// The error says that the partner could not be reached, failed to answer, or
// answered that it is out of order: what counts against a breaker. Everything
// else is in the Receipt.
//
// Last is asked before each request, when there is nothing left to wait for: it
// returns the deliveries that may still go, perhaps changed. Those it leaves out are
// the caller's, and have no result. Nil: all may.
func (s *Sender) Send(ctx context.Context, a Account, deliveries []event.Delivery, last Last) (x Exchange, err error) {
	x.At = s.now()
	// An adapter's bug must cost its own lane only.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the adapter of %s panicked: %s", s.spec.Name, describe(p))
			x.Receipt = partner.Receipt{Results: partner.All(deliveries, event.Retry, "adapter_panic", "a fault of ours: "+err.Error())}
		}
	}()
	b := a.Batch(x.At)
	b.Deliveries = deliveries
	if missing := a.missing(s.adapter, s.spec, b); missing != "" {
		x.Receipt = paused(deliveries, "credentials_missing", missing)
		return x, nil
	}
	x, err = s.authorised(ctx, a, deliveries, last)
	if !x.Receipt.NewToken || !x.authorised {
		return x, err
	}
	// Once more with a fresh token, and only what the first request left open.
	first := x.Receipt.Results
	open := make(map[string]bool, len(first))
	for _, r := range first {
		open[r.EventID] = r.Outcome == event.Retry
	}
	again := make([]event.Delivery, 0, len(deliveries))
	for _, d := range deliveries {
		if open[d.Event.ID] {
			again = append(again, d)
		}
	}
	x, err = s.authorised(ctx, a, again, last)
	if x.Receipt.NewToken {
		x.Receipt.NewToken = false
		x.Receipt.Pause = "the partner refused a fresh access token (HTTP 401): check the credentials and the account's rights"
	}
	for _, r := range first {
		if !open[r.EventID] {
			x.Receipt.Results = append(x.Receipt.Results, r)
		}
	}
	return x, err
}

// authorised makes one request with a token, where the partner wants one. A
// token that it refuses is forgotten.
func (s *Sender) authorised(ctx context.Context, a Account, deliveries []event.Delivery, last Last) (Exchange, error) {
	b := a.Batch(s.now())
	b.Deliveries = deliveries
	if !partner.NeedsToken(s.adapter, b) {
		return s.once(ctx, a, "", deliveries, last)
	}
	token, err := s.tokens.get(ctx, a)
	var gone *Disconnected
	if errors.As(err, &gone) {
		return Exchange{At: s.now(), Receipt: paused(deliveries, "disconnected", gone.Reason)}, nil
	}
	if err != nil {
		return Exchange{At: s.now(), Receipt: partner.Receipt{Results: partner.All(deliveries, event.Retry, "no_token", err.Error())}}, err
	}
	x, err := s.once(ctx, a, token, deliveries, last)
	if x.authorised = true; x.Receipt.NewToken {
		s.tokens.drop(ctx, a, token)
	}
	return x, err
}

// once makes, sends and reads one request.
func (s *Sender) once(ctx context.Context, a Account, token string, deliveries []event.Delivery, last Last) (Exchange, error) {
	x := Exchange{At: s.now()}
	if last != nil {
		if deliveries = last(ctx, deliveries); len(deliveries) == 0 {
			return x, nil
		}
	}
	m := newMask(a.Credentials, token)
	b := a.Batch(x.At)
	b.Token, b.Deliveries, b.Test = token, deliveries, a.Test
	req, refused, err := s.adapter.Encode(ctx, b)
	if err != nil {
		// The same events would fail again in the same way.
		x.Receipt.Results = partner.All(deliveries, event.Rejected, "encode_failed", m.text(err.Error()))
		return x, nil
	}
	x.Refused = make(map[string]bool, len(refused))
	for _, r := range refused {
		x.Refused[r.EventID] = true
	}
	rest := without(deliveries, x.Refused)
	if req == nil {
		x.Receipt.Results = complete(refused, deliveries)
		return x, nil
	}
	body, err := s.prepare(req, token)
	if err != nil {
		x.Receipt.Results = partner.All(deliveries, event.Rejected, "encode_failed", m.text(err.Error()))
		return x, nil
	}
	x.Method, x.URL = req.Method, m.text(req.URL.Redacted())
	x.RequestHeader, x.RequestBody, x.Payload = m.header(req.Header), m.bytes(body), digest(body)

	if max := partner.LimitsIn(s.adapter, b).Bytes; max > 0 && len(body) > max {
		x.TooLargeToSend = true
		x.Receipt = partner.Receipt{Halve: len(rest) > 1, Results: partner.All(rest, event.Rejected, "too_large", "larger than the partner's limit of a request")}
		x.Receipt.Results = append(x.Receipt.Results, refused...)
		return x, nil
	}

	start := s.now()
	var left atomic.Bool
	answer, err := s.exchange(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { left.Store(true) }}), req)
	x.Latency = s.now().Sub(start)
	if s.Left != nil && (err == nil || left.Load()) {
		s.Left(x, rest)
	}
	if err != nil {
		err = bare(err)
		x.Unsure = left.Load()
		code, message := unreachable(err, x.Unsure)
		x.Receipt.Results = append(partner.All(rest, event.Retry, code, m.text(message)), refused...)
		return x, fmt.Errorf("%s: %w", code, err)
	}
	answer.Now, answer.Settings = s.now(), a.Settings
	x.Status, x.AnswerHeader, x.Answer = answer.Status, m.header(answer.Header), m.bytes(answer.Body)

	if answer.Status >= 300 && answer.Status < 400 {
		reason := fmt.Sprintf("the endpoint redirects elsewhere (HTTP %d), where events are not sent: check the endpoint", answer.Status)
		x.Receipt = paused(rest, "redirected", reason)
	} else {
		x.Receipt = s.adapter.Decode(answer, rest)
	}
	for i, r := range x.Receipt.Results {
		x.Receipt.Results[i].Message = m.text(r.Message)
	}
	x.Receipt.Results = complete(append(x.Receipt.Results, refused...), deliveries)
	if answer.Status >= 500 || answer.Status == http.StatusRequestTimeout {
		return x, fmt.Errorf("the partner answered HTTP %d", answer.Status)
	}
	return x, nil
}

// prepare reads the request's body, so that it can be hashed, shown and sent
// again, and adds what all requests have in common.
func (s *Sender) prepare(req *http.Request, token string) ([]byte, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, fmt.Errorf("read the request that was made: %w", err)
		}
		req.Body.Close()
		req.Body = io.NopCloser(bytes.NewReader(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.ContentLength = int64(len(body))
	}
	if token != "" && req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "pixel")
	}
	return body, nil
}

// exchange sends a request and reads the answer, within the partner's time.
func (s *Sender) exchange(ctx context.Context, req *http.Request) (partner.Answer, error) {
	return s.limit.WithContext(ctx).GetWithExecution(func(exec failsafe.Execution[partner.Answer]) (partner.Answer, error) {
		resp, err := s.client.Do(req.WithContext(exec.Context()))
		if err != nil {
			return partner.Answer{}, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < 500 {
			return partner.Answer{}, fmt.Errorf("the answer broke off: %w", err)
		}
		return partner.Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
	})
}

// unreachable names a failure to get an answer.
func unreachable(err error, left bool) (code, message string) {
	switch {
	case (errors.Is(err, timeout.ErrExceeded) || errors.Is(err, context.DeadlineExceeded)) && !left:
		return "timeout", "no connection came about in time"
	case errors.Is(err, timeout.ErrExceeded) || errors.Is(err, context.DeadlineExceeded):
		return "timeout", "the partner did not answer in time; it may have taken the events all the same"
	case errors.Is(err, context.Canceled):
		return "stopped", "stopped while the request was under way"
	}
	return "unreachable", "no answer: " + err.Error()
}

// bare takes the URL out of a client's error, since a query may hold a secret.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// describe says what a panic or an error was without the data in it.
func describe(p any) string {
	if err, ok := p.(error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func paused(deliveries []event.Delivery, code, reason string) partner.Receipt {
	return partner.Receipt{Pause: reason, Results: partner.All(deliveries, event.Retry, code, reason)}
}

// without returns the deliveries that are not left out.
func without(deliveries []event.Delivery, out map[string]bool) []event.Delivery {
	if len(out) == 0 {
		return deliveries
	}
	rest := make([]event.Delivery, 0, len(deliveries))
	for _, d := range deliveries {
		if !out[d.Event.ID] {
			rest = append(rest, d)
		}
	}
	return rest
}

// complete leaves one result for each delivery: what an adapter did not mention
// is tried again, and what it made up is dropped.
func complete(results []partner.Result, deliveries []event.Delivery) []partner.Result {
	by := make(map[string]partner.Result, len(results))
	for _, r := range results {
		by[r.EventID] = r
	}
	out := make([]partner.Result, len(deliveries))
	for i, d := range deliveries {
		r, ok := by[d.Event.ID]
		if !ok {
			r = partner.Result{EventID: d.Event.ID, Outcome: event.Retry, Code: "unnamed", Message: "the answer does not say what became of it"}
		}
		out[i] = r
	}
	return out
}
