package admin

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/routes"
	"github.com/miq/pixel/modules/settings"
)

type routeData struct {
	Pixel    settings.Pixel
	Route    settings.Route
	N        int // -1: a new one
	Partners []partnerChoice
	Title    string
	About    string
	Fields   []field
	Ways     []way
	Names    []string // of events, to choose from
	Accounts []string // of the partner, beside its own credentials
	Errors   map[string]string
	Map      string // as lines
	Sample   string // as it was typed, or is set
	Askable  []routes.Variable
	Tried    *tried
}

type partnerChoice struct{ Name, Title, About string }

// standardEvents are offered first; any other name may be typed.
var standardEvents = []string{"purchase", "generate_lead", "sign_up", "add_to_cart", "begin_checkout", "view_item", "page_view", "search"}

func (a *Admin) routeView(c *echo.Context, status int, d routeData) error {
	for _, s := range a.partners.built() {
		d.Partners = append(d.Partners, partnerChoice{s.Name, s.Title, s.About})
	}
	title := "New route"
	if d.Route.Partner != "" {
		spec := a.partners.specs[d.Route.Partner]
		d.Title, d.About, d.Names = spec.Title, spec.About, slices.Clone(standardEvents)
		f := a.forms.params[d.Route.Partner]
		if d.Fields == nil {
			d.Fields = f.filled(d.Route.Params)
		}
		d.Ways, d.Askable = f.ways, askable()
		if d.Map == "" {
			d.Map = writeMap(&d.Route.Map)
		}
		if d.Sample == "" && d.Route.Sample != 0 {
			d.Sample = strconv.FormatFloat(d.Route.Sample, 'f', -1, 64)
		}
		title = "Route to " + d.Title
		d.Accounts = a.o.Settings.Partner(d.Route.Partner).Names()[1:]
		for _, name := range sortedKeys(spec.EventNames) {
			if !slices.Contains(d.Names, name) {
				d.Names = append(d.Names, name)
			}
		}
	}
	return a.show(c, status, "route", view{Title: title, Nav: "pixels", Data: d})
}

func (a *Admin) newRoutePage(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	name := c.QueryParam("partner")
	if name != "" {
		if _, ok := a.partners.adapters[name]; !ok {
			return errNoPartner
		}
	}
	return a.routeView(c, http.StatusOK, routeData{Pixel: p, N: -1, Route: settings.Route{Partner: name, Event: "purchase", Enabled: true}})
}

func (a *Admin) route(c *echo.Context) (settings.Pixel, int, error) {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return p, 0, err
	}
	n := atoi(param(c, "n"))
	if n < 0 || n >= len(p.Routes) {
		return p, 0, errNoRoute
	}
	if _, ok := a.partners.adapters[p.Routes[n].Partner]; !ok {
		return p, n, errNoPartner
	}
	return p, n, nil
}

func (a *Admin) routePage(c *echo.Context) error {
	p, n, err := a.route(c)
	if err != nil {
		return err
	}
	return a.routeView(c, http.StatusOK, routeData{Pixel: p, N: n, Route: p.Routes[n]})
}

func (a *Admin) saveRouteForm(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	posted, err := c.FormValues()
	if err != nil {
		return err
	}
	r := settings.Route{Partner: posted.Get("partner"), Event: strings.TrimSpace(posted.Get("event")), Account: posted.Get("account"), Dry: posted.Get("dry") == "true"}
	r.Set(settings.Mode(posted.Get("mode")))
	form, ok := a.forms.params[r.Partner]
	if !ok {
		return errNoPartner
	}
	// A check says all that is wrong at once, and saves nothing.
	check := posted.Get("check") != ""
	wrong := readRules(posted, &r)
	d := routeData{Pixel: p, N: atoi(posted.Get("n")), Route: r, Map: posted.Get("map"), Sample: posted.Get("sample"), Errors: map[string]string{}}
	if d.N >= len(p.Routes) {
		return errNoRoute
	}
	r.Params, d.Fields, err = form.read(posted, "params")
	d.Route = r
	bad, ok := fieldErrors(err)
	if err != nil && !ok {
		return err
	}
	// What belongs to no single field stands above the form.
	if said := beyond(bad, d.Fields, "params"); said != "" {
		d.Errors["params"] = said
	}
	if bad, ok := fieldErrors(wrong); wrong != nil && ok {
		maps.Copy(d.Errors, bad)
	}
	if bad := a.expressions.Check(r); len(bad) > 0 {
		said, _ := fieldErrors(settings.Invalid(bad))
		maps.Copy(d.Errors, said)
		gatherMap(d.Errors)
	}
	if check {
		return a.routeView(c, http.StatusOK, d)
	}
	if d.Invalid() {
		return a.routeView(c, http.StatusUnprocessableEntity, d)
	}
	if posted.Get("try") != "" || posted.Get("rehearse") != "" {
		if posted.Get("rehearse") != "" {
			return a.rehearseRoute(c, d)
		}
		result, err := a.try(c.Request().Context(), p, r)
		if err != nil {
			return err
		}
		d.Tried = &result
		return a.routeView(c, http.StatusOK, d)
	}
	at := d.N
	if at < 0 {
		p.Routes = append(p.Routes, r)
		at = len(p.Routes) - 1
	} else {
		p.Routes[at] = r
	}
	p.Revision = revision(c)
	if _, err := a.changePixel(c.Request().Context(), me(c), "pixel.routes", p); err != nil {
		bad, ok := fieldErrors(err)
		if !ok {
			return err
		}
		d.refuse(bad, "routes/"+strconv.Itoa(at)+"/")
		return a.routeView(c, http.StatusUnprocessableEntity, d)
	}
	return a.done(c, "/pixels/"+p.ID+"#routes", "The route is saved. It takes effect in about a second.")
}

// refuse puts what is wrong with the pixel as it would be beside the form's fields, and
// above it what has none there.
func (d *routeData) refuse(bad map[string]string, prefix string) {
	said := map[string]string{}
	var others []string
	for _, key := range sortedKeys(bad) {
		field := strings.TrimPrefix(key, prefix)
		at, _, _ := strings.Cut(field, "/")
		switch {
		case field == "" || !slices.Contains([]string{"event", "account", "params", "when", "sample", "map", "dedupe"}, at):
			others = append(others, strings.TrimSpace(key+" "+bad[key]))
		case field != at && at == "params":
			said[at] = strings.TrimPrefix(field, "params/") + " " + bad[key]
		default:
			said[field] = bad[key]
		}
	}
	gatherMap(said)
	maps.Copy(d.Errors, said)
	if len(others) > 0 {
		d.Errors[""] = strings.Join(others, "; ")
	}
}

// rehearseRoute starts a rehearsal of the pixel with a route as it stands in the form,
// over the last day.
func (a *Admin) rehearseRoute(c *echo.Context, d routeData) error {
	all := slices.Clone(d.Pixel.Routes)
	if d.N < 0 {
		all = append(all, d.Route)
	} else {
		all[d.N] = d.Route
	}
	change, err := json.Marshal(map[string]any{"routes": all})
	if err != nil {
		return err
	}
	job, err := a.startRehearsal(c.Request().Context(), me(c), rehearsalBody{PixelID: d.Pixel.ID, Since: a.now().Add(-24 * time.Hour), Until: a.now(), Change: change})
	if bad, ok := fieldErrors(err); err != nil && ok {
		at := d.N
		if at < 0 {
			at = len(d.Pixel.Routes)
		}
		d.refuse(bad, "routes/"+strconv.Itoa(at)+"/")
		return a.routeView(c, http.StatusUnprocessableEntity, d)
	}
	if err != nil {
		return err
	}
	return a.done(c, "/backfills/"+job.ID, "The route is rehearsed on the last day's events, and not saved. Go back to the form to publish it.")
}

// Invalid reports whether anything in the form is wrong.
func (d routeData) Invalid() bool {
	return len(d.Errors) > 0 || slices.ContainsFunc(d.Fields, func(f field) bool { return f.Error != "" })
}

func (a *Admin) switchRouteForm(c *echo.Context) error {
	p, n, err := a.route(c)
	if err != nil {
		return err
	}
	p.Routes[n].Set(settings.Mode(c.FormValue("mode")))
	p.Revision = revision(c)
	if _, err := a.changePixel(c.Request().Context(), me(c), "pixel.routes", p); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/pixels/"+p.ID+"#routes")
}

func (a *Admin) deleteRouteForm(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	n := atoi(param(c, "n"))
	if n < 0 || n >= len(p.Routes) {
		return errNoRoute
	}
	p.Routes = slices.Delete(p.Routes, n, n+1)
	p.Revision = revision(c)
	if _, err := a.changePixel(c.Request().Context(), me(c), "pixel.routes", p); err != nil {
		return err
	}
	return a.done(c, "/pixels/"+p.ID+"#routes", "The route is deleted. What is queued already is still delivered.")
}
