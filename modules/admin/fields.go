package admin

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/fields"
	"github.com/miq/pixel/modules/settings"
)

// fieldView is a field that went from a pixel to a partner.
type fieldView struct {
	PixelID   string    `json:"pixel_id"`
	Partner   string    `json:"partner"`
	Field     string    `json:"field"` // in plain words
	Path      string    `json:"path"`  // in the partner's request
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Events    int64     `json:"events"`
}

// Count is for people.
func (f fieldView) Count() string { return count(int(f.Events), "event") }

// sentFields are those of a pixel, or of all that whoever asks may see, and of a
// partner or all.
func (a *Admin) sentFields(ctx context.Context, pixel, partner string) ([]fieldView, error) {
	var pixels []string
	for _, p := range a.pixels(ctx) {
		if pixel == "" || p.ID == pixel {
			pixels = append(pixels, p.ID)
		}
	}
	partners := a.partners.order
	if partner != "" {
		partners = slices.DeleteFunc(slices.Clone(partners), func(p string) bool { return p != partner })
	}
	rows, err := fields.Read(ctx, a.o.State, pixels, partners)
	if err != nil {
		return nil, err
	}
	out := make([]fieldView, len(rows))
	for i, r := range rows {
		out[i] = fieldView{r.PixelID, r.Partner, fieldWords(r.Path), r.Path, r.First, r.Last, r.Events}
	}
	return out, nil
}

// fieldsReport is the matrix of which field goes to which partner.
func (a *Admin) fieldsReport(c *echo.Context) error {
	q := a.query(c)
	pixel, partner := q.text("pixel_id"), q.text("partner")
	format := q.choice("format", "json", formats...)
	if err := q.err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	list, err := a.sentFields(ctx, pixel, partner)
	if err != nil {
		return err
	}
	if format == "json" {
		return c.JSON(http.StatusOK, items(list, ""))
	}
	out := download(c, "fields", format, append(columnsOf("", "pixel_id", "partner", "field", "path"), column{"first_seen", time.Time{}}, column{"last_seen", time.Time{}}, column{"events", int64(0)}))
	for _, f := range list {
		if err := out.row(f.PixelID, f.Partner, f.Field, f.Path, f.FirstSeen, f.LastSeen, f.Events); err != nil {
			return err
		}
	}
	return out.end()
}

// fieldsData is what the page of the matrix shows.
type fieldsData struct {
	Pixel    string
	Pixels   []settings.Pixel
	Partners []fieldPartner // the columns
	Rows     []fieldRow
	File     string
	Waiting  []fieldGroup
	Switches []fieldSwitch
	Refused  []refusedField
}

// fieldGroup are the fields of a pixel that a partner was never told.
type fieldGroup struct {
	PixelID, Pixel, Partner, Title string
	Fields                         []waitingField
}

// fieldSwitch says of a pixel what becomes of new fields.
type fieldSwitch struct {
	PixelID, Name     string
	Hold              bool
	Approved, Refused int
}

// refusedField is one that a partner is not told.
type refusedField struct{ PixelID, Pixel, Partner, Title, Words, Path string }

type fieldPartner struct {
	Name, Title string
	Fields      int
}

// fieldRow is what the partners call differently and is the same.
type fieldRow struct {
	Words string
	Cells [][]fieldView // by the columns: a partner may be told it in several places
}

// fieldsPage shows the matrix, over the pixels that are chosen.
func (a *Admin) fieldsPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := fieldsData{Pixel: c.QueryParam("pixel_id"), Pixels: a.pixels(ctx)}
	list, err := a.sentFields(ctx, d.Pixel, "")
	if err != nil {
		return err
	}
	columns := map[string]int{}
	for _, name := range a.partners.order {
		if slices.ContainsFunc(list, func(f fieldView) bool { return f.Partner == name }) {
			columns[name] = len(d.Partners)
			d.Partners = append(d.Partners, fieldPartner{Name: name, Title: a.partners.title(name)})
		}
	}
	rows := map[string]int{}
	for _, f := range list {
		i, known := rows[f.Field]
		if !known {
			i = len(d.Rows)
			rows[f.Field] = i
			d.Rows = append(d.Rows, fieldRow{f.Field, make([][]fieldView, len(d.Partners))})
		}
		n := columns[f.Partner]
		cell := &d.Rows[i].Cells[n]
		at := slices.IndexFunc(*cell, func(o fieldView) bool { return o.Path == f.Path })
		if at < 0 {
			*cell = append(*cell, f)
			d.Partners[n].Fields++
			continue
		}
		// Of another pixel.
		o := &(*cell)[at]
		o.Events += f.Events
		if f.LastSeen.After(o.LastSeen) {
			o.LastSeen = f.LastSeen
		}
		if f.FirstSeen.Before(o.FirstSeen) {
			o.FirstSeen = f.FirstSeen
		}
	}
	slices.SortFunc(d.Rows, func(x, y fieldRow) int {
		return cmp.Or(cmp.Compare(fieldRank(x.Words), fieldRank(y.Words)), strings.Compare(x.Words, y.Words))
	})
	if err := a.fieldsHeld(ctx, &d); err != nil {
		return err
	}
	d.File = base + "/fields?" + url.Values{"pixel_id": {d.Pixel}}.Encode()
	return a.show(c, http.StatusOK, "fields", view{Title: "Fields by partner", Nav: "receipts", Data: d})
}

// fieldsHeld adds what waits, what was refused and the pixels' switches.
func (a *Admin) fieldsHeld(ctx context.Context, d *fieldsData) error {
	held, err := a.waitingFields(ctx)
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, p := range d.Pixels {
		names[p.ID] = cmp.Or(p.Name, p.ID)
		if d.Pixel != "" && d.Pixel != p.ID {
			continue
		}
		s := fieldSwitch{PixelID: p.ID, Name: names[p.ID], Hold: p.Fields.Hold}
		for _, list := range p.Fields.Approved {
			s.Approved += len(list)
		}
		for _, partner := range a.partners.order {
			for _, path := range p.Fields.Refused[partner] {
				s.Refused++
				d.Refused = append(d.Refused, refusedField{p.ID, names[p.ID], partner, a.partners.title(partner), fieldWords(path), path})
			}
		}
		d.Switches = append(d.Switches, s)
	}
	for _, f := range held {
		if d.Pixel != "" && d.Pixel != f.PixelID {
			continue
		}
		n := len(d.Waiting)
		if n == 0 || d.Waiting[n-1].PixelID != f.PixelID || d.Waiting[n-1].Partner != f.Partner {
			d.Waiting = append(d.Waiting, fieldGroup{PixelID: f.PixelID, Pixel: names[f.PixelID], Partner: f.Partner, Title: a.partners.title(f.Partner)})
			n++
		}
		d.Waiting[n-1].Fields = append(d.Waiting[n-1].Fields, f)
	}
	return nil
}

// Open are the fields that nobody is asked about yet.
func (g fieldGroup) Open() (n int) {
	for _, f := range g.Fields {
		if !f.Proposed {
			n++
		}
	}
	return n
}
