package admin

import (
	"context"
	_ "embed"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/settings"
)

//go:embed openapi.yaml
var openapi []byte

func (a *Admin) openapi(c *echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", openapi)
}

// userView is a user without secrets.
type userView struct {
	ID           string   `json:"id"`
	Login        string   `json:"login"`
	Role         Role     `json:"role"`
	Advertisers  []string `json:"advertisers"` // empty: all
	HasPassword  bool     `json:"has_password"`
	SecondFactor bool     `json:"second_factor"`
	// SingleSignOn is set where the identity provider vouches for them and gives the role.
	SingleSignOn bool      `json:"single_sign_on"`
	CreatedAt    time.Time `json:"created_at"`
	// Link is a one-time address to set a password with; only in the answer
	// that made it.
	Link string `json:"link,omitempty"`
}

func viewOf(u user) userView {
	return userView{ID: u.ID, Login: u.Login, Role: u.Role, Advertisers: nonNil(u.Advertisers), HasPassword: u.Password != "", SecondFactor: u.Factor != nil && u.Factor.On, SingleSignOn: u.Provided(), CreatedAt: u.CreatedAt}
}

// tokenView is a token without its digest.
type tokenView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Advertisers and Scopes narrow what the role may; empty: all.
	Advertisers []string  `json:"advertisers"`
	Scopes      []string  `json:"scopes"`
	CreatedBy   string    `json:"created_by"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	// LastUsed is exact to a minute; absent where it never was.
	LastUsed time.Time `json:"last_used_at,omitzero"`
	// Token is the secret; only in the answer that made it.
	Token string `json:"token,omitempty"`
}

func tokenViewOf(t token) tokenView {
	return tokenView{ID: t.ID, Name: t.Name, Role: t.Role, Advertisers: nonNil(t.Advertisers), Scopes: nonNil(t.Scopes), CreatedBy: t.CreatedBy, CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt}
}

// What the console and the API do alike.

// invite adds a user and makes the link that sets the first password, which
// then nobody but the user ever knows.
func (a *Admin) invite(ctx context.Context, who principal, login string, role Role, advertisers []string) (userView, error) {
	u, err := a.people.add(ctx, user{Login: login, Role: role, Advertisers: advertisers})
	if err != nil {
		return userView{}, err
	}
	v := viewOf(u)
	if v.Link, err = a.passwordLink(ctx, u.ID); err != nil {
		return v, err
	}
	return v, a.audit.note(ctx, who, "user.create", u.ID, u.Login, differences(nil, viewOf(u))...)
}

func (a *Admin) passwordLink(ctx context.Context, id string) (string, error) {
	secret, err := a.links.make(ctx, setPassword, id)
	return a.URL() + "/setup?token=" + secret, err
}

// userChange is what can be changed of a user; what is nil stays.
type userChange struct {
	Role        *Role     `json:"role"`
	Advertisers *[]string `json:"advertisers"`
}

func (a *Admin) changeUser(ctx context.Context, who principal, id string, in userChange) (user, error) {
	now, _, ok, err := a.people.users.get(ctx, id)
	if err == nil && !ok {
		err = errNoUser
	}
	if err != nil {
		return now, err
	}
	if now.Provided() {
		return now, settings.Invalid{{Field: "role", Message: "comes from the identity provider at each sign-in: change their groups there"}}
	}
	if in.Role != nil {
		now.Role = *in.Role
	}
	if in.Advertisers != nil {
		now.Advertisers = named(*in.Advertisers)
	}
	if bad := checkRole(now.Role, now.Advertisers); len(bad) > 0 {
		return now, bad
	}
	before, after, err := a.people.change(ctx, id, func(u *user) { u.Role, u.Advertisers = now.Role, now.Advertisers })
	if err != nil {
		return before, err
	}
	entry, err := a.audit.record(ctx, who, "user.role", id, before.Login, differences(viewOf(before), viewOf(after))...)
	if err != nil {
		return after, err
	}
	return after, a.remember(ctx, entry, former{User: &userFormer{before.Role, before.Advertisers, after.Generation}})
}

func (a *Admin) dismiss(ctx context.Context, who principal, id string) error {
	u, err := a.people.removeUser(ctx, id)
	if err != nil {
		return err
	}
	return a.audit.note(ctx, who, "user.delete", id, u.Login)
}

func (a *Admin) issue(ctx context.Context, who principal, t token) (tokenView, error) {
	if err := a.grant(who, t); err != nil {
		return tokenView{}, err
	}
	t.CreatedBy, t.Behind = who.Name, who.person()
	t, secret, err := a.people.addToken(ctx, t)
	if err != nil {
		return tokenView{}, err
	}
	v := tokenViewOf(t)
	if err := a.audit.note(ctx, who, "token.create", t.ID, "", differences(nil, v)...); err != nil {
		return v, err
	}
	v.Token = secret
	return v, nil
}

func (a *Admin) revoke(ctx context.Context, who principal, id string) error {
	t, err := a.people.removeToken(ctx, id)
	if err != nil {
		return err
	}
	entry, err := a.audit.record(ctx, who, "token.revoke", id, t.Name)
	if err != nil {
		return err
	}
	return a.remember(ctx, entry, former{Token: &t})
}

func (a *Admin) listUsers(c *echo.Context) error {
	list, err := a.people.list(c.Request().Context())
	if err != nil {
		return err
	}
	out := make([]userView, len(list))
	for i, u := range list {
		out[i] = viewOf(u)
	}
	return c.JSON(http.StatusOK, items(out, ""))
}

func (a *Admin) createUser(c *echo.Context) error {
	var in struct {
		Login       string   `json:"login"`
		Role        Role     `json:"role"`
		Advertisers []string `json:"advertisers"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	v, err := a.invite(c.Request().Context(), me(c), in.Login, in.Role, in.Advertisers)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, v)
}

func (a *Admin) patchUser(c *echo.Context) error {
	var in userChange
	if err := decode(c, &in); err != nil {
		return err
	}
	u, err := a.changeUser(c.Request().Context(), me(c), param(c, "id"), in)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, viewOf(u))
}

func (a *Admin) deleteUser(c *echo.Context) error {
	if err := a.dismiss(c.Request().Context(), me(c), param(c, "id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (a *Admin) listTokens(c *echo.Context) error {
	out, err := a.tokens(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items(out, ""))
}

// tokens are all there are, with when each was last used.
func (a *Admin) tokens(ctx context.Context) ([]tokenView, error) {
	list, err := a.people.listTokens(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]tokenView, len(list))
	for i, t := range list {
		out[i] = tokenViewOf(t)
		if out[i].LastUsed, err = a.people.lastUsed(ctx, t.ID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *Admin) createToken(c *echo.Context) error {
	var in struct {
		Name        string    `json:"name"`
		Role        Role      `json:"role"`
		Advertisers []string  `json:"advertisers"`
		Scopes      []string  `json:"scopes"`
		ExpiresAt   time.Time `json:"expires_at"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	v, err := a.issue(c.Request().Context(), me(c), token{Name: in.Name, Role: in.Role, Advertisers: in.Advertisers, Scopes: in.Scopes, ExpiresAt: in.ExpiresAt})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, v)
}

func (a *Admin) deleteToken(c *echo.Context) error {
	if err := a.revoke(c.Request().Context(), me(c), param(c, "id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (a *Admin) listAudit(c *echo.Context) error {
	q := a.query(c)
	cursor, limit := q.text("cursor"), q.number("limit", 1, 1000, 50)
	if err := q.err(); err != nil {
		return err
	}
	list, next, err := a.audit.page(c.Request().Context(), cursor, limit)
	if err != nil {
		return err
	}
	shown, err := a.undoable(c.Request().Context(), list)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items(shown, next))
}

// after is the page of a log, newest first, behind an entry.
func after(list []entry, cursor string, limit int) ([]entry, string) {
	for i, e := range list {
		if cursor != "" && e.ID >= cursor {
			continue
		}
		list = list[i:]
		if len(list) > limit {
			return list[:limit], list[limit-1].ID
		}
		return list, ""
	}
	return nil, ""
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
