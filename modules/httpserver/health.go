package httpserver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/health"
)

// freshness is how long an answer of /readyz is repeated, so that asking
// often costs what it depends on nothing.
const freshness = time.Second

type readiness struct {
	log      *slog.Logger
	server   string
	checks   []health.Check
	leaving  *health.Leaving
	detailed bool

	mu      sync.Mutex
	at      time.Time
	results map[string]string
	failing bool
}

func newHealth(o Options) *readiness {
	return &readiness{log: o.Log, server: o.Name, checks: o.Checks, leaving: o.Leaving, detailed: o.Detailed}
}

// alive answers while the process can answer at all.
func (h *readiness) alive(c *echo.Context) error {
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSONBlob(http.StatusOK, []byte(`{"status":"ok"}`))
}

type readyAnswer struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"`
}

// ready answers 200 while every check passes, if with a warning, else 503 with the name of each
// that does not; and 503 at once when the process leaves.
func (h *readiness) ready(c *echo.Context) error {
	if h.leaving.Begun() {
		c.Response().Header().Set("Cache-Control", "no-store")
		return c.JSON(http.StatusServiceUnavailable, readyAnswer{"leaving", map[string]string{}})
	}
	results, failing := h.run(context.WithoutCancel(c.Request().Context()))
	c.Response().Header().Set("Cache-Control", "no-store")
	if failing {
		return c.JSON(http.StatusServiceUnavailable, readyAnswer{"unavailable", results})
	}
	return c.JSON(http.StatusOK, readyAnswer{"ok", results})
}

func (h *readiness) run(ctx context.Context) (map[string]string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.results != nil && time.Since(h.at) < freshness {
		return h.results, h.failing
	}
	errs := make([]error, len(h.checks))
	var wg sync.WaitGroup
	for i, check := range h.checks {
		wg.Go(func() { errs[i] = check.Run(ctx) })
	}
	wg.Wait()
	results, failing := make(map[string]string, len(errs)), false
	for i, err := range errs {
		name := h.checks[i].Name
		var warning health.Warning
		switch {
		case errors.As(err, &warning):
			if results[name] == "" || results[name] == "ok" {
				results[name] = "ok"
				if h.detailed {
					results[name] = "warning: " + err.Error()
				}
			}
			continue
		case err == nil:
			if results[name] == "" {
				results[name] = "ok"
			}
			continue
		case h.detailed:
			results[name] = err.Error()
		default:
			results[name] = "failing"
		}
		failing = true
		if !h.failing {
			h.log.Warn("not ready", "server", h.server, "check", name, "error", err)
		}
	}
	if h.failing && !failing {
		h.log.Info("ready again", "server", h.server)
	}
	h.results, h.failing, h.at = results, failing, time.Now()
	return results, failing
}
