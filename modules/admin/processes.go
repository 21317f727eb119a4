package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/settings"
)

// processView is one process that shares our stores, as it tells of itself.
type processView struct {
	Instance string    `json:"instance"`
	Roles    string    `json:"roles"`
	Version  string    `json:"version,omitempty"` // empty: a version that does not say
	Commit   string    `json:"commit,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	SeenAt   time.Time `json:"seen_at"` // by its own clock
	// AheadMS is by how much its clock is ahead of that of Redis; absent: not known.
	AheadMS *int64 `json:"ahead_ms,omitempty"`
	// Settings is whether the newest pixels and partners are in force there.
	Settings bool `json:"settings"`
	// Spill is what waits on a collector's own disk; absent: it has none for that.
	Spill *settings.Spilled `json:"spill,omitempty"`
	// Warnings say what sets it apart: another_build, clock, secret_key, settings, spill.
	Warnings []string `json:"warnings"`
}

// clockTolerance is what a clock may be off before that is said, as in /readyz.
const clockTolerance = 2 * time.Second

// Ahead is AheadMS for people.
func (v processView) Ahead() time.Duration { return time.Duration(*v.AheadMS) * time.Millisecond }

// Warns reports whether a warning is given.
func (v processView) Warns(name string) bool {
	for _, w := range v.Warnings {
		if w == name {
			return true
		}
	}
	return false
}

// processViews are the processes that run, with what each differs in from the rest. The
// build that most have is the right one; of as many, that of the console.
func (a *Admin) processViews(ctx context.Context) ([]processView, error) {
	all, err := settings.Receipts(ctx, a.o.State)
	if err != nil {
		return nil, err
	}
	builds := map[string]int{}
	for _, r := range all {
		builds[r.Version+" "+r.Commit]++
	}
	usual, most := a.o.Build, builds[a.o.Build]
	for b, n := range builds {
		if n > most || n == most && usual != a.o.Build && b > usual {
			usual, most = b, n
		}
	}
	version, _ := a.o.Settings.Versions()
	out := make([]processView, 0, len(all))
	for _, r := range all {
		v := processView{
			Instance: r.Instance, Roles: r.Roles, Version: r.Version, Commit: r.Commit, Since: r.Since, SeenAt: r.At, AheadMS: r.Ahead,
			Settings: r.Pixels.Revision >= version, Spill: r.Spill, Warnings: []string{},
		}
		for name := range r.Partners {
			v.Settings = v.Settings && r.Partners[name].Revision >= a.o.Settings.Partner(name).Revision
		}
		if r.Version+" "+r.Commit != usual {
			v.Warnings = append(v.Warnings, "another_build")
		}
		if r.Ahead != nil && v.Ahead().Abs() > clockTolerance {
			v.Warnings = append(v.Warnings, "clock")
		}
		if _, wrong := r.Strangers(all); wrong {
			v.Warnings = append(v.Warnings, "secret_key")
		}
		if !v.Settings {
			v.Warnings = append(v.Warnings, "settings")
		}
		if s := r.Spill; s != nil && s.Items+s.Dead > 0 {
			v.Warnings = append(v.Warnings, "spill")
		}
		out = append(out, v)
	}
	return out, nil
}

func (a *Admin) listProcesses(c *echo.Context) error {
	if err := a.query(c).err(); err != nil {
		return err
	}
	list, err := a.processViews(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items(list, ""))
}

func (a *Admin) processesPage(c *echo.Context) error {
	list, err := a.processViews(c.Request().Context())
	if err != nil {
		return err
	}
	return a.show(c, http.StatusOK, "processes", view{Title: "Processes", Nav: "queues", Data: list})
}
