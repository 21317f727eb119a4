package admin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/deadletters"
	"github.com/miq/pixel/modules/settings"
)

type deadData struct {
	Short   string
	Title   string
	Causes  []deadletters.Cause
	Movable int // how many can be replayed
	More    bool
	Reason  string
	Letters []deadLetterView
	Next    string
	Drop    *asked
	Replay  *replayPlan
}

type deadLetterView struct {
	deadView
	EventID   string
	EventName string
	Pretty    string
}

// asked is what a form means, to be asked about once more.
type asked struct {
	Count int
	IDs   []string
	All   bool
	Cause string
	// ByCause is set where the letters of one cause are meant, which may be none.
	ByCause bool
}

func askedFor(s selection, n int) asked {
	out := asked{Count: n, IDs: s.IDs, All: s.All}
	if s.Reason != nil {
		out.ByCause, out.Cause = true, *s.Reason
	}
	return out
}

// replayPlan is a replay before it begins, and while it goes on.
type replayPlan struct {
	asked
	// Editable is unset for refused input, of which the event's properties can be mended.
	Editable bool
	Rate     string
	Account  string
	Params   string
	Event    string
	Example  string // of a letter's parameters
	Preview  *preview
	Errors   map[string]string

	// While it goes on:
	Running bool
	Moved   int
	Cursor  string
	Percent int
}

func (a *Admin) deadData(c *echo.Context, short string) (deadData, error) {
	d := deadData{Short: short, Title: a.partners.title(short), Reason: c.QueryParam("reason")}
	if short == validation {
		d.Title = "Refused input"
	}
	name, err := a.deadQueue(short)
	if err != nil {
		return d, err
	}
	ctx := c.Request().Context()
	if d.Causes, d.More, err = deadletters.Causes(ctx, a.o.Queues, name); err != nil {
		return d, err
	}
	for _, c := range d.Causes {
		d.Movable += c.Movable
	}
	// One page of letters of one cause, or of all.
	which := deadletters.Selection{All: true}
	if d.Reason != "" {
		which = deadletters.Selection{Reason: &d.Reason}
	}
	letters, cursor, err := deadletters.Find(ctx, a.o.Queues, name, which, c.QueryParam("cursor"), 50)
	if err != nil {
		return d, err
	}
	for _, l := range letters {
		v := deadLetterView{deadView: deadViewOf(l), Pretty: indented(deadletters.Masked(l.Body))}
		about := deadletters.About(l.Body)
		v.EventID, v.EventName = about.ID, about.Event
		d.Letters = append(d.Letters, v)
	}
	if cursor != "" {
		d.Next = "/dead/" + short + asQuery("reason", d.Reason, "cursor", cursor)
	}
	return d, nil
}

func (a *Admin) deadPage(c *echo.Context) error {
	d, err := a.deadData(c, param(c, "queue"))
	if err != nil {
		return err
	}
	return a.show(c, http.StatusOK, "dead", view{Title: "Dead letters: " + d.Title, Nav: "queues", Data: d})
}

// chosen reads which letters a form means.
func chosen(values url.Values) selection {
	switch scope := values.Get("scope"); scope {
	case "all":
		return selection{Selection: deadletters.Selection{All: true}}
	case "cause":
		reason := values.Get("reason")
		return selection{Selection: deadletters.Selection{Reason: &reason}}
	}
	return selection{Selection: deadletters.Selection{IDs: values["id"]}}
}

// changes reads the rate and the edit of a replay's form.
func (p *replayPlan) changes(values url.Values, s *selection) {
	p.Rate, p.Account = strings.TrimSpace(values.Get("rate")), strings.TrimSpace(values.Get("account"))
	p.Params, p.Event = strings.TrimSpace(values.Get("params")), strings.TrimSpace(values.Get("event"))
	p.Errors = map[string]string{}
	if p.Rate != "" {
		n, err := strconv.Atoi(p.Rate)
		if err != nil || n < 1 || n > 10_000 {
			p.Errors["rate"] = "must be a number from 1 to 10,000"
		}
		s.Rate = n
	}
	patch := map[string]jsontext.Value{}
	if p.Account != "" {
		quoted, err := jsontext.AppendQuote(nil, p.Account)
		if err == nil {
			patch["account"] = quoted
		}
	}
	for field, text := range map[string]string{"params": p.Params, "event": p.Event} {
		if text == "" {
			continue
		}
		v := jsontext.Value(text)
		if !v.IsValid() || v.Kind() != '{' {
			p.Errors[field] = `must be a JSON object, such as {"a":"b"}`
			continue
		}
		patch[field] = v
	}
	if len(patch) == 0 || len(p.Errors) > 0 {
		return
	}
	edit, err := json.Marshal(patch, json.Deterministic(true))
	if err != nil {
		p.Errors["params"] = err.Error()
		return
	}
	s.Edit = edit
}

// replayForm shows first what a replay would come to, and does it a few seconds' worth
// at a time, so that the page shows how far it is.
func (a *Admin) replayForm(c *echo.Context) error {
	short := param(c, "queue")
	values, err := c.FormValues()
	if err != nil {
		return err
	}
	s := chosen(values)
	back := "/dead/" + url.PathEscape(short)
	if s.Empty() {
		return a.done(c, back, "Nothing was selected.")
	}
	ctx := c.Request().Context()
	plan := replayPlan{Editable: short != validation}
	plan.changes(values, &s)
	if len(plan.Errors) == 0 && values.Get("confirm") == "yes" {
		err := a.replayOn(c, short, s, plan, values)
		bad, ok := errors.AsType[settings.Invalid](err)
		if !ok || short != validation {
			return err
		}
		plan.Errors["event"] = strings.TrimPrefix(bad[0].Field, "event.") + " " + bad[0].Message
	}
	dry := s
	dry.DryRun = true
	if len(plan.Errors) > 0 {
		dry.Edit = nil
	}
	would, err := a.replay(ctx, me(c), short, dry)
	if bad, ok := err.(settings.Invalid); ok {
		for _, p := range bad {
			at, _, _ := strings.Cut(strings.TrimPrefix(p.Field, "edit."), ".")
			if !slices.Contains([]string{"rate", "account", "params", "event"}, at) {
				at = ""
			}
			plan.Errors[at] = strings.TrimPrefix(p.Field, "edit.") + " " + p.Message
		}
		dry.Edit = nil
		would, err = a.replay(ctx, me(c), short, dry)
	}
	if err != nil {
		return err
	}
	if would.Selected == would.Stuck {
		return a.done(c, back, would.Message)
	}
	plan.asked = askedFor(s, would.Selected-would.Stuck)
	plan.Preview = would.Preview
	d, err := a.deadData(c, short)
	if err != nil {
		return err
	}
	d.Replay = &plan
	for _, l := range d.Letters {
		var body struct {
			Params jsontext.Value `json:"params"`
		}
		if plan.Example == "" && json.Unmarshal(l.Body, &body) == nil && len(body.Params) > 0 {
			plan.Example = string(body.Params)
		}
	}
	status := http.StatusOK
	if len(plan.Errors) > 0 {
		status = http.StatusUnprocessableEntity
	}
	return a.show(c, status, "dead", view{Title: "Replay dead letters?", Nav: "queues", Data: d})
}

// replayOn moves the next few letters, and shows how far it is.
func (a *Admin) replayOn(c *echo.Context, short string, s selection, plan replayPlan, values url.Values) error {
	s.Cursor, s.Limit = values.Get("cursor"), 1000
	if s.Rate > 0 {
		s.Limit = min(s.Limit, max(1, s.Rate*2)) // about two seconds' worth
	}
	m, err := a.replay(c.Request().Context(), me(c), short, s)
	if err != nil {
		return err
	}
	before, _ := strconv.Atoi(values.Get("moved"))
	total, _ := strconv.Atoi(values.Get("total"))
	moved := max(before, 0) + m.Moved
	if !m.More {
		m.Moved = moved
		m.Message = replayed(m.Result, false)
		if len(s.Edit) > 0 {
			m.Message += " They were edited."
		}
		return a.done(c, "/dead/"+url.PathEscape(short), m.Message)
	}
	plan.asked = askedFor(s, max(total, moved))
	plan.Running, plan.Moved, plan.Cursor = true, moved, m.Next
	plan.Percent = min(100*moved/max(plan.Count, 1), 100)
	d, err := a.deadData(c, short)
	if err != nil {
		return err
	}
	d.Replay = &plan
	return a.show(c, http.StatusOK, "dead", view{Title: "Replaying", Nav: "queues", Data: d})
}

// dropForm asks once more before it deletes.
func (a *Admin) dropForm(c *echo.Context) error {
	short := param(c, "queue")
	values, err := c.FormValues()
	if err != nil {
		return err
	}
	s := chosen(values)
	if s.Empty() {
		return a.done(c, "/dead/"+url.PathEscape(short), "Nothing was selected.")
	}
	ctx := c.Request().Context()
	if values.Get("confirm") != "yes" {
		dry := s
		dry.DryRun = true
		would, err := a.drop(ctx, me(c), short, dry)
		if err != nil {
			return err
		}
		d, err := a.deadData(c, short)
		if err != nil {
			return err
		}
		which := askedFor(s, would.Selected)
		d.Drop = &which
		return a.show(c, http.StatusOK, "dead", view{Title: "Delete dead letters?", Nav: "queues", Data: d})
	}
	m, err := a.drop(ctx, me(c), short, s)
	if err != nil {
		return err
	}
	return a.done(c, "/dead/"+url.PathEscape(short), m.Message)
}
