package dv360

import (
	"testing"

	"github.com/miq/pixel/modules/partner/partnertest"
)

func TestCampaignManager(t *testing.T) { partnertest.Run(t, New(), "testdata/cm360") }

func TestDataManager(t *testing.T) { partnertest.Run(t, New(), "testdata/data_manager") }
