package admin

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v5"
	"github.com/mileusna/useragent"

	"github.com/miq/pixel/modules/consent"
)

// signedIn is one session, as its owner sees it: what is not in the list is nobody's.
type signedIn struct {
	User       string    `json:"user"`
	Generation int       `json:"generation"`
	At         time.Time `json:"at"`
	Seen       time.Time `json:"seen"` // to some minutes
	Client     string    `json:"client,omitempty"`
	Network    string    `json:"network,omitempty"` // the address, cut as those of visitors are
}

const (
	idle      = 4 * time.Hour   // a session that was not used for so long is over
	seenEvery = 5 * time.Minute // how exactly that is known
)

// over reports whether a session has ended of itself.
func (s signedIn) over(now time.Time) bool {
	return now.Sub(s.At) >= sessionLife || now.Sub(s.Seen) >= idle
}

// begin enters a session, and takes out those that are over.
func (a *Admin) begin(c *echo.Context, u user) (string, error) {
	ctx, now := c.Request().Context(), a.now().UTC().Truncate(time.Second)
	all, err := a.signins.all(ctx)
	if err != nil {
		return "", err
	}
	for id, s := range all {
		if s.value.over(now) || s.value.User == u.ID && s.value.Generation != u.Generation {
			if err := a.signins.remove(ctx, id); err != nil {
				return "", err
			}
		}
	}
	ua := useragent.Parse(c.Request().UserAgent())
	id := strings.ToLower(rand.Text()[:16])
	return id, a.signins.put(ctx, id, 0, signedIn{
		User: u.ID, Generation: u.Generation, At: now, Seen: now,
		Client: short(strings.TrimSpace(ua.Name+" "+ua.OS), 60), Network: consent.Truncate(c.RealIP()),
	})
}

// alive reports whether a session is in the list still, and notes that it is used.
func (a *Admin) alive(ctx context.Context, id string, u user) (bool, error) {
	s, revision, ok, err := a.signins.get(ctx, id)
	now := a.now().UTC().Truncate(time.Second)
	if err != nil || !ok || s.User != u.ID || s.Generation != u.Generation || s.over(now) {
		return false, err
	}
	if now.Sub(s.Seen) >= seenEvery {
		s.Seen = now
		// Another request may say so at the same time, or take the session away.
		_ = a.signins.put(context.WithoutCancel(ctx), id, revision, s)
	}
	return true, nil
}

// signinView is a session for its owner.
type signinView struct {
	signedIn
	ID   string
	Mine bool // the one that asks
}

// signinsOf are somebody's sessions, the last used first.
func (a *Admin) signinsOf(ctx context.Context, u user) ([]signinView, error) {
	all, err := a.signins.all(ctx)
	if err != nil {
		return nil, err
	}
	mine := a.sessions.GetString(ctx, "session")
	var out []signinView
	for id, s := range all {
		if s.value.User == u.ID && s.value.Generation == u.Generation && !s.value.over(a.now()) {
			out = append(out, signinView{s.value, id, id == mine})
		}
	}
	slices.SortFunc(out, func(x, y signinView) int { return y.Seen.Compare(x.Seen) })
	return out, nil
}

// endSession takes one of somebody's own sessions away.
func (a *Admin) endSessionForm(c *echo.Context) error {
	ctx, id := c.Request().Context(), param(c, "id")
	s, _, ok, err := a.signins.get(ctx, id)
	if err != nil {
		return err
	}
	if !ok || s.User != me(c).ID {
		return a.notFound(c)
	}
	if err := a.signins.remove(ctx, id); err != nil {
		return err
	}
	if err := a.audit.note(ctx, me(c), "session.end", s.User, strings.TrimSpace(s.Client+" "+s.Network)); err != nil {
		return err
	}
	return a.done(c, "/account", "That session has ended.")
}
