package admin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/schema"
	"github.com/miq/pixel/modules/settings"
)

// processingFrom reads the part of a pixel's form that says what is done to its events.
func processingFrom(f url.Values, p *settings.Pixel, who string) error {
	x := &p.Processing
	x.Off = nil
	for _, kind := range settings.EnrichmentKinds {
		if !slices.Contains(f["enrich"], kind) {
			x.Off = append(x.Off, kind)
		}
	}
	x.Automated, x.Timezone = f.Get("automated"), strings.TrimSpace(f.Get("timezone"))
	x.Midnight = f.Get("session_midnight") == "true"
	x.Keys = listed(f.Get("personal_keys"))
	p.Schemas.Mode = f.Get("schema_mode")
	name, text := strings.TrimSpace(f.Get("schema_event")), strings.TrimSpace(f.Get("schema_text"))
	switch {
	case name == "" && text == "":
	case name == "":
		return settings.Invalid{{Field: "schema_event", Message: "is missing: the event that the schema is for"}}
	case !event.ValidName(name):
		return settings.Invalid{{Field: "schema_event", Message: "must be an event's name, such as purchase"}}
	default:
		p.Schemas.Put(name, jsontext.Value(text), who, time.Now())
	}
	return nil
}

type enrichmentChoice struct {
	Kind, Title, Help string
	On                bool
}

// Enrichments are what is found out about events beside what they say.
func (d pixelFormData) Enrichments() []enrichmentChoice {
	all := []enrichmentChoice{
		{Kind: "device", Title: "Browser and system", Help: "Out of the user agent and the browser's hints."},
		{Kind: "bot", Title: "Crawlers and other machines", Help: "Marked, and not sent to partners."},
		{Kind: "datacenter", Title: "Data centres", Help: "Visitors whose network rents out servers are marked as machines."},
		{Kind: "geo", Title: "Place", Help: "Country, region and city by the address; the country alone where consent is partial."},
		{Kind: "network", Title: "Network", Help: "Who runs the network that the visitor comes by."},
		{Kind: "referrer", Title: "Where visitors come from", Help: "Search, social, mail, paid, other sites or this one."},
		{Kind: "campaign", Title: "Campaigns", Help: "The utm_ keys of the page's address."},
		{Kind: "click_ids", Title: "Click ids", Help: "Of the advertising networks, out of the page's address; with full consent only."},
		{Kind: "clock", Title: "Wrong clocks", Help: "Times are corrected where the visitor's clock is more than a minute wrong."},
		{Kind: "session", Title: "Visits", Help: "Events within half an hour of each other are one visit."},
		{Kind: "currency", Title: "One currency", Help: "Order values are converted too, by the rates in the configuration."},
	}
	for i := range all {
		all[i].On = d.Pixel.Processing.Does(all[i].Kind)
	}
	return all
}

// putSchema adds a version of a site's own schema for an event.
func (a *Admin) putSchema(c *echo.Context) error {
	var body jsontext.Value
	if err := decode(c, &body); err != nil {
		return err
	}
	return a.changeSchema(c, body)
}

// deleteSchema ends a site's own schema for an event; its versions stay.
func (a *Admin) deleteSchema(c *echo.Context) error { return a.changeSchema(c, nil) }

func (a *Admin) changeSchema(c *echo.Context, body jsontext.Value) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	p.Schemas.Own = slices.Clone(p.Schemas.Own)
	v := p.Schemas.Put(param(c, "event"), body, me(c).Name, a.now())
	if _, err := a.changePixel(c.Request().Context(), me(c), "pixel.schema", p); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, v)
}

type schemasView struct {
	Mode string `json:"mode"`
	// Standard are the events with a built-in schema.
	Standard []string                 `json:"standard"`
	Own      []settings.SchemaVersion `json:"own"`
}

func (a *Admin) getSchemas(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, schemasView{p.Schemas.Mode, schema.Names(), nonNil(p.Schemas.Own)})
}
