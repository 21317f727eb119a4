package admin

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/settings"
)

type loginData struct {
	Login, Next, Error string
	// Empty is set while there is nobody who could sign in.
	Empty bool
	// SSO is what stands on the button of single sign-on; empty: there is none.
	SSO string
}

func (a *Admin) loginPage(c *echo.Context) error {
	if me(c).known() {
		return c.Redirect(http.StatusSeeOther, local(c.QueryParam("next")))
	}
	there, err := a.people.any(c.Request().Context())
	if err != nil {
		return err
	}
	return a.show(c, http.StatusOK, "login", view{Title: "Sign in", Data: loginData{Next: local(c.QueryParam("next")), Empty: !there, SSO: a.ssoLabel()}})
}

func (a *Admin) login(c *echo.Context) error {
	ctx := c.Request().Context()
	d := loginData{Login: c.FormValue("login"), Next: local(c.FormValue("next")), SSO: a.ssoLabel()}
	refuse := func(status int, result, message string) error {
		a.logins.WithLabelValues(result).Inc()
		d.Error = message
		return a.show(c, status, "login", view{Title: "Sign in", Data: d})
	}
	ok, err := a.limit.admit(ctx, c.RealIP(), d.Login)
	if err != nil {
		return err
	}
	if !ok {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(window.Seconds())))
		return refuse(http.StatusTooManyRequests, "limited", "Too many tries. Wait a quarter of an hour and try again.")
	}
	password := c.FormValue("password")
	if len(password) > 500 {
		password = ""
	}
	u, _, _, err := a.people.users.get(ctx, userID(d.Login))
	if err != nil {
		return err
	}
	if ok, err = a.hasher.matches(ctx, password, u.Password); err != nil {
		return err
	}
	if !ok {
		return refuse(http.StatusUnauthorized, "refused", "That name and password do not go together.")
	}
	if err := a.limit.forget(ctx, c.RealIP(), d.Login); err != nil {
		return err
	}
	if u.Factor == nil || !u.Factor.On {
		a.logins.WithLabelValues("ok").Inc()
	}
	return a.enter(c, u, d.Next)
}

func (a *Admin) logout(c *echo.Context) error {
	if err := a.signOut(c); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/login")
}

type setupData struct {
	Token, Login string
	First        bool // makes the first user, who chooses a name too
	Errors       map[string]string
}

// gone is the answer for links that are spent, old or made up, alike.
func (a *Admin) gone(c *echo.Context) error {
	return a.show(c, http.StatusGone, "gone", view{Title: "This link no longer works", Data: nil})
}

// setupLink reads a link and whom it is for. That of the first user works only
// while there is none.
func (a *Admin) setupLink(c *echo.Context, secret string) (k link, u user, ok bool, err error) {
	ctx := c.Request().Context()
	k, _, ok, err = a.links.look(ctx, secret, firstUser, setPassword)
	if err != nil || !ok {
		return k, u, false, err
	}
	if k.Kind == firstUser {
		there, err := a.people.any(ctx)
		return k, u, !there, err
	}
	u, _, ok, err = a.people.users.get(ctx, k.UserID)
	return k, u, ok && !u.Provided(), err
}

func (a *Admin) setupPage(c *echo.Context) error {
	secret := c.QueryParam("token")
	k, u, ok, err := a.setupLink(c, secret)
	if err != nil {
		return err
	}
	if !ok {
		return a.gone(c)
	}
	return a.show(c, http.StatusOK, "setup", view{Title: "Set your password", Data: setupData{Token: secret, Login: u.Login, First: k.Kind == firstUser}})
}

func (a *Admin) setup(c *echo.Context) error {
	ctx, secret := c.Request().Context(), c.FormValue("token")
	k, u, ok, err := a.setupLink(c, secret)
	if err != nil {
		return err
	}
	if !ok {
		return a.gone(c)
	}
	d := setupData{Token: secret, Login: u.Login, First: k.Kind == firstUser, Errors: map[string]string{}}
	if d.First {
		d.Login = c.FormValue("login")
	}
	again := func(err error) error {
		bad, ok := errors.AsType[settings.Invalid](err)
		if !ok {
			return err
		}
		for _, p := range bad {
			d.Errors[p.Field] = p.Message
		}
		return a.show(c, http.StatusUnprocessableEntity, "setup", view{Title: "Set your password", Data: d})
	}
	password := c.FormValue("password")
	if normalLogin(d.Login) == "" {
		return again(settings.Invalid{{Field: "login", Message: "is missing: a name or an e-mail address"}})
	}
	if err := checkPassword(password, d.Login); err != nil {
		return again(err)
	}
	if password != c.FormValue("again") {
		return again(settings.Invalid{{Field: "again", Message: "is not the same"}})
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	// Spent only now, so that a password that is too short costs nobody the link.
	if _, ok, err := a.links.spend(ctx, secret, k.Kind); err != nil || !ok {
		if err != nil {
			return err
		}
		return a.gone(c)
	}
	if d.First {
		if u, err = a.people.add(ctx, user{Login: d.Login, Role: Administrator, Password: hash}); err != nil {
			return again(err)
		}
	} else if _, u, err = a.people.change(ctx, k.UserID, func(u *user) { u.Password = hash }); err != nil {
		return err
	}
	if err := a.audit.note(ctx, principal{Kind: "user", ID: u.ID, Name: u.Login}, "user.password", u.ID, "set by a one-time link"); err != nil {
		return err
	}
	a.notice(c, "Welcome. You are signed in.")
	return a.enter(c, u, "/")
}

// welcome signs in by a link that was printed where only its owner can read.
func (a *Admin) welcome(c *echo.Context) error {
	ctx := c.Request().Context()
	if me(c).known() {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	k, ok, err := a.links.spend(ctx, c.QueryParam("token"), signIn)
	if err != nil {
		return err
	}
	if !ok {
		return a.gone(c)
	}
	u, _, ok, err := a.people.users.get(ctx, k.UserID)
	if err != nil {
		return err
	}
	if !ok {
		return a.gone(c)
	}
	return a.enter(c, u, "/")
}
