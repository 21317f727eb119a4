package collector

import (
	"context"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// withdrawn looks whether what came allows less than is known of its visitor: then it
// is a withdrawal, as good as POST /consent, and holds before the answer is sent. Full
// consent withdraws nothing, so that the usual event does not pay for this. An error
// means that the change is not recorded, and that it must come again: of a withdrawal of
// everything no event is left that could tell the worker. Of less than that the event
// itself does, so that it is taken in while the state is away.
func (c *Collector) withdrawn(ec *echo.Context, b *batch, p *settings.Pixel, env *event.Envelope, change consent.Change) error {
	if change.Verdict.State == event.Full {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ec.Request().Context()), pushTimeout)
	defer cancel()
	ids := [...]string{env.Identity.AnonymousID, cookieID(ec)}
	if ids[0] == ids[1] {
		ids[1] = ""
	}
	change.ID, change.Signals = newIDs(change.At, 1).at(0), env.Consent
	for _, id := range ids {
		if id == "" {
			continue
		}
		change.Visitor = consent.Visitor{PixelID: p.ID, ID: id}
		if b.told[change.Visitor] == change.Verdict {
			continue // by another message of this request
		}
		receipts, revoked, err := c.book.Withdraw(ctx, change)
		switch {
		case err == nil:
		case change.Verdict.State.Allows(event.Partial) && id == env.Identity.AnonymousID:
			c.log.WarnContext(ctx, "a change of consent is left to the worker to record", "error", err)
			continue
		default:
			return c.notRecorded(ctx, err)
		}
		task := consent.Task{Receipts: receipts}
		if revoked {
			task.Forget = change.Visitor
		}
		if err := c.followUp(ctx, task); err != nil {
			return err
		}
		if b.told == nil {
			b.told = map[consent.Visitor]event.Verdict{}
		}
		b.told[change.Visitor] = change.Verdict
	}
	return nil
}

// followUp leaves to the worker what a change of consent has to be followed by.
func (c *Collector) followUp(ctx context.Context, t consent.Task) error {
	if len(t.Receipts) == 0 && t.Forget.ID == "" {
		return nil
	}
	body, err := t.Encode()
	if err != nil {
		return err
	}
	return c.push(ctx, []queue.Item{{Queue: queue.Consent, Body: body}}, true)
}

// settle brings the browser's cookie in line with what was decided.
func (c *Collector) settle(ec *echo.Context, v event.Verdict, id string) {
	if v.State.Allows(event.Partial) {
		c.keepCookie(ec, v, id)
		return
	}
	dropCookie(ec)
}
