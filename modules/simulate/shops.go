package simulate

import (
	"fmt"
	"math"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/settings"
)

// Shop is one of the sites that the visitors come to.
type Shop struct {
	ID, Name, Host string
	Country        string // where its business is, and most of its visitors
	Currency       string
	Products       int
	share          float64 // of all visits
}

var markets = []struct {
	country, currency, name, tld string
}{
	{"GB", "GBP", "Fell & Fleet", "co.uk"},
	{"US", "USD", "Prairie Outfitters", "com"},
	{"DE", "EUR", "Waldlauf", "de"},
	{"FR", "EUR", "Cime et Vent", "fr"},
	{"SE", "SEK", "Norrsken", "se"},
}

// NewShops makes n shops, of which the first has by far the most visitors.
func NewShops(n int) []Shop {
	list, sum := make([]Shop, n), 0.0
	for i := range list {
		m := markets[i%len(markets)]
		list[i] = Shop{
			ID: fmt.Sprintf("px_sim_%d", i+1), Name: fmt.Sprintf("%s (simulated %d)", m.name, i+1), Host: fmt.Sprintf("shop%d.example.%s", i+1, m.tld),
			Country: m.country, Currency: m.currency, Products: 40 + 400/(i+1), share: 1 / float64(i+1),
		}
		sum += list[i].share
	}
	for i := range list {
		list[i].share /= sum
	}
	return list
}

// Pixel is the shop's pixel, as it has to be made before anything is sent.
func (s Shop) Pixel() settings.Pixel {
	return settings.Pixel{
		ID: s.ID, Name: s.Name, Advertiser: "Simulated", Enabled: true, ConsentMode: settings.CMP, Country: s.Country,
		Domains: []string{s.Host},
	}
}

// Routes send what a shop sells to each partner, with parameters that our imitations
// of them take.
func Routes() []settings.Route {
	route := func(partner, event, params string) settings.Route {
		return settings.Route{Partner: partner, Event: event, Enabled: true, Params: jsontext.Value(params)}
	}
	return []settings.Route{
		route("ttd", "purchase", `{"adv":"demoadv","tracker_id":"demotrk"}`),
		route("ttd", "add_to_cart", `{"adv":"demoadv","tracker_id":"demotrk"}`),
		route("dv360", "purchase", `{"profile_id":"7654321","floodlight_configuration_id":"1234567","floodlight_activity_id":"111111","match_id_from":"order_id","currency":"USD"}`),
		route("yahoo", "purchase", `{"pixel_id":"10012345"}`),
		route("amazon", "purchase", `{"account_id":"1234567890","region":"NA","conversion_type":"OFF_AMAZON_PURCHASES"}`),
	}
}

// hours is how busy each hour of the day is, 1 on average: nights are quiet, evenings busy.
var hours = [24]float64{
	0.42, 0.27, 0.19, 0.16, 0.17, 0.27, 0.48, 0.74, 0.95, 1.10, 1.20, 1.24,
	1.28, 1.22, 1.17, 1.16, 1.21, 1.32, 1.48, 1.66, 1.82, 1.72, 1.22, 0.75,
}

// days is how busy each day of the week is, from Sunday on.
var days = [7]float64{1.12, 1.02, 0.96, 0.94, 0.97, 0.95, 1.04}

// Season is how busy shops are at a moment: 1 on average of a week, by the hour, the day
// and the sales of late November.
func Season(at time.Time) float64 {
	h, part := at.Hour(), float64(at.Minute()*60+at.Second())/3600
	busy := hours[h]*(1-part) + hours[(h+1)%24]*part
	busy *= days[at.Weekday()]
	if at.Month() == time.November && at.Day() >= 23 {
		busy *= 1.6
	}
	return busy / mean
}

// mean is what busy is on average of a usual week.
var mean = func() float64 {
	var h, d float64
	for _, x := range hours {
		h += x / 24
	}
	for _, x := range days {
		d += x / 7
	}
	return h * d
}()

// Peak is how much busier the busiest hour of a usual week is than its average.
func Peak() float64 {
	most := 0.0
	for h := range 24 * 7 {
		most = math.Max(most, Season(time.Date(2026, 6, 7, h, 0, 0, 0, time.UTC)))
	}
	return most
}
