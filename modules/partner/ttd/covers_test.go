package ttd

import (
	"testing"

	"github.com/miq/pixel/modules/partner/partnertest"
)

// Each entry of the tables of answers in The Trade Desk's references has a golden file.
func TestEveryAnswerHasACase(t *testing.T) {
	partnertest.Covers(t, "testdata", []int{200, 400, 401, 402, 403, 404, 413, 429, 500, 502, 503, 504},
		"InvalidPrivacySetting", "MissingOrInvalidTDIDAndImpressionId", "MissingOrInvalidTrackingTagId", "InvalidMerchantId", "ChinaPII", "InvalidTimestamp",
		"InvalidUserIdTypeOrUserId", "Unauthorized", "ItemDeserializationError", "Uid2Error", "Unknown")
}
