package admin

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/settings"
)

type liveData struct {
	Pixels  []settings.Pixel
	PixelID string
	Name    string
	Consent string
	Stream  string
	Recent  []event.Event
}

func (a *Admin) livePage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := liveData{Pixels: a.pixels(ctx), PixelID: c.QueryParam("pixel_id"), Name: c.QueryParam("name"), Consent: c.QueryParam("consent")}
	f := analytics.EventFilter{PixelID: d.PixelID, Name: d.Name, Limit: 25}
	if d.Consent != string(event.Full) && d.Consent != string(event.Partial) {
		d.Consent = ""
	} else {
		f.Where = []analytics.Condition{{Dimension: "consent", Values: []string{d.Consent}}}
	}
	d.Stream = base + "/events/live" + asQuery("pixel_id", d.PixelID, "name", d.Name, "consent", d.Consent)
	p, err := a.o.Events.Events(ctx, f)
	if err != nil {
		return err
	}
	d.Recent = p.Events
	return a.show(c, http.StatusOK, "live", view{Title: "Live", Nav: "live", Data: d})
}

// asQuery makes the part of an address behind the path, of what is not empty.
func asQuery(pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

type eventsData struct {
	Pixels  []settings.Pixel
	Filter  map[string]string
	Errors  []httpFieldError
	Events  []event.Event
	Next    string // the address of the next page
	First   string // that of the first, where this is another
	Filters bool   // any is set
	File    string // the address of all that is selected as a file, but for the format
	// Find is what is looked for, sealed; Sought is it for people to read.
	Find   string
	Sought sought
	// Searched is how far back a search came that was not done yet; zero: it was.
	Searched time.Time
}

// Fields are those in which something can be typed: what is wrong with any of them stands beside it.
func (eventsData) Fields() []string { return []string{"q", "name", "since"} }

// Wrong is what is wrong with a field; empty: nothing.
func (d eventsData) Wrong(field string) string { return wrongOf(d.Errors, field) }

type httpFieldError struct{ Field, Message string }

// findEventsForm leads from what was looked for to an address that does not say it.
func (a *Admin) findEventsForm(c *echo.Context) error {
	find := c.FormValue("find")
	if words := wanted(c, "q"); words != "" {
		find = a.seal(sought{Words: words})
	}
	return c.Redirect(http.StatusSeeOther, "/events"+asQuery("find", find, "pixel_id", c.FormValue("pixel_id"), "name", strings.TrimSpace(c.FormValue("name")), "since", c.FormValue("since")))
}

// eventsPage answers a search.
func (a *Admin) eventsPage(c *echo.Context) error {
	q := a.query(c)
	f := analytics.EventFilter{
		PixelID: q.text("pixel_id"), Name: q.text("name"), Since: q.time("since"), Until: q.time("until"), Cursor: q.text("cursor"), Limit: 50,
	}
	d := eventsData{Pixels: a.pixels(c.Request().Context()), Filter: map[string]string{}, Find: c.QueryParam("find")}
	var err error
	if d.Sought, err = a.sought(c); err != nil {
		q.fail("find", err.Error())
	}
	d.Sought.narrow(&f)
	for _, name := range []string{"pixel_id", "name", "find", "since", "until"} {
		d.Filter[name] = c.QueryParam(name)
		d.Filters = d.Filters || c.QueryParam(name) != ""
	}
	d.File = base + "/events" + cmp.Or(asQuery("find", d.Find, "pixel_id", f.PixelID, "name", f.Name, "since", c.QueryParam("since"), "until", c.QueryParam("until")), "?")
	for _, p := range q.bad {
		if p.Field == "find" {
			p.Field = "q" // where it is typed
		}
		d.Errors = append(d.Errors, httpFieldError{p.Field, p.Message})
	}
	status := http.StatusOK
	if len(d.Errors) > 0 {
		status = http.StatusBadRequest
	} else {
		ctx, cancel := a.bounded(c)
		defer cancel()
		page, err := a.o.Events.Events(ctx, f)
		if err != nil {
			return err
		}
		d.Events, d.Searched = page.Events, page.Searched
		values := c.QueryParams()
		if values.Get("cursor") != "" {
			first := url.Values{}
			for k, v := range values {
				if k != "cursor" {
					first[k] = v
				}
			}
			d.First = "/events?" + first.Encode()
		}
		if page.Next != "" {
			values.Set("cursor", page.Next)
			d.Next = "/events?" + values.Encode()
		}
	}
	return a.show(c, status, "events", view{Title: "Events", Nav: "events", Data: d})
}

type eventData struct {
	story
	Pixel      settings.Pixel
	Unsent     string // why it went to nobody
	Properties string
	// Summary says in one sentence what became of it at partners.
	Summary string
	// Made is the request to one partner, as it would be made now, where one was asked for.
	Made    *testResult
	MadeFor string
	Curl    string // asks the API for the story
}

func (a *Admin) eventPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	s, err := a.story(ctx, c.QueryParam("pixel_id"), param(c, "id"))
	if err != nil {
		return err
	}
	d := eventData{story: s, Properties: indented(s.Event.Properties)}
	d.Pixel, _ = a.seen(ctx, s.Event.PixelID)
	if len(s.Deliveries) == 0 {
		d.Unsent = a.unsent(s.Event)
	}
	d.Summary = summary(s.Deliveries, d.Unsent)
	d.Curl = `curl -H "Authorization: Bearer $PIXEL_TOKEN" ` + quoted(a.URL()+base+"/events/"+url.PathEscape(s.Event.ID)+asQuery("pixel_id", s.Event.PixelID))
	if name := c.QueryParam("request"); name != "" {
		if _, ok := a.partners.specs[name]; !ok {
			return errNoPartner
		}
		if !me(c).Role.Allows(Marketer) {
			return httpserver.NewProblem(http.StatusForbidden, "forbidden", "a request holds what was sent of the visitor: this needs the role marketer")
		}
		made := a.madeFor(ctx, s.Event, name)
		d.Made, d.MadeFor = &made, name
	}
	return a.show(c, http.StatusOK, "event", view{Title: s.Event.Name, Nav: "events", Data: d})
}

// summary says in one sentence what became of an event at the partners.
func summary(deliveries []outcome, unsent string) string {
	if len(deliveries) == 0 {
		return unsent
	}
	by := map[event.Outcome][]string{}
	for _, d := range deliveries {
		by[d.told()] = append(by[d.told()], d.Title)
	}
	var parts []string
	for _, x := range []struct {
		outcome event.Outcome
		words   string
	}{{event.Accepted, "accepted by"}, {event.Unverified, "taken by, though not yet verified by,"}, {waiting, "on its way to"}, {heldBack, "held back for"}, {event.Retry, "to be tried again at"}, {event.Rejected, "refused by"}, {event.NotSent, "not sent to"}, {event.Dry, "made for, and not sent to,"}} {
		if titles := by[x.outcome]; len(titles) > 0 {
			parts = append(parts, x.words+" "+list(titles))
		}
	}
	text := strings.Join(parts, "; ") + "."
	return strings.ToUpper(text[:1]) + text[1:]
}
