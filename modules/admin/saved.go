package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// savedView is a report with its filters that somebody gave a name.
type savedView struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

// mostViews bounds how many one person keeps.
const mostViews = 30

func savedKey(who principal) string { return "admin:views:" + who.ID }

// saved are a person's views, in the order they were saved in.
func (a *Admin) saved(ctx context.Context, who principal) ([]savedView, []byte, error) {
	if who.Kind != "user" {
		return nil, nil, nil
	}
	values, err := a.o.State.Get(ctx, savedKey(who))
	if err != nil || len(values[0]) == 0 {
		return nil, nil, err
	}
	var list []savedView
	if err := json.Unmarshal(values[0], &list); err != nil {
		return nil, nil, fmt.Errorf("read saved views: %w", err)
	}
	return list, values[0], nil
}

// keepViews changes a person's views; of two changes at once each counts.
func (a *Admin) keepViews(ctx context.Context, who principal, change func([]savedView) ([]savedView, error)) error {
	for {
		list, was, err := a.saved(ctx, who)
		if err != nil {
			return err
		}
		if list, err = change(list); err != nil {
			return err
		}
		body, err := json.Marshal(list)
		if err != nil {
			return err
		}
		won, err := a.o.State.Swap(ctx, was, state.Entry{Key: savedKey(who), Value: body})
		if err != nil || won {
			return err
		}
	}
}

// reportPath takes the address of a report, and of nothing else.
func reportPath(address string) (string, bool) {
	u, err := url.Parse(address)
	if err != nil || u.IsAbs() || u.Host != "" || len(address) > 2000 {
		return "", false
	}
	p := u.Path
	if p != "/reports" && !strings.HasPrefix(p, "/reports/") && p != "/attribution" && p != "/match-readiness" {
		return "", false
	}
	return local(address), true
}

func (a *Admin) saveViewForm(c *echo.Context) error {
	path, ok := reportPath(c.FormValue("path"))
	if !ok {
		return settings.Invalid{{Field: "path", Message: "must be the address of a report"}}
	}
	name := short(strings.TrimSpace(c.FormValue("name")), 60)
	if name == "" {
		return a.done(c, path, "Give the view a name, to find it by.")
	}
	err := a.keepViews(c.Request().Context(), me(c), func(list []savedView) ([]savedView, error) {
		list = slices.DeleteFunc(list, func(v savedView) bool { return v.Name == name })
		if len(list) >= mostViews {
			return nil, settings.Invalid{{Field: "name", Message: fmt.Sprintf("cannot be kept: there are %d views; delete one first", mostViews)}}
		}
		return append(list, savedView{name, path}), nil
	})
	if err != nil {
		return err
	}
	return a.done(c, path, "The view is saved. It stands above the reports, for you alone; its address works for everybody.")
}

func (a *Admin) forgetViewForm(c *echo.Context) error {
	path, ok := reportPath(c.FormValue("path"))
	if !ok {
		path = "/reports"
	}
	name := c.FormValue("name")
	err := a.keepViews(c.Request().Context(), me(c), func(list []savedView) ([]savedView, error) {
		return slices.DeleteFunc(list, func(v savedView) bool { return v.Name == name }), nil
	})
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, path)
}
