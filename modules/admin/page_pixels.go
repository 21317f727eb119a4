package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// health is what was heard of a pixel lately.
type pixelHealth struct {
	Last    time.Time
	Domains []string
	Day     int  // events in 24 hours
	Consent bool // any signal came
}

// Fresh reports whether the pixel is alive just now.
func (h pixelHealth) Fresh(now time.Time) bool { return now.Sub(h.Last) < 10*time.Minute }

// healthSample is how many of the newest events are looked at.
const healthSample = 50

func (a *Admin) health(ctx context.Context, id string, day int) (pixelHealth, error) {
	h := pixelHealth{Day: day}
	p, err := a.o.Events.Events(ctx, analytics.EventFilter{PixelID: id, Limit: healthSample})
	if err != nil {
		return h, err
	}
	for i, e := range p.Events {
		if i == 0 {
			h.Last = e.ReceivedAt
		}
		h.Consent = h.Consent || signalled(e.Consent)
	}
	h.Domains = hostsOf(p.Events)
	return h, nil
}

// dayCounts are the events of each pixel in 24 hours.
func (a *Admin) dayCounts(ctx context.Context) (map[string]int, error) {
	now := a.now()
	rows, err := a.o.Events.Top(ctx, analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "pixel_id", Since: now.Add(-24 * time.Hour), Until: now.Add(time.Minute), Limit: 1000})
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, r := range rows {
		out[r.Group] = int(r.Value)
	}
	return out, nil
}

type pixelRow struct {
	settings.Pixel
	Health   pixelHealth
	Alive    bool
	Partners []string
}

func (a *Admin) pixelsPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	counts, err := a.dayCounts(ctx)
	if err != nil {
		return err
	}
	var rows []pixelRow
	for _, p := range a.pixels(ctx) {
		r := pixelRow{Pixel: p}
		if r.Health, err = a.health(ctx, p.ID, counts[p.ID]); err != nil {
			return err
		}
		r.Alive = r.Health.Fresh(a.now())
		for _, route := range p.Routes {
			if title := a.partners.title(route.Partner); route.Enabled && !slices.Contains(r.Partners, title) {
				r.Partners = append(r.Partners, title)
			}
		}
		rows = append(rows, r)
	}
	return a.show(c, http.StatusOK, "pixels", view{Title: "Pixels", Nav: "pixels", Data: rows})
}

func (a *Admin) newPixelPage(c *echo.Context) error {
	d := formOf(settings.Pixel{ConsentMode: settings.CMP, Enabled: true})
	return a.show(c, http.StatusOK, "pixel_new", view{Title: "New pixel", Nav: "pixels", Data: d})
}

func (a *Admin) createPixelForm(c *echo.Context) error {
	p, typed, err := pixelFrom(c, settings.Pixel{ID: strings.TrimSpace(c.FormValue("id")), Enabled: true})
	saved := p
	if err == nil {
		saved, err = a.addPixel(c.Request().Context(), me(c), p)
	} else {
		err = a.unsaved(p, err)
	}
	if bad, ok := fieldErrors(err); err != nil && ok {
		if errors.Is(err, errPixelTaken) {
			bad = map[string]string{"id": bad[""]}
		}
		p.Schemas.Own = nil // what was not saved is no version
		return a.show(c, http.StatusUnprocessableEntity, "pixel_new", view{Title: "New pixel", Nav: "pixels", Data: refusedForm(p, typed, bad)})
	}
	if err != nil {
		return err
	}
	return a.done(c, "/pixels/"+saved.ID+"#install", "The pixel is made. Put the tag on the site, then check the installation: it waits for the first event.")
}

type pixelData struct {
	pixelFormData
	Health pixelHealth
	Alive  bool
	Tag    tag
	Routes []routeRow
	// Receipts say on which processes the last change is in force.
	Receipts []receiptView
}

// Applied counts the processes where it is.
func (d pixelData) Applied() int { return applied(d.Receipts) }

type routeRow struct {
	settings.Route
	N      int
	Title  string
	Params []fact
	Off    string // why nothing goes this way although the route is on
}

func (a *Admin) pixelPage(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	return a.pixelView(c, http.StatusOK, formOf(p))
}

func (a *Admin) pixelView(c *echo.Context, status int, form pixelFormData) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := pixelData{pixelFormData: form, Tag: a.tag(c, form.Pixel.ID)}
	counts, err := a.dayCounts(ctx)
	if err != nil {
		return err
	}
	if d.Health, err = a.health(ctx, form.Pixel.ID, counts[form.Pixel.ID]); err != nil {
		return err
	}
	d.Alive = d.Health.Fresh(a.now())
	if stored, ok := a.seen(ctx, form.Pixel.ID); ok {
		if d.Receipts, err = a.inForce(ctx, stored); err != nil {
			return err
		}
	}
	for i, r := range form.Pixel.Routes {
		row := routeRow{Route: r, N: i, Title: a.partners.title(r.Partner)}
		if f := a.forms.params[r.Partner]; f != nil {
			for _, e := range f.filled(r.Params) {
				row.Params = append(row.Params, facts(e.Title, e.Value)...)
			}
		}
		switch a.o.Settings.Partner(r.Partner).Mode {
		case settings.Off:
			row.Off = row.Title + " is switched off"
		case settings.Hold:
			row.Off = row.Title + " is on hold"
		}
		d.Routes = append(d.Routes, row)
	}
	return a.show(c, status, "pixel", view{Title: cmp.Or(form.Pixel.Name, form.Pixel.ID), Nav: "pixels", Data: d})
}

func (a *Admin) updatePixelForm(c *echo.Context) error {
	before, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	p, typed, wrong := pixelFrom(c, before)
	p.Enabled = c.FormValue("enabled") == "true"
	p.Dry = c.FormValue("dry") == "true"
	p.ConsentApproval = c.FormValue("consent_approval") == "true"
	p.Consent.TrustGDPR0 = c.FormValue("trust_gdpr_0") == "true"
	p.Consent.PartialWithoutSignal = c.FormValue("us_partial_without_signal") == "true"
	p.Consent.LimitedUse = c.FormValue("us_limited_use") == "true"
	p.Consent.IgnoreGPCInGDPR = c.FormValue("ignore_gpc_in_gdpr") == "true"
	p.Revision = revision(c)
	if wrong == nil {
		_, err = a.changePixel(c.Request().Context(), me(c), "pixel.update", p)
	} else {
		err = a.unsaved(p, wrong)
	}
	if err != nil {
		if bad, ok := fieldErrors(err); ok {
			if errors.Is(err, state.ErrConflict) {
				bad[""] += ". Load the page again to see what is there now."
			}
			p.Schemas.Own = before.Schemas.Own // what was not saved is no version
			return a.pixelView(c, http.StatusUnprocessableEntity, refusedForm(p, typed, bad))
		}
		return a.pendingForm(c, err)
	}
	return a.done(c, "/pixels/"+p.ID, "Saved. Tags use it within a minute.")
}

func revision(c *echo.Context) int64 {
	n, err := strconv.ParseInt(c.FormValue("revision"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (a *Admin) deletePixelForm(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	if typed := c.FormValue("confirm"); typed != p.ID {
		return a.pixelView(c, http.StatusUnprocessableEntity, refusedForm(p, url.Values{"confirm": {typed}}, map[string]string{"confirm": "must be exactly " + p.ID}))
	}
	if err := a.removePixel(c.Request().Context(), me(c), p.ID); err != nil {
		return a.pendingForm(c, err)
	}
	return a.done(c, "/pixels", "The pixel is deleted. Tags that still name it are answered 404.")
}
