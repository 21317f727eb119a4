package admin

import (
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"
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
	Causes  []cause
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
	if d.Causes, d.Movable, d.More, err = a.causes(ctx, name); err != nil {
		return d, err
	}
	// One page of letters of one cause, or of all.
	const most = 50
	cursor := c.QueryParam("cursor")
	for scanned := 0; scanned < deadScan && len(d.Letters) < most; {
		page, next, err := a.o.Queues.Dead(ctx, name, cursor, most)
		if err != nil {
			return d, err
		}
		scanned += len(page)
		for _, l := range page {
			if d.Reason == "" || l.Reason == d.Reason {
				v := deadLetterView{deadView: deadViewOf(l), Pretty: indented(withNetwork(l.Body))}
				v.EventID, v.EventName = about(l.Body)
				d.Letters = append(d.Letters, v)
			}
		}
		cursor = next
		if next == "" {
			break
		}
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
		return selection{All: true}, nil
	case "cause":
		reason := values.Get("reason")
		return selection{Reason: &reason}, nil
	}
	return selection{IDs: values["id"]}, nil
}

func (a *Admin) replayForm(c *echo.Context) error {
	short := param(c, "queue")
	s, err := chosen(c)
	if err != nil {
		return err
	}
	if len(s.IDs) == 0 && s.Reason == nil && !s.All {
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
	if len(s.IDs) == 0 && s.Reason == nil && !s.All {
		return a.done(c, "/dead/"+url.PathEscape(short), "Nothing was selected.")
	}
	ctx := c.Request().Context()
	if c.FormValue("confirm") != "yes" {
		name, err := a.deadQueue(short)
		if err != nil {
			return err
		}
		letters, _, err := a.selected(ctx, name, s)
		if err != nil {
			return err
		}
		d, err := a.deadData(c, short)
		if err != nil {
			return err
		}
		d.Confirm = &confirmDrop{Count: len(letters), IDs: s.IDs, All: s.All}
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

// about finds which event a dead letter is, whether it is a delivery, an event
// or what a client sent.
func about(body []byte) (id, name string) {
	var d struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Event struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"event"`
	}
	if json.Unmarshal(body, &d, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return "", ""
	}
	if d.Event.ID != "" {
		return d.Event.ID, d.Event.Name
	}
	return d.ID, d.Name
}
