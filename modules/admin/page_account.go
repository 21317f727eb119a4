package admin

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/settings"
)

type accountData struct {
	HasPassword bool
	// Provided is set where the identity provider asks for both factors.
	Provided bool
	Errors   map[string]string
	Sessions []signinView
	// Factor is on, off or being set up; Left counts the recovery codes.
	Factor string
	Left   int
	// Offer is what the app reads, shown once.
	Offer *offer
	// Codes are for recovery, shown once.
	Codes []string
}

type offer struct {
	Path   string // the QR code
	Size   int
	Secret string
	URL    string
}

func (a *Admin) accountPage(c *echo.Context) error {
	return a.accountView(c, http.StatusOK, accountData{})
}

func (a *Admin) accountView(c *echo.Context, status int, d accountData) error {
	ctx := c.Request().Context()
	u, _, _, err := a.people.users.get(ctx, me(c).ID)
	if err != nil {
		return err
	}
	d.HasPassword, d.Provided = u.Password != "", u.Provided()
	if f := u.Factor; f != nil && f.On {
		d.Factor, d.Left = "on", len(f.Recovery)
	}
	if d.Sessions, err = a.signinsOf(ctx, u); err != nil {
		return err
	}
	return a.show(c, status, "account", view{Title: "Your account", Nav: "account", Data: d})
}

// self is who asks, where that is a person and not a token.
func (a *Admin) self(c *echo.Context) (user, error) {
	u, _, ok, err := a.people.users.get(c.Request().Context(), me(c).ID)
	if err == nil && !ok {
		err = errNoUser // an API token has no account
	}
	return u, err
}

// keeper is self, of those whose password and second factor are kept here.
func (a *Admin) keeper(c *echo.Context) (user, error) {
	u, err := a.self(c)
	if err == nil && u.Provided() {
		err = httpserver.NewProblem(http.StatusConflict, "single_sign_on", "you sign in by the identity provider, which keeps your password and second factor")
	}
	return u, err
}

// confirmed asks for the password again, before something that a session left open
// must not be enough for.
func (a *Admin) confirmed(c *echo.Context, u user) (bool, error) {
	if u.Password == "" {
		return true, nil
	}
	ctx := c.Request().Context()
	ok, err := a.limit.admit(ctx, c.RealIP(), u.Login)
	if err != nil || !ok {
		return false, err
	}
	if ok, err = a.hasher.matches(ctx, c.FormValue("current"), u.Password); err != nil || !ok {
		return false, err
	}
	return true, a.limit.forget(ctx, c.RealIP(), u.Login)
}

func (a *Admin) passwordForm(c *echo.Context) error {
	ctx := c.Request().Context()
	u, err := a.keeper(c)
	if err != nil {
		return err
	}
	bad := map[string]string{}
	if ok, err := a.confirmed(c, u); err != nil {
		return err
	} else if !ok {
		bad["current"] = "is not your password"
	}
	password := c.FormValue("password")
	if v, ok := errors.AsType[settings.Invalid](checkPassword(password, u.Login)); ok {
		bad["password"] = v[0].Message
	} else if password != c.FormValue("again") {
		bad["again"] = "is not the same"
	}
	if len(bad) > 0 {
		return a.accountView(c, http.StatusUnprocessableEntity, accountData{Errors: bad})
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	if _, u, err = a.people.change(ctx, u.ID, func(u *user) { u.Password = hash }); err != nil {
		return err
	}
	if err := a.audit.note(ctx, me(c), "user.password", u.ID, ""); err != nil {
		return err
	}
	if err := a.signIn(c, u); err != nil {
		return err
	}
	return a.done(c, "/account", "Your password is changed. Other sessions of yours have ended.")
}

// offerFactorForm shows a secret for an authenticator app.
func (a *Admin) offerFactorForm(c *echo.Context) error {
	u, err := a.keeper(c)
	if err != nil {
		return err
	}
	if ok, err := a.confirmed(c, u); err != nil {
		return err
	} else if !ok {
		return a.accountView(c, http.StatusUnprocessableEntity, accountData{Errors: map[string]string{"factor_current": "is not your password"}})
	}
	key, err := a.offerFactor(c.Request().Context(), u)
	if errors.Is(err, errBadCode) {
		return a.done(c, "/account", "It is on already.")
	}
	if err != nil {
		return err
	}
	return a.offerView(c, http.StatusOK, u, key.Secret(), key.URL(), "")
}

func (a *Admin) offerView(c *echo.Context, status int, u user, secret, address, bad string) error {
	path, size, err := qrPath(address)
	if err != nil {
		return err
	}
	d := accountData{Offer: &offer{path, size, secret, address}}
	if bad != "" {
		d.Errors = map[string]string{"code": bad}
	}
	return a.accountView(c, status, d)
}

// proveFactorForm switches it on by a first code.
func (a *Admin) proveFactorForm(c *echo.Context) error {
	ctx := c.Request().Context()
	u, err := a.self(c)
	if err != nil {
		return err
	}
	codes, err := a.proveFactor(ctx, u.ID, c.FormValue("code"))
	if errors.Is(err, errBadCode) {
		return a.accountView(c, http.StatusUnprocessableEntity, accountData{Errors: map[string]string{"factor_current": errBadCode.Error() + ": begin again"}})
	}
	if err != nil {
		return err
	}
	if err := a.audit.note(ctx, me(c), "user.second_factor", u.ID, "", change{"second_factor", "off", "on"}); err != nil {
		return err
	}
	// Sessions that began with a password alone end.
	if _, u, err = a.people.change(ctx, u.ID, func(*user) {}); err != nil {
		return err
	}
	if err := a.signIn(c, u); err != nil {
		return err
	}
	return a.accountView(c, http.StatusOK, accountData{Codes: codes})
}

// dropFactorForm switches it off, by a code of it.
func (a *Admin) dropFactorForm(c *echo.Context) error {
	ctx := c.Request().Context()
	u, err := a.self(c)
	if err != nil {
		return err
	}
	if _, err := a.takeCode(ctx, u.ID, c.FormValue("code")); errors.Is(err, errBadCode) {
		return a.accountView(c, http.StatusUnprocessableEntity, accountData{Errors: map[string]string{"off_code": errBadCode.Error()}})
	} else if err != nil {
		return err
	}
	if err := a.dropFactor(c, u.ID, ""); err != nil {
		return err
	}
	if u, err = a.self(c); err != nil {
		return err
	}
	if err := a.signIn(c, u); err != nil {
		return err
	}
	return a.done(c, "/account", "You sign in by your password alone now.")
}

func (a *Admin) dropFactor(c *echo.Context, id, note string) error {
	ctx := c.Request().Context()
	before, _, err := a.people.change(ctx, id, func(u *user) { u.Factor = nil })
	if err != nil {
		return err
	}
	if before.Factor == nil || !before.Factor.On {
		return nil
	}
	return a.audit.note(ctx, me(c), "user.second_factor", id, note, change{"second_factor", "on", "off"})
}

// resetFactorForm is for who lost the app and the recovery codes.
func (a *Admin) resetFactorForm(c *echo.Context) error {
	if err := a.dropFactor(c, param(c, "id"), "by an admin"); err != nil {
		return err
	}
	return a.done(c, "/people", "They sign in by password alone now, and should set it up again.")
}

type codeData struct {
	Ticket, Next, Error string
}

// enter signs somebody in whose password, or link, was right: at once, or after the
// code of their second factor.
func (a *Admin) enter(c *echo.Context, u user, next string) error {
	if u.Factor == nil || !u.Factor.On {
		if err := a.signIn(c, u); err != nil {
			return err
		}
		return c.Redirect(http.StatusSeeOther, next)
	}
	ticket, err := a.links.makeFor(c.Request().Context(), secondStep, u.ID, ticketTTL)
	if err != nil {
		return err
	}
	return a.show(c, http.StatusOK, "code", view{Title: "Your code", Data: codeData{Ticket: ticket, Next: next}})
}

// codeForm takes the code that follows a password.
func (a *Admin) codeForm(c *echo.Context) error {
	ctx, d := c.Request().Context(), codeData{Ticket: c.FormValue("ticket"), Next: local(c.FormValue("next"))}
	k, _, ok, err := a.links.look(ctx, d.Ticket, secondStep)
	if err != nil {
		return err
	}
	if !ok {
		return c.Redirect(http.StatusSeeOther, "/login")
	}
	recovery, err := a.takeCode(ctx, k.UserID, c.FormValue("code"))
	if errors.Is(err, errBadCode) {
		a.logins.WithLabelValues("refused").Inc()
		d.Error = errBadCode.Error() + "."
		return a.show(c, http.StatusUnauthorized, "code", view{Title: "Your code", Data: d})
	}
	if err != nil {
		return err
	}
	if _, ok, err := a.links.spend(ctx, d.Ticket, secondStep); err != nil || !ok {
		if err != nil {
			return err
		}
		return c.Redirect(http.StatusSeeOther, "/login")
	}
	u, _, ok, err := a.people.users.get(ctx, k.UserID)
	if err != nil {
		return err
	}
	if !ok {
		return c.Redirect(http.StatusSeeOther, "/login")
	}
	if err := a.signIn(c, u); err != nil {
		return err
	}
	a.logins.WithLabelValues("ok").Inc()
	if recovery {
		left := len(u.Factor.Recovery)
		if err := a.audit.note(ctx, principal{Kind: "user", ID: u.ID, Name: u.Login}, "user.recovery_code", u.ID, strconv.Itoa(left)+" are left"); err != nil {
			return err
		}
		return a.done(c, "/account", "You used a recovery code; "+count(left, "code")+" left. Set the app up again if it is lost.")
	}
	return c.Redirect(http.StatusSeeOther, d.Next)
}
