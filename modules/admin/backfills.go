package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/backfill"
	"github.com/miq/pixel/modules/settings"
)

// replayBody asks for a backfill.
type replayBody struct {
	PixelID  string    `json:"pixel_id"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Events   []string  `json:"events"`
	Where    string    `json:"where"`
	Storage  bool      `json:"storage"`
	Credits  bool      `json:"credits"`
	Partners []string  `json:"partners"`
	Rate     int       `json:"rate"`
}

// rehearsalBody asks for a rehearsal; Change is what PATCH /pixels/{id} would take.
type rehearsalBody struct {
	PixelID string         `json:"pixel_id"`
	Since   time.Time      `json:"since"`
	Until   time.Time      `json:"until"`
	Events  []string       `json:"events"`
	Where   string         `json:"where"`
	Change  jsontext.Value `json:"change"`
}

func (a *Admin) listBackfills(c *echo.Context) error {
	if err := a.query(c).err(); err != nil {
		return err
	}
	list, err := a.jobs(c.Request().Context())
	if err != nil {
		return err
	}
	for i := range list {
		list[i].Report = nil // each has an address of its own
	}
	return c.JSON(http.StatusOK, items(list, ""))
}

func (a *Admin) getBackfill(c *echo.Context) error {
	job, err := a.job(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, job)
}

func (a *Admin) createBackfill(c *echo.Context) error {
	var in replayBody
	if err := decode(c, &in); err != nil {
		return err
	}
	job, err := a.startBackfill(c.Request().Context(), me(c), backfill.Spec{
		PixelID: in.PixelID, Since: in.Since, Until: in.Until, Events: in.Events, Where: in.Where, Storage: in.Storage, Credits: in.Credits, Partners: in.Partners, Rate: in.Rate,
	})
	return a.created(c, job, err)
}

func (a *Admin) createRehearsal(c *echo.Context) error {
	var in rehearsalBody
	if err := decode(c, &in); err != nil {
		return err
	}
	job, err := a.startRehearsal(c.Request().Context(), me(c), in)
	return a.created(c, job, err)
}

func (a *Admin) created(c *echo.Context, job backfill.Job, err error) error {
	if err != nil {
		return err
	}
	c.Response().Header().Set("Location", base+"/backfills/"+job.ID)
	return c.JSON(http.StatusCreated, job)
}

func (a *Admin) cancelBackfill(c *echo.Context) error {
	return a.turnBackfill(c, "backfill.cancel", a.backfills.Cancel)
}

func (a *Admin) resumeBackfill(c *echo.Context) error {
	return a.turnBackfill(c, "backfill.resume", a.backfills.Resume)
}

func (a *Admin) turnBackfill(c *echo.Context, action string, do func(context.Context, string) (backfill.Job, error)) error {
	job, err := a.turned(c, action, do)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, job)
}

func (a *Admin) turned(c *echo.Context, action string, do func(context.Context, string) (backfill.Job, error)) (backfill.Job, error) {
	ctx := c.Request().Context()
	job, err := do(ctx, param(c, "id"))
	if err != nil {
		return job, err
	}
	return job, a.audit.note(ctx, me(c), action, job.ID, "")
}

// startBackfill enters a job, and who asked for it.
func (a *Admin) startBackfill(ctx context.Context, who principal, spec backfill.Spec) (backfill.Job, error) {
	if spec.PixelID != "" {
		if _, err := a.pixel(ctx, spec.PixelID); err != nil {
			return backfill.Job{}, settings.Invalid{{Field: "pixel_id", Message: "there is no pixel of that id"}}
		}
	}
	job, err := a.backfills.Create(ctx, spec, who.Name)
	if err != nil {
		return job, err
	}
	return job, a.audit.note(ctx, who, "backfill.start", job.ID, purpose(job))
}

// startRehearsal enters a rehearsal of a change that is checked as if it were saved.
func (a *Admin) startRehearsal(ctx context.Context, who principal, in rehearsalBody) (backfill.Job, error) {
	p, err := a.pixel(ctx, in.PixelID)
	if err != nil {
		return backfill.Job{}, settings.Invalid{{Field: "pixel_id", Message: "there is no pixel of that id"}}
	}
	if in.Change.Kind() != '{' {
		return backfill.Job{}, settings.Invalid{{Field: "change", Message: `must be an object, as PATCH /pixels/{id} takes it, such as {"routes": […]}`}}
	}
	changed, err := patched(p, in.Change)
	if err != nil {
		return backfill.Job{}, err
	}
	normalize(&changed)
	if err := a.checkPixel(changed); err != nil {
		return backfill.Job{}, err
	}
	if err := changed.Validate(); err != nil {
		return backfill.Job{}, err
	}
	return a.startBackfill(ctx, who, backfill.Spec{PixelID: p.ID, Since: in.Since, Until: in.Until, Events: in.Events, Where: strings.TrimSpace(in.Where), Change: &changed})
}

// purpose says in words what a job does.
func purpose(job backfill.Job) string {
	s := job.Spec
	what := "Everything"
	if len(s.Events) > 0 {
		what = strings.Join(s.Events, ", ")
	}
	if s.PixelID != "" {
		what += " of " + s.PixelID
	} else {
		what += " of all pixels"
	}
	if !s.Since.IsZero() {
		what += " since " + s.Since.UTC().Format("2 Jan 2006 15:04")
	}
	if !s.Until.IsZero() {
		what += " until " + s.Until.UTC().Format("2 Jan 2006 15:04") + " UTC"
	}
	if s.Where != "" {
		what += " where " + short(s.Where, 100)
	}
	var to []string
	if s.Storage {
		to = append(to, "the event store")
	}
	if s.Credits {
		to = append(to, "attribution")
	}
	to = append(to, s.Partners...)
	if s.Rehearsal() {
		return what + ", a change tried on it"
	}
	what += ", to " + strings.Join(to, " and ")
	if s.Rate > 0 {
		what += ", " + number(s.Rate) + " a second"
	}
	return what
}

// The page.
