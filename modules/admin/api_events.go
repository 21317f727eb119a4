package admin

import (
	"net/http"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/deadletters"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
)

func (a *Admin) listEvents(c *echo.Context) error {
	q := a.query(c)
	f := q.events(50)
	format := q.choice("format", "json", formats...)
	find, err := a.unseal(q.c.QueryParam("find"))
	if q.text("find"); err != nil {
		q.fail("find", err.Error())
	}
	find.narrow(&f)
	_, err = f.Check()
	q.invalid("where", err)
	if err := q.err(); err != nil {
		return err
	}
	if format != "json" {
		return a.exportEvents(c, f, format)
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	p, err := a.o.Events.Events(ctx, f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items(p.Events, p.Next))
}

// events reads what a list of events is filtered by.
func (q *query) events(limit int) analytics.EventFilter {
	f := analytics.EventFilter{
		PixelID: q.text("pixel_id"), ID: q.text("id"), Name: q.text("name"), VisitorID: q.text("visitor_id"), ProfileID: q.text("profile_id"), OrderID: q.text("order_id"),
		Query: q.text("q"), Since: q.time("since"), Until: q.time("until"), MinValue: q.amount("min_value"), MaxValue: q.amount("max_value"),
		Partner: q.text("partner"), Outcome: event.Outcome(q.text("outcome")), Cursor: q.text("cursor"), Limit: q.number("limit", 1, 1000, limit),
	}
	if f.Outcome != "" && !slices.Contains(outcomes, f.Outcome) {
		q.fail("outcome", "must be one of accepted, unverified, retry, rejected, not_sent, dry")
	}
	f.Where = q.where(analytics.EventDimensions)
	return f
}

func (a *Admin) getEvent(c *echo.Context) error {
	q := a.query(c)
	pixel := q.text("pixel_id")
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	s, err := a.story(ctx, pixel, param(c, "id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s)
}

var outcomes = []event.Outcome{event.Accepted, event.Unverified, event.Retry, event.Rejected, event.NotSent, event.Dry}

func (a *Admin) listSyncs(c *echo.Context) error {
	q := a.query(c)
	f := analytics.SyncFilter{
		PixelID: q.text("pixel_id"), EventID: q.text("event_id"), OrderID: q.text("order_id"), Partner: q.text("partner"),
		Outcome: event.Outcome(q.text("outcome")), Since: q.time("since"), Until: q.time("until"),
		Cursor: q.text("cursor"), Limit: q.number("limit", 1, 1000, 50),
	}
	if f.Outcome != "" && !slices.Contains(outcomes, f.Outcome) {
		q.fail("outcome", "must be one of accepted, retry, rejected, not_sent")
	}
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	p, err := a.o.Events.Syncs(ctx, f)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items(p.Syncs, p.Next))
}

func (a *Admin) listQueues(c *echo.Context) error {
	if err := a.query(c).err(); err != nil {
		return err
	}
	list, err := a.queueViews(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items(list, ""))
}

// deadView is a dead letter with its body, as JSON where it is some.
type deadView struct {
	queue.DeadLetter `json:",embed"`
	Replayable       bool           `json:"replayable"`
	Body             jsontext.Value `json:"body,omitempty"`
	Text             string         `json:"text,omitempty"`
}

func deadViewOf(d queue.DeadLetter) deadView {
	replayable := d.Origin != "" || deadletters.Mendable(d.Body)
	d.Body = deadletters.Masked(d.Body)
	v := deadView{DeadLetter: d, Replayable: replayable}
	if body := jsontext.Value(d.Body); len(body) > 0 && body.IsValid() {
		v.Body = body
	} else {
		v.Text = text(d.Body)
	}
	return v
}

func (a *Admin) listDead(c *echo.Context) error {
	q := a.query(c)
	cursor, limit := q.text("cursor"), q.number("limit", 1, 1000, 50)
	s := deadletters.Selection{
		Contains: q.text("contains"), PixelID: q.text("pixel_id"), Event: q.text("event"), Since: q.time("since"), Until: q.time("until"),
	}
	if reason := q.text("reason"); reason != "" {
		s.Reason = &reason
	}
	s.All = s.Empty()
	if err := q.err(); err != nil {
		return err
	}
	if err := s.Check(); err != nil {
		return err
	}
	name, err := a.deadQueue(param(c, "queue"))
	if err != nil {
		return err
	}
	letters, next, err := deadletters.Find(c.Request().Context(), a.o.Queues, name, s, cursor, limit)
	if err != nil {
		return err
	}
	out := make([]deadView, len(letters))
	for i, d := range letters {
		out[i] = deadViewOf(d)
	}
	return c.JSON(http.StatusOK, items(out, next))
}

func (a *Admin) replayDead(c *echo.Context) error {
	var s selection
	if err := decode(c, &s); err != nil {
		return err
	}
	m, err := a.replay(c.Request().Context(), me(c), param(c, "queue"), s)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, m)
}

func (a *Admin) dropDead(c *echo.Context) error {
	var s selection
	if err := decode(c, &s); err != nil {
		return err
	}
	m, err := a.drop(c.Request().Context(), me(c), param(c, "queue"), s)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, m)
}
