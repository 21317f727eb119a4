package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/settings"
)

// identityProblem says what a client may know of what the graph refused.
func identityProblem(err error) error {
	for known, p := range map[error]httpserver.Problem{
		identity.ErrUnknown:   {Status: http.StatusNotFound, Code: "unknown_identity"},
		identity.ErrNotLinked: {Status: http.StatusConflict, Code: "not_linked"},
		identity.ErrTooMany:   {Status: http.StatusConflict, Code: "too_many"},
	} {
		if errors.Is(err, known) {
			return httpserver.NewProblem(p.Status, p.Code, known.Error())
		}
	}
	return err
}

// found is an identifier at a pixel.
type found struct {
	pixel string
	id    identity.ID
}

// find looks a name up at one pixel, or at all of them.
func (a *Admin) find(ctx context.Context, pixel, name string) ([]found, error) {
	pixels := []string{pixel}
	if _, ok := a.seen(ctx, pixel); pixel != "" && !ok && whoOf(ctx).Confined() {
		return nil, identity.ErrUnknown
	}
	if pixel == "" {
		pixels = nil
		for _, p := range a.pixels(ctx) {
			pixels = append(pixels, p.ID)
		}
	}
	var out []found
	for _, p := range pixels {
		id, err := a.o.People.Find(ctx, p, name)
		if err == nil {
			out = append(out, found{p, id})
		} else if !errors.Is(err, identity.ErrUnknown) {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, identity.ErrUnknown
	}
	return out, nil
}

// profileView is a profile, with the other pixels that know the identifier.
type profileView struct {
	identity.Profile `json:",embed"`

	AlsoAt []string `json:"also_at"`
}

func (a *Admin) profile(ctx context.Context, pixel, name string) (profileView, error) {
	list, err := a.find(ctx, pixel, name)
	if err != nil {
		return profileView{}, identityProblem(err)
	}
	p, err := a.o.People.Profile(ctx, list[0].pixel, list[0].id)
	if err != nil {
		return profileView{}, identityProblem(err)
	}
	v := profileView{Profile: p, AlsoAt: []string{}}
	for _, f := range list[1:] {
		v.AlsoAt = append(v.AlsoAt, f.pixel)
	}
	return v, nil
}

func (a *Admin) getIdentity(c *echo.Context) error {
	q := a.query(c)
	pixel := q.text("pixel_id")
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	v, err := a.profile(ctx, pixel, param(c, "id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, v)
}

// decision is what somebody decides of an identifier, or of a link of it.
type decision struct {
	PixelID string `json:"pixel_id"`
	// Other is the link's other end.
	Other string `json:"other"`
}

// What can be decided, by the last part of the address.
const (
	unlink  = "unlink"
	relink  = "relink"
	isolate = "isolate"
	release = "release"
)

// decide does it, records it, and returns the profiles that came of it.
func (a *Admin) decide(ctx context.Context, who principal, what, name string, d decision) ([]identity.Profile, error) {
	pair := what == unlink || what == relink
	switch {
	case d.PixelID == "":
		return nil, httpserver.NewProblem(http.StatusBadRequest, "invalid", "pixel_id is required: what is known of people is kept for each pixel apart")
	case pair && d.Other == "":
		return nil, httpserver.NewProblem(http.StatusBadRequest, "invalid", "other is required: the identifier at the link's other end")
	}
	ids := []identity.ID{}
	for _, n := range []string{name, d.Other} {
		if n == "" {
			continue
		}
		id, err := a.o.People.Find(ctx, d.PixelID, n)
		if err != nil {
			return nil, identityProblem(err)
		}
		ids = append(ids, id)
	}
	var err error
	switch what {
	case unlink:
		err = a.o.People.Unlink(ctx, d.PixelID, ids[0], ids[1])
	case relink:
		err = a.o.People.Relink(ctx, d.PixelID, ids[0], ids[1])
	case isolate:
		err = a.o.People.Isolate(ctx, d.PixelID, ids[0])
	case release:
		err = a.o.People.Release(ctx, d.PixelID, ids[0])
	}
	if err != nil {
		return nil, identityProblem(err)
	}
	// By digests: the log outlives what it is about.
	target := ids[0].String()
	if pair {
		target += " " + ids[1].String()
	}
	if err := a.audit.note(ctx, who, "identity."+what, d.PixelID+" "+target, ""); err != nil {
		return nil, err
	}
	out := []identity.Profile{}
	for _, id := range ids {
		p, err := a.o.People.Profile(ctx, d.PixelID, id)
		if err != nil {
			return nil, identityProblem(err)
		}
		if len(out) == 0 || out[0].ID != p.ID {
			out = append(out, p)
		}
	}
	return out, nil
}

func (a *Admin) decideIdentity(what string) echo.HandlerFunc {
	return func(c *echo.Context) error {
		var d decision
		if err := decode(c, &d); err != nil {
			return err
		}
		ctx, cancel := a.bounded(c)
		defer cancel()
		list, err := a.decide(ctx, me(c), what, param(c, "id"), d)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, items(list, ""))
	}
}

func (a *Admin) listQuarantine(c *echo.Context) error {
	q := a.query(c)
	pixel := q.text("pixel_id")
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	list, err := a.quarantine(ctx, pixel)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items(list, ""))
}

// quarantined is an identifier that links nobody, and where.
type quarantined struct {
	PixelID string `json:"pixel_id"`
	Name    string `json:"id"`

	identity.Quarantined `json:",embed"`
}

func (a *Admin) quarantine(ctx context.Context, pixel string) ([]quarantined, error) {
	out := []quarantined{}
	for _, p := range a.pixels(ctx) {
		if pixel != "" && p.ID != pixel {
			continue
		}
		list, err := a.o.People.Quarantine(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		for _, q := range list {
			out = append(out, quarantined{p.ID, q.ID.String(), q})
		}
	}
	return out, nil
}

type identitiesData struct {
	Pixels     []settings.Pixel
	Pixel      string
	Profile    *profileView
	Unknown    bool
	Old        bool // the address is of a search that is no longer known
	Quarantine []quarantined
}

// identitiesPage shows one profile, and what is quarantined.
func (a *Admin) identitiesPage(c *echo.Context) error {
	s, err := a.sought(c)
	if err != nil {
		return a.identitiesView(c, http.StatusNotFound, identitiesData{Pixel: c.QueryParam("pixel_id"), Old: true})
	}
	return a.showIdentities(c, c.QueryParam("pixel_id"), s.Identity)
}

// identityAddress is where a profile is shown.
func (a *Admin) identityAddress(pixel, id string) string {
	return "/identities" + asQuery("pixel_id", pixel, "find", a.handle("identity", id))
}

func (a *Admin) findIdentityForm(c *echo.Context) error {
	pixel, name := c.FormValue("pixel_id"), wanted(c, "name")
	ctx, cancel := a.bounded(c)
	defer cancel()
	list, err := a.find(ctx, pixel, name)
	if errors.Is(err, identity.ErrUnknown) {
		d := identitiesData{Pixel: pixel, Unknown: true}
		return a.identitiesView(c, http.StatusNotFound, d)
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, a.identityAddress(list[0].pixel, list[0].id.String()))
}

func (a *Admin) showIdentities(c *echo.Context, pixel, name string) error {
	d := identitiesData{Pixel: pixel}
	if name != "" {
		ctx, cancel := a.bounded(c)
		defer cancel()
		v, err := a.profile(ctx, pixel, name)
		if err != nil {
			if p := problem(err); p == nil || p.Status != http.StatusNotFound {
				return err
			}
			d.Unknown = true
			return a.identitiesView(c, http.StatusNotFound, d)
		}
		d.Profile = &v
	}
	return a.identitiesView(c, http.StatusOK, d)
}

func (a *Admin) identitiesView(c *echo.Context, status int, d identitiesData) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d.Pixels = a.pixels(ctx)
	var err error
	if d.Quarantine, err = a.quarantine(ctx, d.Pixel); err != nil {
		return err
	}
	return a.show(c, status, "identities", view{Title: "Identities", Nav: "identities", Data: d})
}

func (a *Admin) decideIdentityForm(c *echo.Context) error {
	what, pixel, id := c.FormValue("what"), c.FormValue("pixel_id"), c.FormValue("id")
	said := map[string]string{
		unlink:  "The link is undone. It stays so when both are seen together again.",
		relink:  "The link counts again.",
		isolate: "The identifier links nobody any more.",
		release: "The identifier links again what it was seen with.",
	}[what]
	if said == "" {
		return httpserver.NewProblem(http.StatusBadRequest, "invalid", "there is no such decision")
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	list, err := a.decide(ctx, me(c), what, id, decision{PixelID: pixel, Other: c.FormValue("other")})
	if err != nil {
		return err
	}
	if what == unlink && len(list) == 1 {
		said += " Something else still holds the two together: look at the links that are left."
	}
	return a.done(c, a.identityAddress(pixel, list[0].ID), said)
}
