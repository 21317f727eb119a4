package ops

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v5"
)

// level changes what is logged while the process runs.
type level struct {
	now *slog.LevelVar
	log *slog.Logger

	mu   sync.Mutex
	base slog.Level  // what it is when no change is for a while
	back *time.Timer // ends such a change
}

func newLevel(v *slog.LevelVar, log *slog.Logger) *level {
	return &level{now: v, log: log, base: v.Level()}
}

func (l *level) routes(e *echo.Echo) {
	e.GET("/log-level", func(c *echo.Context) error { return l.answer(c) })
	e.PUT("/log-level", l.set)
}

func (l *level) answer(c *echo.Context) error {
	return c.String(http.StatusOK, strings.ToLower(l.now.Level().String())+"\n")
}

// set takes ?level=debug, and with &for=10m goes back afterwards: a level that
// somebody forgot fills a disk.
func (l *level) set(c *echo.Context) error {
	var wanted slog.Level
	switch text := c.QueryParam("level"); text {
	case "debug", "info", "warn", "error":
		if err := wanted.UnmarshalText([]byte(text)); err != nil {
			return err
		}
	default:
		return echo.NewHTTPError(http.StatusBadRequest, fmt.Sprintf("level must be debug, info, warn or error, not %q", text))
	}
	var during time.Duration
	if text := c.QueryParam("for"); text != "" {
		var err error
		if during, err = time.ParseDuration(text); err != nil || during <= 0 || during > 24*time.Hour {
			return echo.NewHTTPError(http.StatusBadRequest, fmt.Sprintf("for must be a duration of at most 24h, such as 10m, not %q", text))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.now.Level()
	if l.back != nil {
		l.back.Stop()
		l.back = nil
	}
	l.now.Set(wanted)
	l.log.Warn("the log level was changed", "level", wanted.String(), "before", before.String(), "during", during.String())
	if during == 0 {
		l.base = wanted
		return l.answer(c)
	}
	base := l.base
	l.back = time.AfterFunc(during, func() {
		l.now.Set(base)
		l.log.Warn("the log level is what it was", "level", base.String())
	})
	return l.answer(c)
}

func (l *level) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.back != nil {
		l.back.Stop()
	}
}
