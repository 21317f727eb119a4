package ttd

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

// settings are what is set once, by settings.schema.json.
type settings struct {
	Identifiers     string `json:"identifiers"`
	RequireClientIP bool   `json:"require_client_ip"`
	OnPartial       string `json:"on_partial"`
	OnUnknown       string `json:"on_unknown"`
	LimitedDataUse  string `json:"limited_data_use"`
	LDURegion       string `json:"ldu_region"`
	DataProviderID  string `json:"data_provider_id"`
	OfflineAgeDays  int    `json:"offline_age_days"`
	ItemNumberFrom  int    `json:"item_number_from"`
}

func readSettings(v jsontext.Value) (settings, error) {
	s := settings{Identifiers: "all", OnPartial: "resend", OnUnknown: "hold", LimitedDataUse: "consent", LDURegion: "US-CA", OfflineAgeDays: 30, ItemNumberFrom: 1}
	if err := partner.Read(v, &s); err != nil {
		return s, fmt.Errorf("read the settings of The Trade Desk: %w", err)
	}
	return s, nil
}

// offline reports whether late events have somewhere to go.
func (s settings) offline(credentials map[string]string) bool {
	return s.DataProviderID != "" && credentials["data_api_token"] != ""
}

func (s settings) offlineAge() time.Duration {
	return time.Duration(s.OfflineAgeDays) * 24 * time.Hour
}

// params are a route's, by params.schema.json.
type params struct {
	Adv        string `json:"adv"`
	MerchantID string `json:"merchant_id"`
	TrackerID  string `json:"tracker_id"`
	UPixelID   string `json:"upixel_id"`
	EventName  string `json:"event_name"`
	Currency   string `json:"currency"`

	// These name properties of the event.
	Dimensions dimensions `json:",embed"`
	Region     string     `json:"region"`
	Metro      string     `json:"metro"`
	City       string     `json:"city"`
	Zip        string     `json:"zip"`
	Imp        string     `json:"imp"`
	IAttr      string     `json:"iattr"`
	IVTC       string     `json:"ivtc"`
}

func readParams(v jsontext.Value) (params, error) {
	var p params
	if len(v) == 0 {
		return p, errors.New("the route has no parameters")
	}
	if err := partner.Read(v, &p); err != nil {
		return p, fmt.Errorf("the route's parameters cannot be read: %w", err)
	}
	return p, nil
}

// check holds the rule of who is meant: an advertiser or a merchant, and a
// tracker or a universal pixel.
func (p params) check() error {
	switch {
	case p.Adv != "" && p.MerchantID != "":
		return errors.New("the route names both an advertiser and a merchant: The Trade Desk takes one of them")
	case p.Adv == "" && p.MerchantID == "":
		return errors.New("the route names neither an advertiser (adv) nor a merchant (merchant_id)")
	case p.TrackerID != "" && p.UPixelID != "":
		return errors.New("the route names both an event tracker and a universal pixel: The Trade Desk takes one of them")
	case p.TrackerID == "" && p.UPixelID == "":
		return errors.New("the route names neither an event tracker (tracker_id) nor a universal pixel (upixel_id)")
	case p.UPixelID != "" && p.Adv == "":
		return errors.New("a universal pixel needs an advertiser id (adv)")
	}
	return nil
}

// dimensions are the ten custom ones: names of properties in params, their
// values in an event.
type dimensions struct {
	TD1  string `json:"td1,omitempty"`
	TD2  string `json:"td2,omitempty"`
	TD3  string `json:"td3,omitempty"`
	TD4  string `json:"td4,omitempty"`
	TD5  string `json:"td5,omitempty"`
	TD6  string `json:"td6,omitempty"`
	TD7  string `json:"td7,omitempty"`
	TD8  string `json:"td8,omitempty"`
	TD9  string `json:"td9,omitempty"`
	TD10 string `json:"td10,omitempty"`
}

// each replaces every dimension by what f makes of it.
func (d dimensions) each(f func(string) string) dimensions {
	for _, p := range []*string{&d.TD1, &d.TD2, &d.TD3, &d.TD4, &d.TD5, &d.TD6, &d.TD7, &d.TD8, &d.TD9, &d.TD10} {
		if *p != "" {
			*p = f(*p)
		}
	}
	return d
}
