package enrich

import (
	"math/big"
	"sort"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/event"
)

// Why an order has no value in the base currency.
const (
	noCurrency = "the order names no currency"
	noRate     = "there is no rate for its currency"
	noRateYet  = "there is no rate for its currency at that time"
)

// rates turn money into the base currency.
type rates struct {
	base  string
	rates map[string][]rate // by currency, the oldest first
	// digits are how many decimals the base currency has.
	digits int
}

// rate is what one unit is worth in the base currency, from a day on.
type rate struct {
	from  time.Time
	day   string
	worth *big.Rat
}

func readRates(c config.Currency) (*rates, error) {
	r := &rates{base: c.Base, rates: map[string][]rate{}, digits: 2}
	switch c.Base {
	case "JPY", "KRW", "CLP", "ISK", "VND", "HUF", "TWD", "IDR":
		r.digits = 0
	}
	list, err := c.Parse()
	if err != nil {
		return nil, err
	}
	for _, one := range list {
		r.rates[one.Currency] = append(r.rates[one.Currency], rate{one.From, one.From.Format(time.DateOnly), one.Worth})
	}
	for _, list := range r.rates {
		sort.Slice(list, func(i, j int) bool { return list[i].from.Before(list[j].from) })
	}
	return r, nil
}

// value is an order's value in the base currency, by the rate of the day that it was
// made on. What cannot be said stays empty, and says why.
func (r *rates) value(o *event.Order, at time.Time) event.Value {
	if r.base == "" || o.Value == "" {
		return event.Value{}
	}
	switch o.Currency {
	case "":
		return event.Value{Missing: noCurrency}
	case r.base:
		return event.Value{Amount: o.Value, Currency: r.base}
	}
	list := r.rates[o.Currency]
	if len(list) == 0 {
		return event.Value{Missing: noRate}
	}
	i := sort.Search(len(list), func(i int) bool { return list[i].from.After(at) })
	if i == 0 {
		return event.Value{Missing: noRateYet}
	}
	amount, ok := new(big.Rat).SetString(string(o.Value))
	if !ok {
		return event.Value{}
	}
	amount.Mul(amount, list[i-1].worth)
	return event.Value{Amount: event.Amount(amount.FloatString(r.digits)), Currency: r.base, Date: list[i-1].day}
}
