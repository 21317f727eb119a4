package admin

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/deadletters"
)

type queuesData struct {
	Live, Dead []queueView
	Widest     int // for the bars
}

func (a *Admin) queuesPage(c *echo.Context) error {
	list, err := a.queueViews(c.Request().Context())
	if err != nil {
		return err
	}
	d := queuesData{}
	for _, q := range list {
		if q.Kind == "dead" {
			d.Dead = append(d.Dead, q)
		} else {
			d.Live, d.Widest = append(d.Live, q), max(d.Widest, q.Depth)
		}
	}
	return a.show(c, http.StatusOK, "queues", view{Title: "Queues", Nav: "queues", Data: d})
}

type deadData struct {
	Short   string
	Title   string
	Causes  []deadletters.Cause
	Movable int // how many can be replayed
	More    bool
	Reason  string
	Letters []deadLetterView
	Next    string
	Confirm *confirmDrop
}

type deadLetterView struct {
	deadView
	EventID   string
	EventName string
	Pretty    string
}

type confirmDrop struct {
	Count int
	IDs   []string
	All   bool
	Cause string
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
func chosen(c *echo.Context) (selection, error) {
	values, err := c.FormValues()
	if err != nil {
		return selection{}, err
	}
	switch scope := values.Get("scope"); scope {
	case "all":
		return selection{Selection: deadletters.Selection{All: true}}, nil
	case "cause":
		reason := values.Get("reason")
		return selection{Selection: deadletters.Selection{Reason: &reason}}, nil
	}
	return selection{Selection: deadletters.Selection{IDs: values["id"]}}, nil
}

func (a *Admin) replayForm(c *echo.Context) error {
	short := param(c, "queue")
	s, err := chosen(c)
	if err != nil {
		return err
	}
	if s.Empty() {
		return a.done(c, "/dead/"+url.PathEscape(short), "Nothing was selected.")
	}
	m, err := a.replay(c.Request().Context(), me(c), short, s)
	if err != nil {
		return err
	}
	return a.done(c, "/dead/"+url.PathEscape(short), m.Message)
}

// dropForm asks once more before it deletes.
func (a *Admin) dropForm(c *echo.Context) error {
	short := param(c, "queue")
	s, err := chosen(c)
	if err != nil {
		return err
	}
	if s.Empty() {
		return a.done(c, "/dead/"+url.PathEscape(short), "Nothing was selected.")
	}
	ctx := c.Request().Context()
	if c.FormValue("confirm") != "yes" {
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
		d.Confirm = &confirmDrop{Count: would.Selected, IDs: s.IDs, All: s.All}
		if s.Reason != nil {
			d.Confirm.Cause = *s.Reason
		}
		return a.show(c, http.StatusOK, "dead", view{Title: "Delete dead letters?", Nav: "queues", Data: d})
	}
	m, err := a.drop(ctx, me(c), short, s)
	if err != nil {
		return err
	}
	return a.done(c, "/dead/"+url.PathEscape(short), m.Message)
}
