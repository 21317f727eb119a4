package admin

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/deadletters"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// installation is what can be said of a pixel's tag from what lately came of it.
type installation struct {
	// Working is set once an event is stored and nothing that was looked at is wrong.
	Working bool      `json:"working"`
	Since   time.Time `json:"since"`
	Checks  []check   `json:"checks"`
}

// check is one thing that was looked at.
type check struct {
	Name   string `json:"name"` // pixel, event, refused, domain, consent, visitor, cookie, clock, people, partners
	Status string `json:"status"`
	Title  string `json:"title"`
	Text   string `json:"text"`
	// Link is where to do something about it, and Do what.
	Link string `json:"-"`
	Do   string `json:"-"`
}

// Edits reports whether what there is to do changes the pixel, which viewers may not.
func (c check) Edits() bool {
	return slices.Contains([]string{"pixel", "domain", "consent", "visitor"}, c.Name) || strings.HasSuffix(c.Link, "#settings") || strings.HasSuffix(c.Link, "/routes/new")
}

// The statuses of checks.
const (
	good    = "ok"
	wrong   = "bad"
	careful = "warn"
	pending = "waiting"
)

// heard is what came of one pixel since the check began, and all that the checks know.
type heard struct {
	pixel      settings.Pixel
	origin     string        // the collector's, as browsers reach it
	events     []event.Event // the newest first
	refusals   []refusal     // the newest first
	suppressed int           // in this hour
	off        []string      // the partners with routes that are not on
	now        time.Time
}

// refusal is what is kept of what the collector turned away.
type refusal struct {
	Code    string    `json:"code"`
	Message string    `json:"message"`
	Pointer string    `json:"pointer"`
	At      time.Time `json:"received_at"`
}

const (
	checkWindow = 10 * time.Minute // how far back a check looks unless told
	checkEvents = 20               // how many events it looks at
)

// checkInstallation looks at what a pixel's tag did since a moment.
func (a *Admin) checkInstallation(ctx context.Context, p settings.Pixel, origin string, since time.Time) (installation, error) {
	h := heard{pixel: p, origin: origin, now: a.now()}
	found, err := a.o.Events.Events(ctx, analytics.EventFilter{PixelID: p.ID, Since: since, Limit: checkEvents})
	if err != nil {
		return installation{}, err
	}
	h.events = found.Events
	letters, _, err := deadletters.Find(ctx, a.o.Queues, queue.Validation, deadletters.Selection{PixelID: p.ID, Since: since}, "", 100)
	if err != nil {
		return installation{}, err
	}
	for _, l := range letters {
		var r refusal
		if json.Unmarshal(l.Body, &r) == nil && r.Code != "" && !r.At.Before(since) {
			h.refusals = append(h.refusals, r)
		}
	}
	books, err := a.readLedger(ctx, p.ID, since, h.now)
	if err != nil {
		return installation{}, err
	}
	h.suppressed = int(books.Total.Suppressed)
	for _, r := range p.Routes {
		if title := a.partners.title(r.Partner); r.Enabled && a.o.Settings.Partner(r.Partner).Mode != settings.On && !slices.Contains(h.off, title) {
			h.off = append(h.off, title)
		}
	}
	out := installation{Since: since, Checks: h.checks()}
	out.Working = len(h.events) > 0 && !out.Wrong()
	return out, nil
}

type installationData struct {
	installation
	Pixel  settings.Pixel
	Origin string
	// Restart is the address of a check that begins now.
	Restart string
}

// checkSince is from when on a request wants to look.
func (a *Admin) checkSince(c *echo.Context) (time.Time, error) {
	q := a.query(c)
	since := q.time("since")
	if err := q.err(); err != nil {
		return since, err
	}
	if floor := q.now.Add(-24 * time.Hour); since.IsZero() {
		since = q.now.Add(-checkWindow)
	} else if since.Before(floor) {
		since = floor
	}
	return since, nil
}

func (a *Admin) installationPage(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	since, err := a.checkSince(c)
	if err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := installationData{Pixel: p, Origin: a.tag(c, p.ID).Origin}
	d.Restart = "/pixels/" + p.ID + "/check" + asQuery("since", a.now().UTC().Format(time.RFC3339))
	if d.installation, err = a.checkInstallation(ctx, p, d.Origin, since); err != nil {
		return err
	}
	// The page asks the collector from this browser, which is all that its policy adds.
	if u, err := url.Parse(d.Origin); err == nil && !strings.ContainsAny(u.Host, ";, '") {
		c.Response().Header().Set("Content-Security-Policy", policy+"; connect-src 'self' "+u.Scheme+"://"+u.Host)
	}
	return a.show(c, http.StatusOK, "installation", view{Title: "Check the installation", Nav: "pixels", Data: d})
}

func (a *Admin) getInstallation(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	since, err := a.checkSince(c)
	if err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	found, err := a.checkInstallation(ctx, p, a.tag(c, p.ID).Origin, since)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, found)
}

// Wrong reports whether anything that was looked at is.
func (d installation) Wrong() bool {
	return slices.ContainsFunc(d.Checks, func(c check) bool { return c.Status == wrong })
}
