package admin

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/backfill"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/settings"
)

type backfillsData struct {
	Jobs     []backfillView
	Pixels   []settings.Pixel
	Partners []partner.Spec
	Form     map[string]string
	Chosen   []string          // partners
	Errors   map[string]string // by the fields of the form of Tab
	Tab      string            // "replay" or "rehearse"
}

// Wrong is what is wrong with one of the two forms.
func (d backfillsData) Wrong(tab string) map[string]string {
	if d.Tab != tab {
		return nil
	}
	return d.Errors
}

// backfillErrors puts what is wrong with a job beside the fields of its form.
func backfillErrors(tab string, bad map[string]string) map[string]string {
	out := map[string]string{}
	for _, key := range sortedKeys(bad) {
		field, message := key, bad[key]
		switch key {
		case "storage", "credits", "partners":
			field = "to"
		case "", "change", "pixel_id", "since", "until", "events", "where", "rate":
		default:
			field, message = "", key+" "+message
			if tab == "rehearse" { // of the pixel as it would be
				field = "change"
			}
		}
		out[field] = strings.TrimPrefix(out[field]+"; "+message, "; ")
	}
	return out
}

type backfillView struct {
	backfill.Job

	Purpose string
	Open    bool
}

func jobView(job backfill.Job) backfillView {
	return backfillView{job, purpose(job), !job.State.Ended()}
}

func (a *Admin) backfillsPage(c *echo.Context) error {
	form := map[string]string{"pixel_id": c.QueryParam("pixel_id")}
	return a.backfillsView(c, http.StatusOK, backfillsData{Form: form, Tab: c.QueryParam("form")})
}

func (a *Admin) backfillsView(c *echo.Context, status int, d backfillsData) error {
	list, err := a.jobs(c.Request().Context())
	if err != nil {
		return err
	}
	for _, job := range list {
		d.Jobs = append(d.Jobs, jobView(job))
	}
	d.Pixels, d.Partners = a.pixels(c.Request().Context()), a.partners.built()
	return a.show(c, status, "backfills", view{Title: "Backfills", Nav: "backfills", Data: d})
}

func (a *Admin) backfillPage(c *echo.Context) error {
	job, err := a.job(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	return a.show(c, http.StatusOK, "backfill", view{Title: "Backfill", Nav: "backfills", Data: jobView(job)})
}

// moments are the two times of a form, in UTC as browsers write them.
func moments(c *echo.Context) (since, until time.Time, err error) {
	for field, at := range map[string]*time.Time{"since": &since, "until": &until} {
		v := strings.TrimSpace(c.FormValue(field))
		if v == "" {
			continue
		}
		if *at, err = time.Parse("2006-01-02T15:04", v); err != nil {
			return since, until, settings.Invalid{{Field: field, Message: "must be a date and a time, such as 2026-11-22T10:00"}}
		}
	}
	return since, until, nil
}

// listed are the names in a text.
func listed(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' })
}

func (a *Admin) backfillForm(c *echo.Context) error {
	return a.startForm(c, "replay", func(ctx context.Context, since, until time.Time) (backfill.Job, error) {
		rate := 0
		if v := strings.TrimSpace(c.FormValue("rate")); v != "" {
			var err error
			if rate, err = strconv.Atoi(v); err != nil {
				return backfill.Job{}, settings.Invalid{{Field: "rate", Message: "must be a number of events a second"}}
			}
		}
		params, err := c.FormValues()
		if err != nil {
			return backfill.Job{}, err
		}
		return a.startBackfill(ctx, me(c), backfill.Spec{
			PixelID: c.FormValue("pixel_id"), Since: since, Until: until, Events: listed(c.FormValue("events")), Where: strings.TrimSpace(c.FormValue("where")),
			Storage: c.FormValue("storage") != "", Credits: c.FormValue("credits") != "", Partners: params["partner"], Rate: rate,
		})
	})
}

func (a *Admin) rehearsalForm(c *echo.Context) error {
	return a.startForm(c, "rehearse", func(ctx context.Context, since, until time.Time) (backfill.Job, error) {
		return a.startRehearsal(ctx, me(c), rehearsalBody{
			PixelID: c.FormValue("pixel_id"), Since: since, Until: until, Events: listed(c.FormValue("events")), Where: c.FormValue("where"), Change: changeOf(c.FormValue("change")),
		})
	})
}

// startForm starts what a form asks for, or shows it again with what is wrong.
func (a *Admin) startForm(c *echo.Context, tab string, start func(ctx context.Context, since, until time.Time) (backfill.Job, error)) error {
	params, err := c.FormValues()
	if err != nil {
		return err
	}
	var job backfill.Job
	since, until, err := moments(c)
	if err == nil {
		job, err = start(c.Request().Context(), since, until)
	}
	if bad, ok := fieldErrors(err); err != nil && ok {
		d := backfillsData{Form: map[string]string{}, Chosen: params["partner"], Errors: backfillErrors(tab, bad), Tab: tab}
		for field := range params {
			d.Form[field] = params.Get(field)
		}
		return a.backfillsView(c, http.StatusUnprocessableEntity, d)
	}
	if err != nil {
		return err
	}
	return a.done(c, "/backfills/"+job.ID, "It begins within seconds.")
}

// changeOf is a form's text as JSON; what is none is said to be none.
func changeOf(text string) jsontext.Value {
	if v := jsontext.Value(strings.TrimSpace(text)); v.IsValid() {
		return v
	}
	return nil
}

func (a *Admin) cancelBackfillForm(c *echo.Context) error {
	job, err := a.turned(c, "backfill.cancel", a.backfills.Cancel)
	if err != nil {
		return err
	}
	return a.done(c, "/backfills/"+job.ID, "It is cancelled. What was done stays done.")
}

func (a *Admin) resumeBackfillForm(c *echo.Context) error {
	job, err := a.turned(c, "backfill.resume", a.backfills.Resume)
	if err != nil {
		return err
	}
	return a.done(c, "/backfills/"+job.ID, "It goes on within seconds, where it ended.")
}

// Reasons are what was skipped, the most first.
func (v backfillView) Reasons() []reasonCount { return counted(v.Progress.Skipped) }

// Handed are the partners' counts.
func (v backfillView) Handed() []reasonCount { return counted(v.Progress.Queued) }

// Share is about how much of the time that is asked for is done, in percent; -1
// where nobody can tell.
func (v backfillView) Share() int {
	p, s := v.Progress, v.Spec
	switch {
	case v.State == backfill.Done:
		return 100
	case s.PixelID == "" || s.Since.IsZero() || p.At.IsZero():
		return -1
	}
	return int(100 * p.At.Sub(s.Since) / max(s.Until.Sub(s.Since), 1))
}

type reasonCount struct {
	Reason string
	Count  int64
}

func counted(m map[string]int64) []reasonCount {
	var list []reasonCount
	for reason, n := range m {
		list = append(list, reasonCount{reason, n})
	}
	slices.SortFunc(list, func(a, b reasonCount) int {
		if a.Count != b.Count {
			return int(b.Count - a.Count)
		}
		return strings.Compare(a.Reason, b.Reason)
	})
	return list
}

// Counted is for templates: any of the report's counts, the most first.
func (v backfillView) Counted(m map[string]int64) []reasonCount { return counted(m) }

// Worth writes sums by currency.
func (v backfillView) Worth(m map[string]float64) string {
	var parts []string
	for currency := range m {
		parts = append(parts, money(event.Amount(strconv.FormatFloat(m[currency], 'f', 2, 64)), currency))
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}
