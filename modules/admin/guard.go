package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/backfill"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// policy allows a page what comes from us, and no script or style inside it.
const policy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// shell is around every request: the headers, and errors as people or programs
// want them.
func (a *Admin) shell(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		err := next(c)
		if err == nil {
			return nil
		}
		if errors.Is(err, echo.ErrNotFound) {
			err = a.notFound(c)
		}
		p := problem(err)
		if p == nil {
			if p = httpserver.Away(err); p == nil {
				p = &httpserver.Problem{Status: http.StatusInternalServerError, Detail: "Something went wrong on our side. It is in the log."}
			}
			if wantsPage(c) && c.Request().Context().Err() == nil {
				a.o.Log.Error("page failed", "method", c.Request().Method, "route", c.Path(), "error", err)
			}
		} else {
			err = p
		}
		if r, _ := echo.UnwrapResponse(c.Response()); wantsPage(c) && !(r != nil && r.Committed) {
			return a.errorPage(c, p)
		}
		return err
	}
}

func isAPI(c *echo.Context) bool { return strings.HasPrefix(c.Request().URL.Path, "/api/") }

func wantsPage(c *echo.Context) bool {
	return !isAPI(c) && strings.Contains(c.Request().Header.Get("Accept"), "text/html")
}

func (a *Admin) notFound(*echo.Context) error {
	return httpserver.NewProblem(http.StatusNotFound, "not_found", "there is nothing at this address")
}

// problem says what a client may know of an error; nil where it is ours alone.
func problem(err error) *httpserver.Problem {
	if p, ok := errors.AsType[*httpserver.Problem](err); ok {
		return p
	}
	if v, ok := errors.AsType[settings.Invalid](err); ok {
		p := httpserver.NewProblem(http.StatusUnprocessableEntity, "invalid", "some fields are not as they must be")
		for _, f := range v {
			p.Errors = append(p.Errors, httpserver.FieldError{Pointer: pointer(f.Field), Code: "invalid", Detail: f.Message})
		}
		return p
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return httpserver.NewProblem(http.StatusRequestEntityTooLarge, "too_large", "the body is larger than this server takes")
	}
	if errors.Is(err, analytics.ErrInvalid) {
		return httpserver.NewProblem(http.StatusBadRequest, "invalid_parameter", err.Error())
	}
	for known, p := range map[error]*httpserver.Problem{
		state.ErrConflict:        {Status: http.StatusConflict, Code: "conflict", Detail: state.ErrConflict.Error()},
		errPixelTaken:            {Status: http.StatusConflict, Code: "taken", Detail: errPixelTaken.Error()},
		errUserTaken:             {Status: http.StatusConflict, Code: "taken", Detail: errUserTaken.Error()},
		errLastAdmin:             {Status: http.StatusConflict, Code: "last_admin", Detail: errLastAdmin.Error()},
		errNoPartner:             {Status: http.StatusNotFound, Code: "unknown_partner", Detail: errNoPartner.Error()},
		errNoQueue:               {Status: http.StatusNotFound, Code: "unknown_queue", Detail: errNoQueue.Error()},
		errNoLiveQueue:           {Status: http.StatusNotFound, Code: "unknown_queue", Detail: errNoLiveQueue.Error()},
		backfill.ErrNotFound:     {Status: http.StatusNotFound, Code: "unknown_backfill", Detail: backfill.ErrNotFound.Error()},
		errNoRoute:               {Status: http.StatusNotFound, Code: "unknown_route", Detail: errNoRoute.Error()},
		errNoUser:                {Status: http.StatusNotFound, Code: "unknown_user", Detail: errNoUser.Error()},
		errNoToken:               {Status: http.StatusNotFound, Code: "unknown_token", Detail: errNoToken.Error()},
		settings.ErrNotFound:     {Status: http.StatusNotFound, Code: "unknown_pixel", Detail: settings.ErrNotFound.Error()},
		analytics.ErrNotFound:    {Status: http.StatusNotFound, Code: "unknown_event", Detail: analytics.ErrNotFound.Error()},
		context.DeadlineExceeded: {Status: http.StatusServiceUnavailable, Code: "too_slow", Detail: "the question took too long; ask for less, or later"},
	} {
		if errors.Is(err, known) {
			return p
		}
	}
	if status := echo.StatusCode(err); status != 0 && status != http.StatusInternalServerError {
		p := &httpserver.Problem{Status: status}
		if he, ok := errors.AsType[*echo.HTTPError](err); ok {
			p.Detail = he.Message
		}
		return p
	}
	return nil
}

// pointer writes "routes[0].event" as the JSON pointer "/routes/0/event".
func pointer(field string) string {
	return "/" + strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(field)
}

// guard lets a request through to its handler only as its route needs it.
func (a *Admin) guard(r route) echo.HandlerFunc {
	return func(c *echo.Context) error {
		if r.path == "/static/*" {
			return r.handle(c)
		}
		who, err := a.identify(c)
		if err != nil {
			return err
		}
		if !who.bearer {
			if err := a.crossing.Check(c.Request()); err != nil {
				return httpserver.NewProblem(http.StatusForbidden, "cross_origin", "this request came from another site's page")
			}
		}
		c.Set("who", who)
		c.SetRequest(c.Request().WithContext(asking(c.Request().Context(), who)))
		if r.need != public {
			if !who.known() {
				return a.unknown(c)
			}
			if !who.Role.Allows(r.need) {
				return httpserver.NewProblem(http.StatusForbidden, "forbidden", "this needs the role "+string(r.need)+"; yours is "+string(who.Role))
			}
			if !who.may(r) {
				return httpserver.NewProblem(http.StatusForbidden, "scope", scopeMissing(r))
			}
		}
		return r.handle(c)
	}
}

func me(c *echo.Context) principal {
	who, _ := c.Get("who").(principal)
	return who
}

// unknown asks for a sign-in, where there is somebody to do it.
func (a *Admin) unknown(c *echo.Context) error {
	if isAPI(c) {
		c.Response().Header().Set("WWW-Authenticate", `Bearer realm="pixel"`)
		return httpserver.NewProblem(http.StatusUnauthorized, "unauthorized", "send Authorization: Bearer with an API token, or sign in to the console")
	}
	next := "/login"
	if r := c.Request(); r.Method == http.MethodGet && r.URL.Path != "/" {
		next += "?next=" + url.QueryEscape(r.URL.RequestURI())
	}
	if c.Request().Header.Get("HX-Request") != "" {
		c.Response().Header().Set("HX-Redirect", "/login")
		return c.NoContent(http.StatusUnauthorized)
	}
	return c.Redirect(http.StatusSeeOther, next)
}

// identify says who makes a request. A token that is wrong is an error, and not
// a reason to look for a session.
func (a *Admin) identify(c *echo.Context) (principal, error) {
	if err := a.loadSession(c); err != nil {
		return principal{}, err
	}
	if h := c.Request().Header.Get("Authorization"); h != "" {
		scheme, secret, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return principal{}, httpserver.NewProblem(http.StatusUnauthorized, "unauthorized", "only Authorization: Bearer is known here")
		}
		// Digests have one length, so the comparison tells nothing of the secret's.
		if t := a.o.Config.Token; t != "" && same(digest(secret), digest(t)) {
			return principal{Kind: "token", ID: "admin.token", Name: "admin.token", Role: Administrator, bearer: true}, nil
		}
		t, ok, err := a.people.bearer(c.Request().Context(), secret)
		if err != nil {
			return principal{}, err
		}
		if !ok {
			return principal{}, httpserver.NewProblem(http.StatusUnauthorized, "unauthorized", "this token is unknown, revoked or expired")
		}
		a.people.used(c.Request().Context(), t)
		return principal{Kind: "token", ID: t.ID, Name: t.Name, Role: t.Role, Advertisers: t.Advertisers, Scopes: t.Scopes, Behind: t.Behind, bearer: true}, nil
	}
	u, ok, err := a.sessionUser(c.Request().Context())
	if err != nil || !ok {
		return principal{}, err
	}
	return u.principal(), nil
}
