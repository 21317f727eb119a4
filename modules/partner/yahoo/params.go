package yahoo

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

const (
	capi     = "capi"
	postback = "click_postback"
)

// settings are what is set once, by settings.schema.json.
type settings struct {
	Transport        string `json:"transport"`
	ClickPartnerID   string `json:"click_partner_id"`
	OnPartial        string `json:"on_partial"`
	CurrencyKey      string `json:"currency_key"`
	OrderIDKey       string `json:"order_id_key"`
	TaboolaAlone     bool   `json:"taboola_click_alone"`
	MaxAgeDays       int    `json:"max_age_days"`
	Audience         string `json:"token_audience"`
	Scope            string `json:"token_scope"`
	Realm            string `json:"token_realm"`
	ClientIDPrefix   string `json:"token_client_id_prefix"`
	AssertionSeconds int    `json:"token_assertion_seconds"`
}

func readSettings(v jsontext.Value) (settings, error) {
	s := settings{
		Transport: capi, OnPartial: "record", CurrencyKey: "currency", OrderIDKey: "order_id", MaxAgeDays: 7,
		Audience: "https://id.b2b.yahooincapis.com/zts/v1", Scope: "idb2b.dsp.datax:role.online.writer",
		ClientIDPrefix: "idb2b.dsp.datax.", AssertionSeconds: 3600,
	}
	if err := partner.Read(v, &s); err != nil {
		return s, fmt.Errorf("read the settings of Yahoo: %w", err)
	}
	return s, nil
}

// params are a route's, by params.schema.json.
type params struct {
	PixelID      string            `json:"pixel_id"`
	EventName    string            `json:"event_name"`
	ActionSource string            `json:"action_source"`
	Country      string            `json:"country"`
	Region       string            `json:"region"`
	Currency     string            `json:"currency"`
	CustomKeys   map[string]string `json:"custom_keys"`
}

var numeric = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)

func readParams(v jsontext.Value) (params, error) {
	p := params{ActionSource: "web"}
	if len(v) == 0 {
		return p, errors.New("the route has no parameters")
	}
	if err := partner.Read(v, &p); err != nil {
		return p, fmt.Errorf("the route's parameters cannot be read: %w", err)
	}
	if !numeric.MatchString(p.PixelID) {
		return p, errors.New("the route names no pixel by its number (pixel_id)")
	}
	switch p.ActionSource {
	case "web", "app", "phone", "email", "online", "physical_store":
		return p, nil
	}
	return p, errors.New("the route's action_source must be web, app, phone, email, online or physical_store")
}
