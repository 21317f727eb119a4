package admin

import (
	"net/http"
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
	// Advertisers are those that pixels name, to choose from; Scopes all there are.
	Advertisers, Scopes []string
	Link                string // made just now, shown once
	For                 string
	Secret              string // of a token made just now, shown once
	Errors              map[string]string
	Form                map[string]string
	Me                  string
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
func fieldErrors(err error, prefix string) (map[string]string, bool) {
	p := problem(err)
	if p == nil || p.Status < 400 || p.Status >= 500 || p.Status == http.StatusNotFound {
		return nil, false
	}
	out := map[string]string{}
	for _, f := range p.Errors {
		out[prefix+f.Pointer[1:]] = f.Detail
	}
	if len(p.Errors) == 0 {
		out[prefix] = p.Detail
	}
	return out, true
}

func (a *Admin) addUserForm(c *echo.Context) error {
	form, err := c.FormValues()
	if err != nil {
		return err
	}
	login, role := form.Get("login"), form.Get("role")
	u, err := a.invite(c.Request().Context(), me(c), login, Role(role), form["advertiser"])
	if bad, ok := fieldErrors(err, "user/"); err != nil && ok {
		return a.peopleView(c, http.StatusUnprocessableEntity, peopleData{Errors: bad, Form: map[string]string{"login": login, "role": role}})
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
	if bad, ok := fieldErrors(err, "user/"); err != nil && ok {
		return a.peopleView(c, http.StatusUnprocessableEntity, peopleData{Errors: bad})
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
	name, role := form.Get("name"), form.Get("role")
	var expires time.Time
	if days := atoi(c.FormValue("days")); days > 0 {
		expires = a.now().AddDate(0, 0, days)
	}
	t, err := a.issue(c.Request().Context(), me(c), token{Name: name, Role: Role(role), Advertisers: form["advertiser"], Scopes: form["scope"], ExpiresAt: expires})
	if bad, ok := fieldErrors(err, "token/"); err != nil && ok {
		return a.peopleView(c, http.StatusUnprocessableEntity, peopleData{Errors: bad, Form: map[string]string{"name": name, "token_role": role}})
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
