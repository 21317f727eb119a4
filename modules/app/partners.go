package app

import (
	"go.uber.org/fx"

	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/partner/amazon"
	"github.com/miq/pixel/modules/partner/dv360"
	"github.com/miq/pixel/modules/partner/ttd"
	"github.com/miq/pixel/modules/partner/yahoo"
)

// Adapters are the partners there are; a further one is a line here.
func Adapters() []partner.Adapter {
	return []partner.Adapter{
		dv360.New(),
		ttd.New(),
		yahoo.New(),
		amazon.New(),
	}
}

var partners = fx.Provide(fx.Annotate(Adapters, fx.ResultTags(`group:"adapters,flatten"`)))
