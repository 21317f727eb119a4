package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// The tour leads through the product in two minutes, in the order in which an event goes
// through it. What a step asks for is looked up, so that it ticks itself.

// tourStep is one stop.
type tourStep struct {
	Title, Text string
	Link, Do    string
	Done        bool
	Now         bool // the first that is not done
}

type tourData struct {
	Steps []tourStep
	Done  int
}

func (a *Admin) tourPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	steps, err := a.tour(ctx, me(c))
	if err != nil {
		return err
	}
	d := tourData{Steps: steps}
	open := true
	for i := range steps {
		if steps[i].Done {
			d.Done++
		} else if open {
			steps[i].Now, open = true, false
		}
	}
	return a.show(c, http.StatusOK, "tour", view{Title: "A tour in two minutes", Nav: "tour", Data: d})
}

func (a *Admin) tour(ctx context.Context, who principal) ([]tourStep, error) {
	newest := func(f analytics.EventFilter) (event.Event, bool, error) {
		f.Limit = 1
		page, err := a.o.Events.Events(ctx, f)
		if err != nil || len(page.Events) == 0 {
			return event.Event{}, false, err
		}
		return page.Events[0], true, nil
	}
	pixels := a.pixels(ctx)
	first, came, err := newest(analytics.EventFilter{})
	if err != nil {
		return nil, err
	}
	// Of each pixel and partner, since so the stores find them at once.
	bought, sold := event.Event{}, false
	for _, p := range pixels {
		e, ok, err := newest(analytics.EventFilter{PixelID: p.ID, Name: "purchase"})
		if err != nil {
			return nil, err
		}
		if ok && (!sold || e.ReceivedAt.After(bought.ReceivedAt)) {
			bought, sold = e, true
		}
	}
	taken := false
	for _, name := range a.partners.order {
		page, err := a.o.Events.Syncs(ctx, analytics.SyncFilter{Partner: name, Outcome: event.Accepted, Limit: 1})
		if err != nil {
			return nil, err
		}
		if taken = len(page.Syncs) > 0; taken {
			break
		}
	}
	steps := []tourStep{{
		Title: "A pixel stands for one site", Text: "It holds the tag to paste, where consent comes from, and the routes to partners. The demo brings one.",
		Link: "/pixels", Do: "Look at the pixels", Done: len(pixels) > 0,
	}}
	if len(pixels) == 0 && who.CanEdit() {
		steps[0].Link, steps[0].Do = "/pixels/new", "Make one"
	}
	check := "/pixels"
	if len(pixels) > 0 {
		check = "/pixels/" + cmp.Or(first.PixelID, pixels[0].ID) + "/check"
	}
	story := "/events"
	if sold {
		story = "/events/" + url.PathEscape(bought.ID) + asQuery("pixel_id", bought.PixelID)
	}
	return append(steps,
		tourStep{
			Title: "Open the shop, and answer its banner", Text: "In another tab: the demo prints the shop's address where it was started. Nothing leaves the page before the answer; the check says whether the first event came and what is missing.",
			Link: check, Do: "Check the installation", Done: came,
		},
		tourStep{
			Title: "Watch events come in", Text: "Click through the shop and see each event within a second, with what consent allows and what partners said. Space for a look: it can be paused.",
			Link: "/live", Do: "Watch live", Done: came,
		},
		tourStep{
			Title: "Buy something, and read its story", Text: "One event from the page to the partners: the consent decision with its rule, who it is, what it is owed to, and each partner's answer.",
			Link: story, Do: "Read the newest purchase", Done: sold,
		},
		tourStep{
			Title: "See the partners take it", Text: "Each can be on, on hold or off. Hold The Trade Desk, buy again: the event waits. Switch it on: the event goes.",
			Link: "/partners", Do: "Look at the partners", Done: taken,
		},
		tourStep{
			Title: "What is it worth?", Text: "The overview has money, consent and what needs attention in sentences; attribution says what the sale is owed to, by eight models side by side.",
			Link: "/attribution", Do: "Compare the models", Done: sold,
		},
		tourStep{
			Title: "Nothing is lost", Text: "The books count everything where it happens and compare; what a partner refuses lies among the dead letters, to be mended and replayed.",
			Link: "/ledger", Do: "Open the books", Done: came,
		},
	), nil
}
