package dv360

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

const (
	apiCM360       = "cm360"
	apiDataManager = "data_manager"

	insert  = "insert"
	enhance = "enhance"
)

// settings are what is set once, by settings.schema.json.
type settings struct {
	API                string `json:"api"`
	UseGclid           bool   `json:"use_gclid"`
	InsertIdentifiers  bool   `json:"user_identifiers_in_inserts"`
	VariableSpelling   string `json:"custom_variable_spelling"`
	SendIP             bool   `json:"send_ip"`
	MaxAgeDays         int    `json:"max_age_days"`
	StatusAfterMinutes int    `json:"status_after_minutes"`
}

func readSettings(v jsontext.Value) (settings, error) {
	s := settings{API: apiCM360, UseGclid: true, VariableSpelling: "upper", MaxAgeDays: 28, StatusAfterMinutes: 15}
	if err := partner.Read(v, &s); err != nil {
		return s, fmt.Errorf("read the settings of Display & Video 360: %w", err)
	}
	return s, nil
}

func (s settings) askAfter() time.Duration { return time.Duration(s.StatusAfterMinutes) * time.Minute }

// params are a route's, by params.schema.json.
type params struct {
	ProfileID       string            `json:"profile_id"`
	ConfigurationID string            `json:"floodlight_configuration_id"`
	ActivityID      string            `json:"floodlight_activity_id"`
	Operation       string            `json:"operation"`
	MatchIDFrom     string            `json:"match_id_from"`
	Currency        string            `json:"currency"`
	Rates           map[string]string `json:"rates"`
	Variables       map[string]string `json:"custom_variables"`
	EventSource     string            `json:"event_source"`

	MerchantID           string `json:"merchant_id"`
	MerchantFeedLabel    string `json:"merchant_feed_label"`
	MerchantFeedLanguage string `json:"merchant_feed_language"`
	DiscountFrom         string `json:"discount_from"`
	UpdatedFrom          string `json:"updated_from"`

	LimitAdTracking bool `json:"limit_ad_tracking"`
	Underage        bool `json:"treatment_for_underage"`
	ChildDirected   bool `json:"child_directed_treatment"`

	EncryptionType   string `json:"encryption_entity_type"`
	EncryptionID     string `json:"encryption_entity_id"`
	EncryptionSource string `json:"encryption_source"`
}

var numeric = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)

func readParams(v jsontext.Value) (params, error) {
	p := params{Operation: insert, MatchIDFrom: "match_id", EventSource: "WEB", EncryptionSource: "AD_SERVING"}
	if len(v) == 0 {
		return p, errors.New("the route has no parameters")
	}
	if err := partner.Read(v, &p); err != nil {
		return p, fmt.Errorf("the route's parameters cannot be read: %w", err)
	}
	return p, nil
}

// check holds what a route needs at the API that is set.
func (p params) check(s settings) error {
	switch {
	case !numeric.MatchString(p.ConfigurationID):
		return errors.New("the route names no Floodlight configuration by its number (floodlight_configuration_id)")
	case !numeric.MatchString(p.ActivityID):
		return errors.New("the route names no Floodlight activity by its number (floodlight_activity_id), which is not the cat= text of its tag")
	case s.API == apiCM360 && !numeric.MatchString(p.ProfileID):
		return errors.New("the route names no user profile (profile_id), which Campaign Manager 360 needs: the number of the credential's profile there, not that of the account")
	case p.Operation != insert && p.Operation != enhance:
		return errors.New("the route's operation must be insert or enhance")
	case s.API == apiDataManager && p.Operation == enhance:
		return errors.New("the route's operation enhance is for Campaign Manager 360 only: the Data Manager API takes contact data with the conversion itself")
	case p.EncryptionType != "" && (entityType(p.EncryptionType) == "" || !numeric.MatchString(p.EncryptionID)):
		return errors.New("encrypted user ids need a known encryption_entity_type and the number encryption_entity_id")
	case p.EncryptionSource != "AD_SERVING" && p.EncryptionSource != "DATA_TRANSFER":
		return errors.New("encryption_source must be AD_SERVING or DATA_TRANSFER")
	}
	for name := range p.Variables {
		if s.API == apiCM360 && !floodlightVariable.MatchString(name) {
			return errors.New("a custom variable's name must be U1 to U100")
		}
	}
	return nil
}

var floodlightVariable = regexp.MustCompile(`^U([1-9]|[1-9][0-9]|100)$`)

// entityType is the Data Manager API's name for Campaign Manager 360's.
func entityType(cm360 string) string {
	switch cm360 {
	case "DCM_ACCOUNT":
		return "CAMPAIGN_MANAGER_ACCOUNT"
	case "DCM_ADVERTISER":
		return "CAMPAIGN_MANAGER_ADVERTISER"
	case "DBM_PARTNER":
		return "DISPLAY_VIDEO_PARTNER"
	case "DBM_ADVERTISER":
		return "DISPLAY_VIDEO_ADVERTISER"
	case "ADWORDS_CUSTOMER":
		return "GOOGLE_ADS_CUSTOMER"
	case "DFP_NETWORK_CODE":
		return "GOOGLE_AD_MANAGER_NETWORK_CODE"
	}
	return ""
}
