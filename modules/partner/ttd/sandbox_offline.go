package ttd

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

type aFailedLine struct {
	ItemNumber    string `json:"ItemNumber"`
	OrderID       string `json:"OrderId,omitempty"`
	TrackingTagID string `json:"TrackingTagId,omitempty"`
	ErrorCode     string `json:"ErrorCode"`
	Message       string `json:"Message"`
}

func imitateOffline(r *http.Request, body []byte) partner.Imitation {
	switch auth := r.Header.Get("TTD-Auth"); {
	case auth == "":
		return refusal(http.StatusUnauthorized, "TTD-Auth is missing")
	case strings.HasPrefix(auth, "revoked"):
		return refusal(http.StatusForbidden, "the token has no rights for this provider")
	case !plainJSON(r):
		return refusal(http.StatusUnsupportedMediaType, "Content-Type must be application/json")
	}
	type lineItem struct {
		Code  string `json:"item_code"`
		Name  string `json:"name"`
		Qty   string `json:"qty"`
		Price string `json:"price"`
		Cat   string `json:"cat"`
	}
	type setting struct {
		Type       string `json:"privacy_type"`
		Applicable string `json:"is_applicable"`
		Consent    string `json:"consent_string"`
	}
	type line struct {
		TDID, DAID, UID2, UID2Token, RampID, EUID, EUIDToken string
		DataProviderUserId, CookieMappingPartnerId           string
		UserIdArray                                          [][]string
		OrderId, ImpressionId, TrackingTagId, TimestampUtc   string
		Value, ValueCurrency, Country, Region, Metro, City   string
		MerchantId, EventName                                string
		LineItems                                            []lineItem
		PrivacySettings                                      []setting
		TD1, TD2, TD3, TD4, TD5, TD6, TD7, TD8, TD9, TD10    string
	}
	var in struct {
		DataProviderId            string
		UserIdArrayMetadataFormat []string
		Items                     []jsontext.Value
		DataLoadTraceId           string
		DataOrigins               []jsontext.Value
	}
	if err := json.Unmarshal(body, &in, json.RejectUnknownMembers(true)); err != nil || in.DataProviderId == "" || len(in.Items) == 0 {
		return refusal(http.StatusBadRequest, "invalid JSON, or DataProviderId or Items are missing")
	}
	failed := []aFailedLine{}
	a := partner.Imitation{Status: http.StatusOK}
	for i, raw := range in.Items {
		var l line
		code, message := "", ""
		if err := json.Unmarshal(raw, &l, json.RejectUnknownMembers(true)); err != nil {
			code, message = "ItemDeserializationError", err.Error()
		} else {
			at, err := time.Parse(time.RFC3339Nano, l.TimestampUtc)
			switch {
			case l.TrackingTagId == "" || strings.HasPrefix(l.TrackingTagId, "undefined"):
				code, message = "MissingOrInvalidTrackingTagId", "Invalid TrackingTagId"
			case strings.HasPrefix(l.MerchantId, "undefined"):
				code, message = "InvalidMerchantId", "Invalid MerchantId"
			case err != nil || at.After(time.Now().Add(time.Hour)):
				code, message = "InvalidTimestamp", "Invalid TimestampUtc"
			case len(l.UserIdArray) == 0 && l.ImpressionId == "" && l.TDID+l.DAID+l.UID2+l.UID2Token+l.RampID+l.EUID+l.EUIDToken == "":
				code, message = "MissingOrInvalidTDIDAndImpressionId", "no user id and no impression id"
			case len(l.UserIdArray) > 20 || slices.ContainsFunc(l.UserIdArray, badPair):
				code, message = "InvalidUserIdTypeOrUserId", "Invalid UserIdArray"
			}
		}
		if code != "" {
			failed = append(failed, aFailedLine{strconv.Itoa(i + 1), l.OrderId, l.TrackingTagId, code, message + ", item #" + strconv.Itoa(i+1)})
			continue
		}
		if l.OrderId != "" {
			a.OrderIDs = append(a.OrderIDs, l.OrderId)
		}
	}
	if len(failed) == len(in.Items) {
		a.Status = http.StatusBadRequest
	}
	a.Body = struct {
		FailedLines []aFailedLine `json:"FailedLines"`
	}{failed}
	return a
}

func badPair(p []string) bool {
	return len(p) != 2 || len(p[0]) != 1 || p[0] < "0" || p[0] > "6" || p[1] == ""
}
