package config

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"
)

// Currency is what money of all sites is compared in.
type Currency struct {
	// Base is its ISO 4217 code; empty: nothing is converted.
	Base string `koanf:"base"`
	// Rates say from which day on one unit of a currency is worth how much in Base, such
	// as "2026-11-01 USD 0.8612". The last one before an order counts.
	Rates []string `koanf:"rates"`
}

// Rate is one of them.
type Rate struct {
	From     time.Time
	Currency string
	Worth    *big.Rat
}

var currencyCode = regexp.MustCompile(`^[A-Z]{3}$`)

// Parse reads the rates.
func (c Currency) Parse() ([]Rate, error) {
	out := make([]Rate, 0, len(c.Rates))
	for _, line := range c.Rates {
		parts := strings.Fields(line)
		if len(parts) != 3 {
			return nil, badRate(line)
		}
		from, err := time.Parse(time.DateOnly, parts[0])
		worth, ok := new(big.Rat).SetString(parts[2])
		if err != nil || !ok || worth.Sign() <= 0 || !currencyCode.MatchString(parts[1]) || strings.ContainsAny(parts[2], "/eE") {
			return nil, badRate(line)
		}
		out = append(out, Rate{from, parts[1], worth})
	}
	return out, nil
}

func badRate(line string) error {
	return fmt.Errorf(`must be lines such as "2026-11-01 USD 0.8612": a day, a currency, and what one of it is worth in the base currency from that day on; not %q`, line)
}

func (c Currency) check(bad *Invalid) {
	if c.Base != "" && !currencyCode.MatchString(c.Base) {
		bad.add("currency.base", "must be three capital letters (ISO 4217), such as EUR, not %q", c.Base)
	}
	rates, err := c.Parse()
	switch {
	case err != nil:
		bad.add("currency.rates", "%s", err)
	case len(rates) > 0 && c.Base == "":
		bad.add("currency.base", "is needed for currency.rates to mean anything")
	}
}
