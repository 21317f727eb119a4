package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

func (a *Admin) partnersPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	list, err := a.partnerViews(ctx)
	if err != nil {
		return err
	}
	return a.show(c, http.StatusOK, "partners", view{Title: "Partners", Nav: "partners", Data: list})
}

type partnerData struct {
	partnerView
	Syncs  []event.Sync
	Fields []field
	Errors map[string]string // by the card: settings, credentials, test; or account, a field
	// Account is a name for one that was typed and refused.
	Account string
	Tests   []testChoice
	// Redirect is what an application that connects accounts has to register.
	Redirect string
	Tried    *testResult
	Routes   int
}

// testChoice is a route that a test event can be sent by.
type testChoice struct{ PixelID, Pixel, Event string }

func (a *Admin) partnerPage(c *echo.Context) error {
	return a.partnerShow(c, http.StatusOK, partnerData{})
}

func (a *Admin) partnerShow(c *echo.Context, status int, d partnerData) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	var err error
	if d.partnerView, err = a.partnerView(ctx, param(c, "name")); err != nil {
		return err
	}
	d.Redirect = a.redirectURI()
	page, err := a.o.Events.Syncs(ctx, analytics.SyncFilter{Partner: d.Name, Limit: 15})
	if err != nil {
		return err
	}
	d.Syncs = page.Syncs
	if d.Fields == nil {
		d.Fields = a.forms.settings[d.Name].filled(d.Settings)
	}
	for _, p := range a.pixels(ctx) {
		for _, r := range p.Routes {
			if r.Partner != d.Name {
				continue
			}
			d.Routes++
			name := r.Event
			if name == "*" {
				name = "purchase"
			}
			t := testChoice{p.ID, p.Name, name}
			if !slices.Contains(d.Tests, t) {
				d.Tests = append(d.Tests, t)
			}
		}
	}
	return a.show(c, status, "partner", view{Title: d.Title, Nav: "partners", Data: d})
}

func (a *Admin) partnerModeForm(c *echo.Context) error {
	name, mode := param(c, "name"), settings.Mode(c.FormValue("mode"))
	if err := a.changePartner(c.Request().Context(), me(c), name, partnerChange{Mode: &mode}); err != nil {
		return err
	}
	said := map[settings.Mode]string{
		settings.On:   " is on. What waits is sent from now on.",
		settings.Hold: " is on hold. Events wait in its queue until you switch it on.",
		settings.Off:  " is off. Events are not sent to it, and never will be.",
	}
	return a.done(c, local(c.FormValue("back")), a.partners.title(name)+said[mode])
}

func (a *Admin) partnerDryForm(c *echo.Context) error {
	name, dry := param(c, "name"), c.FormValue("dry") == "true"
	if err := a.changePartner(c.Request().Context(), me(c), name, partnerChange{Dry: &dry}); err != nil {
		return err
	}
	said := " is sent to again."
	if dry {
		said = " is in a dry run: requests are made and shown in the sync log, and none is sent."
	}
	return a.done(c, "/partners/"+name, a.partners.title(name)+said)
}

func (a *Admin) partnerSettingsForm(c *echo.Context) error {
	name := param(c, "name")
	form, ok := a.forms.settings[name]
	if !ok {
		return errNoPartner
	}
	posted, err := c.FormValues()
	if err != nil {
		return err
	}
	body, fields, err := form.read(posted, "settings")
	if posted.Get("check") != "" { // while it is filled in
		bad, ok := fieldErrors(err)
		if err != nil && !ok {
			return err
		}
		return a.partnerShow(c, http.StatusOK, partnerData{Fields: fields, Errors: map[string]string{"settings": beyond(bad, fields, "settings")}})
	}
	if err == nil {
		// The form shows everything there is, so it replaces everything.
		var all jsontext.Value
		if all, err = nulled(a.o.Settings.Partner(name).Settings, body); err == nil {
			rev := revision(c)
			err = a.changePartner(c.Request().Context(), me(c), name, partnerChange{Settings: all, Revision: &rev})
		}
	}
	if bad, ok := fieldErrors(err); err != nil && ok {
		return a.partnerShow(c, http.StatusUnprocessableEntity, partnerData{Fields: fields, Errors: map[string]string{"settings": beyond(bad, fields, "settings")}})
	}
	if err != nil {
		return err
	}
	return a.done(c, "/partners/"+name, "Settings saved. They take effect in about a second.")
}

func (a *Admin) partnerCredentialsForm(c *echo.Context) error {
	name := param(c, "name")
	posted, err := c.FormValues()
	if err != nil {
		return err
	}
	set := map[string]*string{}
	for _, s := range a.partners.specs[name].Credentials {
		if posted.Get("forget."+s.Name) == "true" {
			set[s.Name] = nil
		} else if v := strings.TrimSpace(posted.Get("c." + s.Name)); v != "" {
			set[s.Name] = &v
		}
	}
	in := partnerChange{Credentials: set}
	account := strings.ToLower(strings.TrimSpace(posted.Get("account")))
	if _, there := a.o.Settings.Partner(name).Accounts[account]; account != "" && !there && len(set) == 0 {
		return a.partnerShow(c, http.StatusUnprocessableEntity, partnerData{Account: posted.Get("account"), Errors: map[string]string{"account": "has no credentials yet: fill in one or more of them"}})
	}
	if account != "" {
		in = partnerChange{Accounts: map[string]map[string]*string{account: set}}
		if posted.Get("remove") == "true" {
			in.Accounts[account] = nil
		}
	}
	err = a.changePartner(c.Request().Context(), me(c), name, in)
	if bad, ok := fieldErrors(err); err != nil && ok {
		// Secrets that were typed are not written back.
		said := beyond(bad, nil, "accounts")
		if _, there := a.o.Settings.Partner(name).Accounts[account]; account != "" && !there {
			said = strings.TrimSpace(strings.TrimPrefix(said, account))
			return a.partnerShow(c, http.StatusUnprocessableEntity, partnerData{Account: posted.Get("account"), Errors: map[string]string{"account": said}})
		}
		return a.partnerShow(c, http.StatusUnprocessableEntity, partnerData{Errors: map[string]string{"credentials": said}})
	}
	if err != nil {
		return err
	}
	if posted.Get("remove") == "true" {
		return a.done(c, "/partners/"+name, "The account "+account+" is removed.")
	}
	return a.done(c, "/partners/"+name, "Credentials saved, encrypted. Nobody can read them here again.")
}

func (a *Admin) partnerTestForm(c *echo.Context) error {
	pixel, name, _ := strings.Cut(c.FormValue("route"), " ")
	result, err := a.sendTest(c.Request().Context(), me(c), param(c, "name"), testInput{PixelID: pixel, Event: name, Dry: c.FormValue("dry") == "true"})
	if bad, ok := fieldErrors(err); err != nil && ok {
		return a.partnerShow(c, http.StatusUnprocessableEntity, partnerData{Errors: map[string]string{"test": beyond(bad, nil, "test")}})
	}
	if err != nil {
		return err
	}
	return a.partnerShow(c, http.StatusOK, partnerData{Tried: &result})
}
