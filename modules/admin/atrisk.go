package admin

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/atrisk"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/partner"
)

// riskAge is how long a report of what is at risk is shown before it is made anew.
const riskAge = 15 * time.Second

// risk keeps the last report, since making one reads thousands of messages.
type risk struct {
	mu   sync.Mutex
	last atrisk.Report
}

// atRiskNow is what is at risk, at most a moment ago.
func (a *Admin) atRiskNow(ctx context.Context) (atrisk.Report, error) {
	now, mine := a.now(), whoOf(ctx).Confined()
	if !mine { // what only some may see is looked for each time
		a.risk.mu.Lock()
		defer a.risk.mu.Unlock()
		if age := now.Sub(a.risk.last.At); age >= 0 && age < riskAge && !a.risk.last.At.IsZero() {
			return a.risk.last, nil
		}
	}
	var list []atrisk.Partner
	for _, spec := range a.partners.built() {
		s := a.o.Settings.Partner(spec.Name)
		credentials, err := a.o.Settings.Credentials(s, "")
		if err != nil {
			credentials = nil
		}
		account := delivery.AccountOf(spec, a.o.Partners[spec.Name], s, credentials)
		list = append(list, atrisk.Partner{Name: spec.Name, Age: partner.AgeLimit(a.partners.adapters[spec.Name], account.Batch(now))})
	}
	r, err := atrisk.Look(ctx, a.o.Queues, list, now, 200)
	if err == nil && !mine {
		a.risk.last = r
	}
	return r, err
}

func (a *Admin) atRisk(c *echo.Context) error {
	if err := a.query(c).err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	r, err := a.atRiskNow(ctx)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, r)
}

// riskData is what the page of the money at risk shows.
type riskData struct {
	atrisk.Report
	Titles map[string]string
}

func (a *Admin) atRiskPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	r, err := a.atRiskNow(ctx)
	if err != nil {
		return err
	}
	titles := map[string]string{}
	for _, spec := range a.partners.built() {
		titles[spec.Name] = spec.Title
	}
	return a.show(c, http.StatusOK, "atrisk", view{Title: "Money at risk", Nav: "queues", Data: riskData{Report: r, Titles: titles}})
}
