package yahoo

import (
	"testing"

	"github.com/miq/pixel/modules/partner/partnertest"
)

func TestAdapter(t *testing.T) { partnertest.Run(t, New(), "testdata") }
