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
	File     string // the same as a file, but for the format
	Here     string
	Saved    []savedView
}

// partnerReadiness is one partner's card.
type partnerReadiness struct {
	Name, Title string
	Events      int
	Matched     float64 // the share with a sure key
	Against     string  // how that stands against the period before
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
	if _, ok := a.seen(ctx, d.Pixel); !ok {
		d.Pixel = ""
	}
	d.File, d.Here = base+"/reports/match-readiness"+asQuery("since", d.Range.Key, "pixel_id", d.Pixel), c.Request().URL.RequestURI()
	until := a.now()
	q := analytics.ReadinessQuery{PixelID: d.Pixel, Since: until.Add(-d.Range.Span), Until: until}
	rows, err := a.o.Events.Readiness(ctx, q)
	if err != nil {
		return err
	}
	q.Since, q.Until = q.Since.Add(-d.Range.Span), q.Since
	before, err := a.o.Events.Readiness(ctx, q)
	if err != nil {
		return err
	}
	matched := map[string]float64{}
	for _, r := range before {
		matched[r.Partner] = sureShare(r)
	}
	if d.Saved, _, err = a.saved(ctx, me(c)); err != nil {
		a.o.Log.Warn("saved views could not be read", "error", err)
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
		p.Matched = sureShare(r)
		if was, ok := matched[r.Partner]; ok {
			p.Against = against(100*p.Matched, 100*was, perHundred, d.Range.Before())
		}
		for _, g := range slices.Backward(event.Grades[:]) {
			p.Grades = append(p.Grades, gradeShare{g, gradeHelp[g], r.Grades[g], share(r.Grades[g])})
		}
		d.Partners = append(d.Partners, p)
	}
	return a.show(c, http.StatusOK, "readiness", view{Title: "Match readiness", Nav: "partners", Data: d})
}

// sureShare is the share of events by which a partner surely finds a person.
func sureShare(r analytics.Readiness) float64 {
	return float64(r.Grades[event.HighMatch]+r.Grades[event.MediumMatch]) / float64(max(r.Events, 1))
}
