package yahoo

import (
	"testing"

	"github.com/miq/pixel/modules/partner/partnertest"
)

// Each entry of the table of answers in Yahoo's reference has a golden file.
func TestEveryAnswerHasACase(t *testing.T) {
	partnertest.Covers(t, "testdata", []int{200, 400, 401, 403, 404, 408, 413, 415, 429, 500, 502, 503, 504}, "COMPLETE", "PARTIAL")
}
