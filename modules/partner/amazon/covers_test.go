package amazon

import (
	"testing"

	"github.com/miq/pixel/modules/partner/partnertest"
)

// Each entry of the table of answers in Amazon's reference has a golden file.
func TestEveryAnswerHasACase(t *testing.T) {
	partnertest.Covers(t, "testdata", []int{200, 207, 400, 401, 403, 404, 413, 429, 500, 502, 503, 504},
		"INTERNAL_ERROR", "CONFLICT", "TOO_MANY_REQUESTS", "SERVICE_UNAVAILABLE", "BAD_REQUEST", "INVALID_INPUT", "NOT_FOUND", "UNAUTHORIZED", "FORBIDDEN", "CONTENT_TOO_LARGE",
		"FIELD_VALUE_IS_INVALID", "DUPLICATE_FIELD_VALUE_FOUND")
}
