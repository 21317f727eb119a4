package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// former is what something was before a change, kept beside the log so that the change
// can be taken back.
type former struct {
	Pixel   *settings.Pixel `json:"pixel,omitempty"`
	Partner *partnerFormer  `json:"partner,omitempty"`
	User    *userFormer     `json:"user,omitempty"`
	Token   *token          `json:"token,omitempty"` // that was revoked
	// Revision is what the change made; 0: it deleted. Undo refuses any later one.
	Revision int64 `json:"revision"`
}

// userFormer is what somebody might do before, and by which change that ended: a later
// one of their role, or of their password, is not written over.
type userFormer struct {
	Role        Role     `json:"role"`
	Advertisers []string `json:"advertisers,omitempty"`
	After       int      `json:"after"` // the user's generation
}

// partnerFormer is a partner without secrets: those are not brought back.
type partnerFormer struct {
	Mode     settings.Mode `json:"mode"`
	Settings []byte        `json:"settings,omitempty"`
	Dry      bool          `json:"dry"`
}

// undoFor is how long a change can be taken back.
const undoFor = 90 * 24 * time.Hour

func formerKey(entry string) string { return "admin:former:" + entry }

// remember keeps what was before the change of an entry.
func (a *Admin) remember(ctx context.Context, entry string, f former) error {
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return a.o.State.Set(context.WithoutCancel(ctx), state.Entry{Key: formerKey(entry), Value: body, TTL: undoFor})
}

func (a *Admin) formerOf(ctx context.Context, entry string) (f former, ok bool, err error) {
	values, err := a.o.State.Get(ctx, formerKey(entry))
	if err != nil || values[0] == nil {
		return f, false, err
	}
	return f, true, json.Unmarshal(values[0], &f)
}

// undoable says which entries can be taken back.
func (a *Admin) undoable(ctx context.Context, list []entry) ([]entryView, error) {
	out := make([]entryView, len(list))
	keys := make([]string, len(list))
	for i, e := range list {
		out[i], keys[i] = entryView{entry: e}, formerKey(e.ID)
	}
	if len(keys) == 0 {
		return out, nil
	}
	values, err := a.o.State.Get(ctx, keys...)
	for i := range values {
		out[i].Undoable = values[i] != nil
	}
	return out, err
}

// entryView is an entry as it is shown.
type entryView struct {
	entry `json:",embed"`

	Undoable bool `json:"undoable"`
}

func changedSince(what string) error {
	return httpserver.NewProblem(http.StatusConflict, "changed_since", what+" was changed again since: undo the later change first, or change it by hand")
}

// undo brings back what was before a change, as a change of its own.
func (a *Admin) undo(ctx context.Context, who principal, id string) error {
	f, ok, err := a.formerOf(ctx, id)
	if err != nil {
		return err
	}
	if !ok {
		return httpserver.NewProblem(http.StatusNotFound, "not_undoable", fmt.Sprintf("this cannot be undone: it changed no settings, or is older than %d days, or was undone already", int(undoFor.Hours()/24)))
	}
	switch {
	case f.Pixel != nil:
		p := *f.Pixel
		now, there := a.o.Settings.Pixel(p.ID)
		switch {
		case f.Revision == 0 && there, f.Revision != 0 && !there, there && now.Revision != f.Revision:
			return changedSince("the pixel " + p.ID)
		case !there:
			_, err = a.addPixel(ctx, who, p)
		case a.secondPerson(now) && len(fieldChanges(now.Fields, p.Fields)) > 0:
			return httpserver.NewProblem(http.StatusConflict, "approval_needed", "a second person approves what partners may be told: decide upon the fields anew, under Privacy")
		default:
			p.Revision = now.Revision
			_, err = a.changePixel(ctx, who, "pixel.undo", p)
		}
	case f.User != nil:
		err = a.undoRole(ctx, who, id, *f.User)
	case f.Token != nil:
		err = a.undoRevoke(ctx, who, *f.Token)
	case f.Partner != nil:
		e, _, _, err := a.audit.log.get(ctx, id)
		if err != nil {
			return err
		}
		now := a.o.Settings.Partner(e.Target)
		if now.Revision != f.Revision {
			return changedSince("the partner " + e.Target)
		}
		all, err := nulled(now.Settings, f.Partner.Settings)
		if err != nil {
			return err
		}
		if err := a.changePartner(ctx, who, e.Target, partnerChange{Mode: &f.Partner.Mode, Settings: all, Dry: &f.Partner.Dry, Revision: &now.Revision}); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return a.o.State.Delete(context.WithoutCancel(ctx), formerKey(id))
}

// undoRole gives somebody back the role that they had.
func (a *Admin) undoRole(ctx context.Context, who principal, entry string, f userFormer) error {
	e, _, _, err := a.audit.log.get(ctx, entry)
	if err != nil {
		return err
	}
	now, _, ok, err := a.people.users.get(ctx, e.Target)
	switch {
	case err != nil:
		return err
	case !ok:
		return errNoUser
	case now.Generation != f.After:
		return changedSince("this person's role or password")
	}
	_, err = a.changeUser(ctx, who, e.Target, userChange{Role: &f.Role, Advertisers: &f.Advertisers})
	return err
}

// undoRevoke has a token work again. What it may is no more than whoever takes the
// revocation back could give out.
func (a *Admin) undoRevoke(ctx context.Context, who principal, t token) error {
	if err := a.grant(who, t); err != nil {
		return err
	}
	err := a.people.tokens.put(ctx, t.ID, 0, t)
	if errors.Is(err, state.ErrConflict) {
		return changedSince("the token " + t.Name)
	}
	if err != nil {
		return err
	}
	return a.audit.note(ctx, who, "token.undo", t.ID, t.Name)
}

func (a *Admin) undoChange(c *echo.Context) error {
	if err := a.undo(c.Request().Context(), me(c), param(c, "id")); err != nil {
		return pendingAnswer(c, err)
	}
	return c.NoContent(http.StatusNoContent)
}

func (a *Admin) undoForm(c *echo.Context) error {
	if err := a.undo(c.Request().Context(), me(c), param(c, "id")); err != nil {
		return a.pendingForm(c, err)
	}
	return a.done(c, "/audit", "Undone: what was before is in force again.")
}
