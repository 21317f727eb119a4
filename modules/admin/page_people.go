package admin

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v5"
)

type auditData struct {
	Entries []entryView
	Next    string
}

func (a *Admin) auditPage(c *echo.Context) error {
	list, next, err := a.audit.page(c.Request().Context(), c.QueryParam("cursor"), 50)
	if err != nil {
		return err
	}
	if next != "" {
		next = "/audit" + asQuery("cursor", next)
	}
	shown, err := a.undoable(c.Request().Context(), list)
	if err != nil {
		return err
	}
	return a.show(c, http.StatusOK, "audit", view{Title: "Audit log", Nav: "audit", Data: auditData{shown, next}})
}

type peopleData struct {
	Users  []user
	Tokens []tokenView
	// Refused is the form that was not taken, "user", "token", or whose role it is of,
	// with what was typed into it and what is wrong with that.
	Refused string
	Errors  map[string]string
	typed   url.Values
	// Advertisers are those that pixels name, to choose from; Scopes all there are.
	Advertisers, Scopes []string
	Link                string // made just now, shown once
	For                 string
	Secret              string // of a token made just now, shown once
	Me                  string
}

// Wrong is what is wrong with one of the page's forms, by its fields.
func (d peopleData) Wrong(form string) map[string]string {
	if d.Refused != form {
		return nil
	}
	return d.Errors
}

// Text is what was typed into a field of a form that was not taken.
func (d peopleData) Text(form, field string) string {
	if d.Refused != form {
		return ""
	}
	return d.typed.Get(field)
}

// Chosen is what was ticked in it.
func (d peopleData) Chosen(form, field string) []string {
	if d.Refused != form {
		return nil
	}
	return d.typed[field]
}

type ending struct{ Days, Title string }

// Ends are the times that a token can be given for.
func (peopleData) Ends() []ending {
	return []ending{{"30", "in 30 days"}, {"90", "in 90 days"}, {"365", "in a year"}, {"0", "never"}}
}

func (a *Admin) peopleView(c *echo.Context, status int, d peopleData) error {
	ctx := c.Request().Context()
	var err error
	if d.Users, err = a.people.list(ctx); err != nil {
		return err
	}
	if d.Tokens, err = a.tokens(ctx); err != nil {
		return err
	}
	for _, p := range a.pixels(ctx) {
		d.Advertisers = append(d.Advertisers, p.Advertiser)
	}
	d.Advertisers, d.Scopes = named(d.Advertisers), a.scopes()
	d.Me = me(c).ID
	return a.show(c, status, "people", view{Title: "People and tokens", Nav: "people", Data: d})
}

func (a *Admin) peoplePage(c *echo.Context) error {
	return a.peopleView(c, http.StatusOK, peopleData{})
}

// fieldErrors are what was wrong with a form, by field; false where the error
// is no mistake of whoever filled it in.
func fieldErrors(err error) (map[string]string, bool) {
	p := problem(err)
	if p == nil || p.Status < 400 || p.Status >= 500 || p.Status == http.StatusNotFound {
		return nil, false
	}
	out := map[string]string{}
	for _, f := range p.Errors {
		out[f.Pointer[1:]] = f.Detail
	}
	if len(p.Errors) == 0 {
		out[""] = p.Detail
	}
	return out, true
}

func (a *Admin) addUserForm(c *echo.Context) error {
	form, err := c.FormValues()
	if err != nil {
		return err
	}
	u, err := a.invite(c.Request().Context(), me(c), form.Get("login"), Role(form.Get("role")), form["advertiser"])
	if bad, ok := fieldErrors(err); err != nil && ok {
		if errors.Is(err, errUserTaken) {
			bad = map[string]string{"login": bad[""]}
		}
		return a.peopleView(c, http.StatusUnprocessableEntity, peopleData{Refused: "user", Errors: bad, typed: form})
	}
	if err != nil {
		return err
	}
	return a.peopleView(c, http.StatusOK, peopleData{Link: u.Link, For: u.Login})
}

func (a *Admin) roleForm(c *echo.Context) error {
	form, err := c.FormValues()
	if err != nil {
		return err
	}
	role, advertisers := Role(form.Get("role")), named(form["advertiser"])
	u, err := a.changeUser(c.Request().Context(), me(c), param(c, "id"), userChange{&role, &advertisers})
	if bad, ok := fieldErrors(err); err != nil && ok {
		return a.peopleView(c, http.StatusUnprocessableEntity, peopleData{Refused: param(c, "id"), Errors: bad, typed: form})
	}
	if err != nil {
		return err
	}
	said := u.Login + " is " + string(u.Role) + " now"
	if len(u.Advertisers) > 0 {
		said += " of " + list(u.Advertisers)
	}
	return a.done(c, "/people", said+", and has to sign in again.")
}

func (a *Admin) userLinkForm(c *echo.Context) error {
	ctx := c.Request().Context()
	u, _, ok, err := a.people.users.get(ctx, param(c, "id"))
	if err == nil && !ok {
		err = errNoUser
	}
	if err != nil {
		return err
	}
	if u.Provided() {
		return a.done(c, "/people", "They sign in by the identity provider and have no password here.")
	}
	link, err := a.passwordLink(ctx, u.ID)
	if err != nil {
		return err
	}
	if err := a.audit.note(ctx, me(c), "user.link", u.ID, u.Login); err != nil {
		return err
	}
	return a.peopleView(c, http.StatusOK, peopleData{Link: link, For: u.Login})
}

func (a *Admin) deleteUserForm(c *echo.Context) error {
	if err := a.dismiss(c.Request().Context(), me(c), param(c, "id")); err != nil {
		return err
	}
	return a.done(c, "/people", "The user is gone, with all sessions.")
}

func (a *Admin) addTokenForm(c *echo.Context) error {
	form, err := c.FormValues()
	if err != nil {
		return err
	}
	var expires time.Time
	if days := atoi(form.Get("days")); days > 0 {
		expires = a.now().AddDate(0, 0, days)
	}
	t, err := a.issue(c.Request().Context(), me(c), token{Name: form.Get("name"), Role: Role(form.Get("role")), Advertisers: form["advertiser"], Scopes: form["scope"], ExpiresAt: expires})
	if bad, ok := fieldErrors(err); err != nil && ok {
		return a.peopleView(c, http.StatusUnprocessableEntity, peopleData{Refused: "token", Errors: bad, typed: form})
	}
	if err != nil {
		return err
	}
	return a.peopleView(c, http.StatusOK, peopleData{Secret: t.Token, For: t.Name})
}

func (a *Admin) revokeTokenForm(c *echo.Context) error {
	if err := a.revoke(c.Request().Context(), me(c), param(c, "id")); err != nil {
		return err
	}
	return a.done(c, "/people", "The token no longer works.")
}
