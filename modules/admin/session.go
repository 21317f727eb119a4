package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/state"
)

const sessionLife = 12 * time.Hour

// keyStore keeps sessions in the shared state, so that every replica knows
// them. The tokens reach it as digests.
type keyStore struct{ keys state.Keys }

func sessionKey(token string) string { return "admin:session:" + token }

func (s keyStore) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	values, err := s.keys.Get(ctx, sessionKey(token))
	if err != nil {
		return nil, false, err
	}
	return values[0], values[0] != nil, nil
}

func (s keyStore) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	ttl := time.Until(expiry)
	if ttl <= 0 {
		return s.DeleteCtx(ctx, token)
	}
	return s.keys.Set(ctx, state.Entry{Key: sessionKey(token), Value: b, TTL: ttl})
}

func (s keyStore) DeleteCtx(ctx context.Context, token string) error {
	return s.keys.Delete(ctx, sessionKey(token))
}

func (s keyStore) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s keyStore) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

func (s keyStore) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }

func newSessions(keys state.Keys, publicURL string) *scs.SessionManager {
	m := scs.New()
	m.Store = keyStore{keys}
	m.Lifetime = sessionLife
	m.HashTokenInStore = true
	m.Cookie.Name = "pixel_session"
	m.Cookie.HttpOnly = true
	m.Cookie.SameSite = http.SameSiteLaxMode
	m.Cookie.Secure = strings.HasPrefix(publicURL, "https://")
	return m
}

// loadSession makes the request's session available. Sessions are read here and
// written by signIn and signOut alone, so that a stream holds none open.
func (a *Admin) loadSession(c *echo.Context) error {
	token := ""
	if cookie, err := c.Cookie(a.sessions.Cookie.Name); err == nil {
		token = cookie.Value
	}
	ctx, err := a.sessions.Load(c.Request().Context(), token)
	if err != nil {
		return err
	}
	c.SetRequest(c.Request().WithContext(ctx))
	return nil
}

// sessionUser is who is signed in; a session of an older generation is nobody's.
func (a *Admin) sessionUser(ctx context.Context) (user, bool, error) {
	id := a.sessions.GetString(ctx, "user")
	if id == "" {
		return user{}, false, nil
	}
	u, _, ok, err := a.people.users.get(ctx, id)
	if err != nil || !ok || u.Generation != a.sessions.GetInt(ctx, "generation") {
		return user{}, false, err
	}
	if ok, err = a.alive(ctx, a.sessions.GetString(ctx, "session"), u); err != nil || !ok {
		return user{}, false, err
	}
	return u, true, nil
}

// signIn starts a session under a new token, so that one planted before is
// worth nothing.
func (a *Admin) signIn(c *echo.Context, u user) error {
	ctx := c.Request().Context()
	if err := a.sessions.RenewToken(ctx); err != nil {
		return err
	}
	if old := a.sessions.GetString(ctx, "session"); old != "" {
		if err := a.signins.remove(ctx, old); err != nil {
			return err
		}
	}
	id, err := a.begin(c, u)
	if err != nil {
		return err
	}
	a.sessions.Put(ctx, "session", id)
	a.sessions.Put(ctx, "user", u.ID)
	a.sessions.Put(ctx, "generation", u.Generation)
	token, expiry, err := a.sessions.Commit(ctx)
	if err != nil {
		return err
	}
	a.sessions.WriteSessionCookie(ctx, c.Response(), token, expiry)
	return nil
}

func (a *Admin) signOut(c *echo.Context) error {
	ctx := c.Request().Context()
	if id := a.sessions.GetString(ctx, "session"); id != "" {
		if err := a.signins.remove(ctx, id); err != nil {
			return err
		}
	}
	if err := a.sessions.Destroy(ctx); err != nil {
		return err
	}
	a.sessions.WriteSessionCookie(ctx, c.Response(), "", time.Time{})
	return nil
}
