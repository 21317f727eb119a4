package admin

import (
	"cmp"
	"maps"
	"net/http"
	"slices"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// readinessData is what the page of match readiness shows.
type readinessData struct {
	Range    rangeChoice
	Ranges   []rangeChoice
	Pixel    string
	Pixels   []settings.Pixel
	Partners []partnerReadiness
}

// partnerReadiness is one partner's card.
type partnerReadiness struct {
	Name, Title string
	Events      int
	Grades      []gradeShare
	Carries     []keyShare
	Lacks       []keyShare
	WhatIfs     []whatIf
}

type gradeShare struct {
	Grade event.Grade
	Help  string
	Count int
	Share float64
}

type keyShare struct {
	Title string
	Count int
	Share float64
}

var gradeHelp = map[event.Grade]string{
	event.HighMatch:   "several keys that it finds a person by",
	event.MediumMatch: "one sure key",
	event.LowMatch:    "only a guess, such as an address",
	event.NoMatch:     "no key: not sent",
}

// readinessPage says how well the partners could match what was routed to them.
func (a *Admin) readinessPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := readinessData{Range: chosenRange(cmp.Or(c.QueryParam("range"), "7d")), Ranges: ranges, Pixel: c.QueryParam("pixel_id"), Pixels: a.pixels(ctx)}
	until := a.now()
	rows, err := a.o.Events.Readiness(ctx, analytics.ReadinessQuery{PixelID: d.Pixel, Since: until.Add(-d.Range.Span), Until: until})
	if err != nil {
		return err
	}
	for _, r := range rows {
		titles := map[string]string{}
		for _, k := range a.partners.specs[r.Partner].Keys {
			titles[k.Name] = k.Title
		}
		share := func(n int) float64 { return float64(n) / float64(max(r.Events, 1)) }
		keys := func(m map[string]int) (out []keyShare) {
			for _, name := range slices.SortedFunc(maps.Keys(m), func(x, y string) int { return cmp.Or(m[y]-m[x], cmp.Compare(x, y)) }) {
				out = append(out, keyShare{cmp.Or(titles[name], name), m[name], share(m[name])})
			}
			return out
		}
		p := partnerReadiness{Name: r.Partner, Title: cmp.Or(a.partners.title(r.Partner), r.Partner), Events: r.Events, Carries: keys(r.Keys), Lacks: keys(r.Missing), WhatIfs: whatIfs(r, a.partners.specs[r.Partner].Keys)}
		for _, g := range slices.Backward(event.Grades[:]) {
			p.Grades = append(p.Grades, gradeShare{g, gradeHelp[g], r.Grades[g], share(r.Grades[g])})
		}
		d.Partners = append(d.Partners, p)
	}
	return a.show(c, http.StatusOK, "readiness", view{Title: "Match readiness", Nav: "partners", Data: d})
}
