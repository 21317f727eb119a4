package dv360

import (
	"testing"

	"github.com/miq/pixel/modules/partner/partnertest"
)

// Each entry of the tables of answers in Google's references has a golden file.
func TestEveryAnswerHasACase(t *testing.T) {
	t.Run("Campaign Manager 360", func(t *testing.T) {
		partnertest.Covers(t, "testdata/cm360", []int{200, 400, 401, 403, 404, 413, 429, 500, 502, 503, 504},
			"INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "INTERNAL", "UNAUTHENTICATED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "CREDENTIALS_MISSING",
			"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded")
	})
	t.Run("Data Manager", func(t *testing.T) {
		codes := []string{
			"RESOURCE_EXHAUSTED", "IngestionMutateRequestsPerMinutePerProject", "IngestionMutateRequestsPerDayPerProject",
			"REQUIRED_FIELD_MISSING", "INVALID_FORMAT", "INVALID_SHA256_FORMAT", "INVALID_HEX_ENCODING", "NO_IDENTIFIERS_PROVIDED", "EVENT_TIME_INVALID",
			"INVALID_CURRENCY_CODE", "INVALID_MOBILE_ID_FORMAT", "CUSTOM_VARIABLE_VALUE_CONTAINS_PII",
			"PERMISSION_DENIED", "INVALID_DESTINATION", "OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH", "DESTINATION_ACCOUNT_TYPE_MISMATCH", "DUPLICATE_DESTINATION_REFERENCE", "NOT_ALLOWLISTED",
			"TOO_MANY_EVENTS", "TOO_MANY_DESTINATIONS", "TOO_MANY_USER_IDENTIFIERS",
		}
		for _, reason := range []string{
			"INTERNAL_ERROR", "TOO_RECENT_CLICK", "DUPLICATE_TRANSACTION_ID", "EVENT_TOO_OLD", "DENIED_CONSENT", "INVALID_GCLID", "MATCH_ID_NOT_FOUND",
			"USER_ID_NOT_FOUND_FOR_GCLID", "USER_ID_NOT_FOUND_FOR_DCLID", "USER_ID_NOT_FOUND_FOR_MATCH_ID", "USER_ID_NOT_FOUND_FOR_IMPRESSION_ID",
			"INVALID_AD_IDENTIFIERS", "EVENT_ID_DECODE_ERROR",
		} {
			codes = append(codes, "PROCESSING_ERROR_REASON_"+reason)
		}
		partnertest.Covers(t, "testdata/data_manager", []int{200, 400, 401, 403, 404, 413, 429, 500, 502, 503, 504}, append(codes, "PROCESSING", "SUCCESS", "FAILED", "PARTIAL_SUCCESS")...)
	})
}
