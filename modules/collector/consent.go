package collector

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
)

// maxConsentBody leaves room for three consent strings.
const maxConsentBody = 64 << 10

type consentChange struct {
	PixelID     string `json:"pixel_id"`
	AnonymousID string `json:"anonymous_id"`
	event.Consent
}

type consentAnswer struct {
	State  event.State `json:"state"`
	Reason string      `json:"reason,omitempty"`
}

// changeConsent answers POST /consent: a visitor's new choice. "none" leaves a
// tombstone, by which events of that visitor that are still in a queue are
// dropped before they are stored or delivered, and takes the cookie back. It is
// taken for a pixel that was switched off too.
func (c *Collector) changeConsent(ec *echo.Context) error {
	cors(ec)
	b, err := c.readBody(ec, maxConsentBody)
	defer c.release(&b)
	if errors.Is(err, errTooLarge) {
		return httpserver.NewProblem(http.StatusRequestEntityTooLarge, "too_large", "a change of consent must be at most 64 KiB")
	}
	if p, _ := c.beyond(ec, err); p != nil {
		return p
	}
	if err != nil {
		return err
	}
	var in consentChange
	if err := json.Unmarshal(b.bytes, &in); err != nil {
		p, f := explain(err)
		c.refuseBody(ec, b.bytes, web, f)
		return p
	}
	p, known := c.pixels.Pixel(in.PixelID)
	if !known {
		return httpserver.NewProblem(http.StatusNotFound, "unknown_pixel", "there is no pixel of this id")
	}
	if _, ok := c.allowed(ec, &p); !ok {
		deny(ec)
		return httpserver.NewProblem(http.StatusForbidden, "origin_not_allowed", "this pixel may not be used on that site")
	}
	if in.AnonymousID == "" {
		in.AnonymousID = cookieID(ec)
	}
	if f := in.check(); f.Code != "" {
		p, _ := explain(f)
		return p
	}
	r := ec.Request()
	now := time.Now().UTC().Truncate(time.Microsecond)
	in.Consent.GPC = in.Consent.GPC || r.Header.Get("Sec-Gpc") == "1"
	verdict := consent.Revoked()
	if in.State != event.None {
		verdict = c.consent.Decide(consent.Request{
			Signals: in.Consent, HeaderGPC: in.Consent.GPC, Country: c.country(r), Now: now,
		}, p.Site())
	}
	change := consent.Change{
		Visitor: consent.Visitor{PixelID: p.ID, ID: in.AnonymousID},
		Verdict: verdict, Signals: in.Consent, At: now, Source: "consent", ID: newIDs(now, 1).at(0),
	}
	// A page that closes does not take its visitor's choice back.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), pushTimeout)
	defer cancel()
	receipts, err := c.book.Decide(ctx, change)
	if err != nil {
		return c.notRecorded(ctx, err)
	}
	task := consent.Task{Receipts: receipts}
	if !verdict.State.Allows(event.Partial) {
		task.Forget = change.Visitor
	}
	if err := c.followUp(ctx, task); err != nil {
		return err
	}
	c.settle(ec, verdict, in.AnonymousID)
	if in.State == event.None {
		return ec.JSON(http.StatusAccepted, consentAnswer{State: event.None})
	}
	return ec.JSON(http.StatusAccepted, consentAnswer{verdict.State, verdict.Reason})
}

func (in *consentChange) check() event.Fault {
	switch in.State {
	case event.None, event.Partial, event.Full:
	default:
		return event.Fault{Pointer: "/state", Code: "invalid_state", Message: "must be none, partial or full"}
	}
	if in.AnonymousID == "" {
		return event.Fault{Pointer: "/anonymous_id", Code: "required", Message: "is required, as there is no cookie"}
	}
	env := event.Envelope{Consent: in.Consent, Identity: event.Identity{AnonymousID: in.AnonymousID}}
	if err := env.Check(); err != nil {
		f, _ := errors.AsType[event.Fault](err)
		return f
	}
	in.Consent, in.AnonymousID = env.Consent, env.Identity.AnonymousID
	return event.Fault{}
}

func (c *Collector) notRecorded(ctx context.Context, err error) error {
	if !errors.Is(err, consent.ErrBusy) {
		c.log.ErrorContext(ctx, "a change of consent could not be recorded", "error", err)
	}
	return &httpserver.Problem{
		Status: http.StatusServiceUnavailable, Code: "not_stored", RetryAfter: retryAfter,
		Detail: "the change could not be recorded; send it again later",
	}
}
