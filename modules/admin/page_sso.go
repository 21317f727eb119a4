package admin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"
	"golang.org/x/oauth2"

	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// Somebody who signs in by the identity provider is sent there with a state and a nonce
// that only their browser keeps, sealed, and comes back with a code. The code is redeemed
// with the verifier that is sealed beside them (PKCE), so that neither a code nor an
// address from elsewhere is worth anything in another browser.

const (
	ssoPath   = "/login/sso"
	ssoBack   = ssoPath + "/back"
	ssoCookie = "pixel_sso"
	ssoTime   = 10 * time.Minute // how long somebody may be away
)

// trip is what a browser keeps while its owner is at the provider.
type trip struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	Next     string    `json:"next"`
	Until    time.Time `json:"until"`
}

func (a *Admin) keepTrip(c *echo.Context, value string, age int) {
	c.SetCookie(&http.Cookie{Name: ssoCookie, Value: value, Path: ssoPath, MaxAge: age, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: a.sessions.Cookie.Secure})
}

// tripOf is the trip that a browser is on, if it is the one that the address is of.
func (a *Admin) tripOf(c *echo.Context) (t trip, ok bool) {
	cookie, err := c.Cookie(ssoCookie)
	if err != nil {
		return t, false
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return t, false
	}
	body, err := a.o.Box.Open(ssoCookie, sealed)
	if err != nil || json.Unmarshal(body, &t) != nil {
		return t, false
	}
	return t, t.State != "" && same(t.State, c.QueryParam("state")) && a.now().Before(t.Until)
}

func ssoTries(addr string) string { return "admin:try:sso:" + digest(addr) }

// ssoLabel is what stands on the button; empty: there is none.
func (a *Admin) ssoLabel() string {
	if a.sso == nil {
		return ""
	}
	return a.sso.o.Label
}

// turnAway shows the sign-in page with the reason.
func (a *Admin) turnAway(c *echo.Context, status int, result, next, message string) error {
	a.logins.WithLabelValues(result).Inc()
	return a.show(c, status, "login", view{Title: "Sign in", Data: loginData{Next: next, Error: message, SSO: a.ssoLabel()}})
}

// ssoPage sends somebody to the provider. It is a link and no form, since the page's
// policy lets no form go elsewhere.
func (a *Admin) ssoPage(c *echo.Context) error {
	if a.sso == nil {
		return a.notFound(c)
	}
	next := local(c.QueryParam("next"))
	if me(c).known() {
		return c.Redirect(http.StatusSeeOther, next)
	}
	if n, err := a.limit.count(c.Request().Context(), ssoTries(c.RealIP())); err != nil {
		return err
	} else if n > triesPerPlace {
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(window.Seconds())))
		return a.turnAway(c, http.StatusTooManyRequests, "limited", next, "Too many tries. Wait a quarter of an hour and try again.")
	}
	if len(next) > 1500 { // a cookie has 4096 bytes
		next = "/"
	}
	t := trip{rand.Text(), rand.Text(), rand.Text() + rand.Text(), next, a.now().Add(ssoTime).UTC()}
	to, err := a.sso.address(a.URL()+ssoBack, t)
	if err != nil {
		return a.ssoFailed(c, next, err)
	}
	body, err := json.Marshal(t)
	if err != nil {
		return err
	}
	a.keepTrip(c, base64.RawURLEncoding.EncodeToString(a.o.Box.Seal(ssoCookie, body)), int(ssoTime.Seconds()))
	return c.Redirect(http.StatusSeeOther, to)
}

// ssoBackPage takes somebody back, and lets them in as the provider says.
func (a *Admin) ssoBackPage(c *echo.Context) error {
	if a.sso == nil {
		return a.notFound(c)
	}
	ctx := c.Request().Context()
	t, ok := a.tripOf(c)
	if ok {
		a.keepTrip(c, "", -1)
		var err error
		// A copy of the cookie would be as good as the cookie: a state is good once.
		if ok, err = a.o.State.Swap(ctx, nil, state.Entry{Key: "admin:sso:" + digest(t.State), Value: used, TTL: ssoTime + time.Minute}); err != nil {
			return err
		}
	}
	if !ok && me(c).known() { // who went a page back
		return c.Redirect(http.StatusSeeOther, "/")
	}
	if !ok {
		return a.turnAway(c, http.StatusBadRequest, "refused", "/", "This way back is not known here: it was used already, took longer than ten minutes, or began in another browser. Sign in again.")
	}
	switch why := c.QueryParam("error"); {
	case why == "access_denied":
		return a.turnAway(c, http.StatusUnauthorized, "refused", t.Next, "The identity provider did not let you in, or you cancelled there. Try again, or ask whoever looks after accounts in your organisation for access.")
	case why != "":
		if !errorCode.MatchString(why) {
			why = "no code that OAuth has"
		}
		a.o.Log.Warn("single sign-on failed", "error", why)
		return a.turnAway(c, http.StatusBadGateway, "refused", t.Next, "The identity provider says "+partner.Cut(why, 60)+". Try again; if it stays so, whoever runs the console should look whether "+a.URL()+ssoBack+" is registered there.")
	case c.QueryParam("code") == "":
		return a.turnAway(c, http.StatusBadGateway, "refused", t.Next, "The identity provider sent no code. Try again.")
	}
	said, err := a.sso.redeem(ctx, a.URL()+ssoBack, c.QueryParam("code"), t)
	if err != nil {
		return a.ssoFailed(c, t.Next, err)
	}
	u, err := a.vouched(ctx, said)
	if no, ok := errors.AsType[turned](err); ok {
		return a.turnAway(c, no.status, "refused", t.Next, no.message)
	}
	if err != nil {
		return err
	}
	if err := a.o.State.Delete(ctx, ssoTries(c.RealIP())); err != nil {
		return err
	}
	// Second factors are the provider's to ask for.
	if err := a.signIn(c, u); err != nil {
		return err
	}
	a.logins.WithLabelValues("ok").Inc()
	return c.Redirect(http.StatusSeeOther, t.Next)
}

// errorCode is what an OAuth error may be.
var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

var inQuotes = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// unnamed is an error for the log. What it quotes is of a token or an answer, which may name a
// person, so that is left out.
func unnamed(err error) string {
	if said, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		code := said.ErrorCode
		if !errorCode.MatchString(code) {
			code = "no code"
		}
		return "the provider gave no token: " + said.Response.Status + ", " + code
	}
	text, _, _ := strings.Cut(err.Error(), "\nResponse: ")
	return short(inQuotes.ReplaceAllString(text, `"…"`), 300)
}

// ssoFailed tells apart who is away from who is not to be trusted.
func (a *Admin) ssoFailed(c *echo.Context, next string, err error) error {
	a.o.Log.Warn("single sign-on failed", "error", unnamed(err))
	if errors.Is(err, errAway) {
		return a.turnAway(c, http.StatusServiceUnavailable, "unavailable", next, "The identity provider cannot be reached. Try again in a minute, or sign in by password if you have one here. The console's log says more.")
	}
	return a.turnAway(c, http.StatusUnauthorized, "refused", next, "What the identity provider answered did not hold, so you are not let in. Try again; if it stays so, the console's log says why.")
}

// vouched is the user whom the provider vouches for, made at their first sign-in, with
// the role and the advertisers that it says now.
func (a *Admin) vouched(ctx context.Context, said claims) (user, error) {
	u, found, err := a.people.of(ctx, a.sso.o.Issuer, said.Subject)
	if err != nil {
		return u, err
	}
	role, advertisers, err := a.sso.grant(said)
	if err != nil {
		if !found {
			return u, err
		}
		// Whoever may no longer come in is not to stay either.
		if _, _, failed := a.people.change(ctx, u.ID, func(*user) {}); failed != nil {
			return u, failed
		}
		return u, errors.Join(err, a.audit.note(ctx, u.principal(), "user.sign_out", u.ID, "everywhere: the identity provider gives them no role, or no advertiser"))
	}
	if !found {
		return a.newcomer(ctx, said, role, advertisers)
	}
	if u.Role == role && slices.Equal(u.Advertisers, advertisers) {
		return u, nil
	}
	if bad := checkRole(role, advertisers); len(bad) > 0 {
		return u, turned{http.StatusForbidden, "The identity provider's " + bad[0].Field + " " + bad[0].Message + "."}
	}
	before, u, err := a.people.change(ctx, u.ID, func(u *user) { u.Role, u.Advertisers = role, advertisers })
	if err != nil {
		return u, err
	}
	return u, a.audit.note(ctx, u.principal(), "user.role", u.ID, u.Login+", as the identity provider says", differences(viewOf(before), viewOf(u))...)
}

func (a *Admin) newcomer(ctx context.Context, said claims, role Role, advertisers []string) (user, error) {
	login, err := a.sso.login(said)
	if err != nil {
		return user{}, err
	}
	u, err := a.people.add(ctx, user{Login: login, Role: role, Advertisers: advertisers, Issuer: a.sso.o.Issuer, Subject: said.Subject})
	if bad, ok := errors.AsType[settings.Invalid](err); ok {
		return u, turned{http.StatusForbidden, "The identity provider's " + bad[0].Field + " " + bad[0].Message + "."}
	}
	if errors.Is(err, errUserTaken) {
		// Perhaps they come in by two browsers at once.
		if u, found, err := a.people.of(ctx, a.sso.o.Issuer, said.Subject); err != nil || found {
			return u, err
		}
		return u, errNameTaken
	}
	if err != nil {
		return u, err
	}
	return u, a.audit.note(ctx, u.principal(), "user.create", u.ID, u.Login+", at their first sign-in by the identity provider", differences(nil, viewOf(u))...)
}
