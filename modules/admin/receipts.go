package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
)

// chainView is what is proven of one visitor's consent at one pixel.
type chainView struct {
	PixelID  string                 `json:"pixel_id"`
	Subject  string                 `json:"subject"`
	Current  event.State            `json:"current,omitempty"` // as it is known now; empty where nothing is
	Revoked  bool                   `json:"revoked"`           // the visitor withdrew everything at some time
	Intact   bool                   `json:"intact"`
	Chains   int                    `json:"chains"`
	Problems []consent.Problem      `json:"problems"`
	Receipts []event.ConsentReceipt `json:"receipts"` // in the order of the chain
}

// chains are a visitor's receipts at one pixel, or at all of them.
func (a *Admin) chains(c *echo.Context, pixel, visitor string) ([]chainView, error) {
	ctx, cancel := a.bounded(c)
	defer cancel()
	ids := []string{pixel}
	if pixel == "" {
		ids = nil
		for _, p := range a.o.Settings.Pixels() {
			ids = append(ids, p.ID)
		}
	}
	out := []chainView{}
	for _, id := range ids {
		v := consent.Visitor{PixelID: id, ID: visitor}
		newest, err := consent.Load(ctx, a.o.State, v)
		if err != nil {
			return nil, err
		}
		f := analytics.ReceiptFilter{PixelID: id, Subjects: []string{consent.Subject(v)}, Limit: analytics.MaxLimit}
		var receipts []event.ConsentReceipt
		for {
			page, err := a.o.Receipts.Receipts(ctx, f)
			if err != nil {
				return nil, err
			}
			receipts = append(receipts, page.Receipts...)
			if f.Cursor = page.Next; f.Cursor == "" {
				break
			}
		}
		if len(receipts) == 0 && newest[0] == nil {
			continue
		}
		slices.Reverse(receipts)
		receipts = consent.InOrder(receipts)
		view := chainView{PixelID: id, Subject: consent.Subject(v), Receipts: nonNil(receipts)}
		view.Problems, view.Chains = a.o.Book.Check(receipts, newest[0])
		view.Problems, view.Intact = nonNil(view.Problems), len(view.Problems) == 0
		if n := newest[0]; n != nil {
			view.Current, view.Revoked = n.Verdict.State, !n.Revoked.IsZero()
		}
		out = append(out, view)
	}
	return out, nil
}

func (a *Admin) listReceipts(c *echo.Context) error {
	q := a.query(c)
	pixel, visitor := q.text("pixel_id"), strings.TrimSpace(q.text("visitor_id"))
	if visitor == "" {
		q.fail("visitor_id", "is required: receipts are found by the visitor's id, which they do not hold themselves")
	}
	if err := q.err(); err != nil {
		return err
	}
	list, err := a.chains(c, pixel, visitor)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items(list, ""))
}

type receiptsData struct {
	Pixel, Visitor string
	Pixels         []string
	Asked          bool
	Old            bool // the address is of a search that is no longer known
	Chains         []chainView
	Export         string
}

// findReceiptsForm leads from a visitor's id to an address that does not say it.
func (a *Admin) findReceiptsForm(c *echo.Context) error {
	find := ""
	if visitor := wanted(c, "visitor_id"); visitor != "" {
		find = a.handle("visitor", visitor)
	}
	return c.Redirect(http.StatusSeeOther, "/privacy/receipts"+asQuery("pixel_id", c.FormValue("pixel_id"), "find", find))
}

func (a *Admin) receiptsPage(c *echo.Context) error {
	d := receiptsData{Pixel: c.QueryParam("pixel_id")}
	for _, p := range a.o.Settings.Pixels() {
		d.Pixels = append(d.Pixels, p.ID)
	}
	status := http.StatusOK
	s, err := a.sought(c)
	if d.Old = err != nil; d.Old {
		status = http.StatusNotFound
	}
	if d.Visitor = s.Visitor; d.Visitor != "" {
		d.Asked = true
		if d.Chains, err = a.chains(c, d.Pixel, d.Visitor); err != nil {
			return err
		}
		d.Export = "/privacy/receipts/export" + asQuery("pixel_id", d.Pixel, "find", c.QueryParam("find"))
	}
	return a.show(c, status, "receipts", view{Title: "Consent receipts", Nav: "receipts", Data: d})
}

// exportReceipts is a visitor's receipts as a file. Who took one is recorded, by the
// digests of the visitor's id and not by the id.
func (a *Admin) exportReceipts(c *echo.Context) error {
	s, err := a.sought(c)
	if err != nil || s.Visitor == "" {
		return httpserver.NewProblem(http.StatusNotFound, "unknown_search", "the search that this export is of is older than a day: search again")
	}
	list, err := a.chains(c, c.QueryParam("pixel_id"), s.Visitor)
	if err != nil {
		return err
	}
	for _, v := range list {
		if err := a.audit.note(c.Request().Context(), me(c), "receipts.export", v.PixelID, v.Subject); err != nil {
			return err
		}
	}
	body, err := json.Marshal(map[string]any{"exported_at": a.now().UTC(), "visitors": list}, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	c.Response().Header().Set("Content-Disposition", `attachment; filename="consent-receipts.json"`)
	return c.Blob(http.StatusOK, "application/json", body)
}
