package amazon

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

// settings are what is set once, by settings.schema.json.
type settings struct {
	PhonePlus      bool   `json:"phone_plus"`
	MatchIP        bool   `json:"match_ip"`
	GeoConsent     bool   `json:"geo_consent"`
	LimitedDataUse string `json:"limited_data_use"`
	MaxAgeDays     int    `json:"max_age_days"`
	Partner        string `json:"partner"`
	Timestamps     bool   `json:"custom_timestamps"`
}

func readSettings(v jsontext.Value) (settings, error) {
	s := settings{LimitedDataUse: "consent", MaxAgeDays: 7}
	if err := partner.Read(v, &s); err != nil {
		return s, fmt.Errorf("read the settings of Amazon: %w", err)
	}
	return s, nil
}

func (s settings) maxAge() time.Duration { return time.Duration(s.MaxAgeDays) * 24 * time.Hour }

// params are a route's, by params.schema.json.
type params struct {
	AccountID      string            `json:"account_id"`
	Region         string            `json:"region"`
	ConversionType string            `json:"conversion_type"`
	EventName      string            `json:"event_name"`
	EventSource    string            `json:"event_source"`
	DataSetName    string            `json:"data_set_name"`
	Country        string            `json:"country"`
	Currency       string            `json:"currency"`
	LimitedDataUse bool              `json:"limited_data_use"`
	CustomData     map[string]string `json:"custom_data"`
}

var visible = regexp.MustCompile(`^[!-~]{1,64}$`)

func readParams(v jsontext.Value) (params, error) {
	p := params{Region: "NA", EventSource: "WEBSITE"}
	if len(v) == 0 {
		return p, errors.New("the route has no parameters")
	}
	if err := partner.Read(v, &p); err != nil {
		return p, fmt.Errorf("the route's parameters cannot be read: %w", err)
	}
	if !visible.MatchString(p.AccountID) {
		return p, errors.New("the route names no advertiser account (account_id)")
	}
	if p.Region != "NA" && p.Region != "EU" && p.Region != "FE" {
		return p, errors.New("the route's region must be NA, EU or FE")
	}
	return p, nil
}
