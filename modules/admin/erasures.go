package admin

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/settings"
)

// erasureInput is what an erasure is asked for with.
type erasureInput struct {
	PixelID     string               `json:"pixel_id"`
	Identifiers []erasure.Identifier `json:"identifiers"`
	Note        string               `json:"note"`
	// DryRun says what would be deleted, and deletes nothing.
	DryRun bool `json:"dry_run"`
}

// maxIdentifiers bounds one request.
const maxIdentifiers = 20

func (a *Admin) checkErasure(in erasureInput) error {
	var bad settings.Invalid
	fail := func(field, message string) { bad = append(bad, settings.Problem{Field: field, Message: message}) }
	if _, ok := a.o.Settings.Pixel(in.PixelID); in.PixelID != "" && !ok {
		fail("pixel_id", "is no pixel of ours; leave it out for all")
	}
	if n := len(in.Identifiers); n == 0 || n > maxIdentifiers {
		fail("identifiers", "must be 1 to "+strconv.Itoa(maxIdentifiers)+" identifiers of one person")
	}
	for i, id := range in.Identifiers {
		if err := id.Check(); err != nil {
			fail("identifiers/"+strconv.Itoa(i), err.Error())
		}
	}
	if len(in.Note) > 500 {
		fail("note", "must have at most 500 characters")
	}
	if bad != nil {
		return bad
	}
	return nil
}

// previewErasure counts what an erasure would delete.
func (a *Admin) previewErasure(c *echo.Context, in erasureInput) (erasure.Preview, error) {
	ctx, cancel := a.bounded(c)
	defer cancel()
	p, err := a.o.Finder.Preview(ctx, a.o.Eraser, in.PixelID, in.Identifiers...)
	if crowd, ok := errors.AsType[*erasure.CrowdError](err); ok {
		return p, settings.Invalid{{Field: "identifiers", Message: crowd.Error()}}
	}
	return p, err
}

// askErasure takes a request in. The audit log has its id and never the person.
func (a *Admin) askErasure(c *echo.Context, in erasureInput) (erasure.Request, error) {
	ctx := c.Request().Context()
	r, err := a.o.Erasures.Ask(ctx, in.PixelID, me(c).Name, in.Note, in.Identifiers...)
	if err != nil {
		return r, err
	}
	return r, a.audit.note(ctx, me(c), "erasure.create", r.ID, in.PixelID)
}

func (a *Admin) createErasure(c *echo.Context) error {
	var in erasureInput
	if err := decode(c, &in); err != nil {
		return err
	}
	if err := a.checkErasure(in); err != nil {
		return err
	}
	if in.DryRun {
		p, err := a.previewErasure(c, in)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, p)
	}
	r, err := a.askErasure(c, in)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Location", base+"/erasures/"+r.ID)
	return c.JSON(http.StatusAccepted, r)
}

func (a *Admin) listErasures(c *echo.Context) error {
	q := a.query(c)
	cursor, limit := q.text("cursor"), q.number("limit", 1, 1000, 50)
	if err := q.err(); err != nil {
		return err
	}
	list, err := a.o.Erasures.List(c.Request().Context())
	if err != nil {
		return err
	}
	from := 0
	if cursor != "" {
		from = slices.IndexFunc(list, func(r erasure.Request) bool { return r.ID == cursor }) + 1
	}
	list, next := list[from:], ""
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].ID
	}
	return c.JSON(http.StatusOK, items(list, next))
}

func (a *Admin) erasure(c *echo.Context) (erasure.Request, error) {
	r, err := a.o.Erasures.Get(c.Request().Context(), param(c, "id"))
	if errors.Is(err, erasure.ErrNotFound) {
		err = httpserver.NewProblem(http.StatusNotFound, "not_found", "no such erasure")
	}
	return r, err
}

func (a *Admin) getErasure(c *echo.Context) error {
	r, err := a.erasure(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, r)
}

// getCertificate hands the proof of an erasure out.
func (a *Admin) getCertificate(c *echo.Context) error {
	r, err := a.erasure(c)
	if err != nil {
		return err
	}
	if r.Certificate == nil {
		return httpserver.NewProblem(http.StatusNotFound, "not_finished", "the erasure has not ended yet, so there is no certificate")
	}
	all, err := a.o.Erasures.List(c.Request().Context())
	if err != nil {
		return err
	}
	problems := []string{}
	for _, err := range a.o.Erasures.Chain(all) {
		problems = append(problems, err.Error())
	}
	c.Response().Header().Set("Content-Disposition", `attachment; filename="erasure-`+r.ID+`.json"`)
	return c.JSON(http.StatusOK, certificateView{r.Certificate, r.LookedAgain, problems})
}

// certificateView is a certificate, that of the later look, and what is wrong with the
// chain of all certificates.
type certificateView struct {
	Certificate *erasure.Certificate `json:"certificate"`
	LookedAgain *erasure.Certificate `json:"looked_again,omitempty"`
	Problems    []string             `json:"problems"`
}

type erasuresData struct {
	Requests []erasure.Request
	Pixels   []string
	Kinds    []string
	Form     erasureInput
	Preview  *erasure.Preview
	Errors   map[string]string
	Broken   []error
}

func (a *Admin) erasuresView(c *echo.Context, status int, d erasuresData) error {
	var err error
	if d.Requests, err = a.o.Erasures.List(c.Request().Context()); err != nil {
		return err
	}
	d.Broken = a.o.Erasures.Chain(d.Requests)
	for _, p := range a.o.Settings.Pixels() {
		d.Pixels = append(d.Pixels, p.ID)
	}
	d.Kinds = erasure.Kinds
	if len(d.Form.Identifiers) == 0 {
		d.Form.Identifiers = []erasure.Identifier{{Kind: erasure.Kinds[0]}}
	}
	return a.show(c, status, "erasures", view{Title: "Erasure", Nav: "receipts", Data: d})
}

func (a *Admin) erasuresPage(c *echo.Context) error {
	return a.erasuresView(c, http.StatusOK, erasuresData{})
}

// erasuresForm shows what would be deleted, and only the second time takes it in. What
// names the person comes in the body, never in an address.
func (a *Admin) erasuresForm(c *echo.Context) error {
	in := erasureInput{
		PixelID: c.FormValue("pixel_id"), Note: strings.TrimSpace(c.FormValue("note")),
		Identifiers: []erasure.Identifier{{Kind: c.FormValue("kind"), Value: strings.TrimSpace(c.FormValue("value"))}},
	}
	d := erasuresData{Form: in}
	err := a.checkErasure(in)
	if err == nil && c.FormValue("confirm") == "" {
		var p erasure.Preview
		if p, err = a.previewErasure(c, in); err == nil {
			d.Preview = &p
			return a.erasuresView(c, http.StatusOK, d)
		}
	}
	if bad, ok := fieldErrors(err); err != nil && ok {
		d.Errors = map[string]string{}
		for key, message := range bad {
			field, ok := map[string]string{"identifiers": "value", "identifiers/0": "value", "note": "note"}[key]
			if !ok && key != "" {
				message = key + " " + message
			}
			d.Errors[field] = message
		}
		return a.erasuresView(c, http.StatusUnprocessableEntity, d)
	}
	if err != nil {
		return err
	}
	r, err := a.askErasure(c, in)
	if err != nil {
		return err
	}
	return a.done(c, "/privacy/erasures/"+r.ID, "The erasure has begun.")
}

type erasureData struct {
	Request erasure.Request
	Ended   bool
	Rows    []erasureRow
	Broken  []error
}

// erasureRow is what was deleted from a store.
type erasureRow struct {
	Store, What string
	N, Left     int
}

func (a *Admin) erasurePage(c *echo.Context) error {
	r, err := a.erasure(c)
	if err != nil {
		return err
	}
	d := erasureData{Request: r, Ended: r.State != erasure.Waiting && r.State != erasure.Running}
	counts := r.Erased
	if r.Certificate != nil {
		counts = r.Certificate.Erased
	}
	for _, store := range slices.Sorted(maps.Keys(counts)) {
		for _, what := range slices.Sorted(maps.Keys(counts[store])) {
			if counts[store][what] == 0 {
				continue
			}
			row := erasureRow{Store: store, What: what, N: counts[store][what]}
			if r.Certificate != nil {
				row.Left = r.Certificate.Left[store]
			}
			d.Rows = append(d.Rows, row)
		}
	}
	if r.Certificate != nil {
		all, err := a.o.Erasures.List(c.Request().Context())
		if err != nil {
			return err
		}
		d.Broken = a.o.Erasures.Chain(all)
	}
	return a.show(c, http.StatusOK, "erasure", view{Title: "Erasure " + r.ID, Nav: "receipts", Data: d})
}
