package attribution

import (
	"math"
	"time"

	"github.com/miq/pixel/modules/event"
)

// Conversion is one as its visitor's history keeps it.
type Conversion struct {
	EventID    string
	Name       string
	At         time.Time
	ReceivedAt time.Time
	OrderID    string
	Currency   string
	Value      int64 // in millionths
	Own        bool  // only its own visitor's touchpoints count
	Refunds    []Refund

	// Version and Digest are of what was last given for it.
	Version int64
	Digest  uint64
	// Path is set where touchpoints that belong to it would otherwise be forgotten: it
	// is owed to these, whatever comes.
	Path []Touch
}

// Refund takes a conversion back, or a part of it.
type Refund struct {
	EventID string
	// Amount is in millionths of the conversion's currency; All is the whole of it.
	Amount int64
}

// All is the amount of a refund that names none: the whole order.
const All = math.MaxInt64

// ReadConversion returns the conversion that an event is.
func ReadConversion(e *event.Event) Conversion {
	c := Conversion{
		EventID: e.ID, Name: e.Name, At: e.Time.UTC().Truncate(time.Millisecond), ReceivedAt: e.ReceivedAt.UTC().Truncate(time.Microsecond),
		OrderID: e.Order.ID, Own: e.Verdict.State != event.Full,
	}
	c.Currency, c.Value = money(e)
	return c
}

// money is an event's value: in the currency that sites are compared in where it was
// found, else in its own.
func money(e *event.Event) (currency string, value int64) {
	if v := &e.Enrichment.Value; v.Amount != "" && v.Currency != "" {
		return v.Currency, v.Amount.Micros()
	}
	if e.Order.Currency == "" {
		return "", 0
	}
	return e.Order.Currency, e.Order.Value.Micros()
}

// IsRefund reports whether an event takes a conversion back. One without an order's id
// takes nobody knows which.
func IsRefund(e *event.Event) bool { return e.Name == "refund" && e.Order.ID != "" }

// ReadRefund returns the refund that an event is, and its currency. Without a value it
// is what its items cost, and without those the whole order.
func ReadRefund(e *event.Event) (r Refund, currency string) {
	r = Refund{EventID: e.ID, Amount: All}
	if e.Order.Value != "" || e.Enrichment.Value.Amount != "" {
		currency, r.Amount = money(e)
		r.Amount = max(r.Amount, -r.Amount) // some shops send what goes out as less than nothing
		return r, currency
	}
	var sum int64
	for i := range e.Order.Items {
		it := &e.Order.Items[i]
		n := it.Quantity.Micros()
		if it.Quantity == "" {
			n = event.Whole
		}
		sum += int64(float64(it.Price.Micros()) / event.Whole * float64(n))
	}
	if sum > 0 {
		return Refund{EventID: e.ID, Amount: sum}, e.Order.Currency
	}
	return r, ""
}

// Refund adds a refund of the conversion; one that is known changes nothing. What is in
// another currency cannot be counted.
func (c *Conversion) Refund(r Refund, currency string) bool {
	if currency != "" && c.Currency != "" && currency != c.Currency && r.Amount != All {
		return false
	}
	for _, known := range c.Refunds {
		if known.EventID == r.EventID {
			return false
		}
	}
	if len(c.Refunds) >= maxRefunds {
		return false
	}
	c.Refunds = append(c.Refunds, r)
	sortRefunds(c.Refunds)
	return true
}

// Refunded is what was paid back of the value, at most all of it.
func (c *Conversion) Refunded() int64 {
	var sum int64
	for _, r := range c.Refunds {
		if r.Amount >= c.Value-sum {
			return max(c.Value, 0)
		}
		sum += r.Amount
	}
	return sum
}
