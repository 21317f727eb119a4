package attribution

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Sale is what is remembered of an order, so that a refund finds its conversion and a
// conversion the refunds that came before it.
type Sale struct {
	Visitor string // whose history holds the conversion; empty: none came yet
	EventID string // the conversion's
	Refunds []SaleRefund
}

// SaleRefund is a refund with its currency.
type SaleRefund struct {
	Refund
	Currency string
}

// Refund adds a refund and reports whether it was not there.
func (s *Sale) Refund(r SaleRefund) bool {
	for _, known := range s.Refunds {
		if known.EventID == r.EventID {
			return false
		}
	}
	if len(s.Refunds) >= maxRefunds {
		return false
	}
	s.Refunds = append(s.Refunds, r)
	return true
}

// Encode returns a sale as bytes.
func (s *Sale) Encode() []byte {
	b := []byte{codecVersion}
	text := func(t string) { b = append(binary.AppendUvarint(b, uint64(len(t))), t...) }
	text(s.Visitor)
	text(s.EventID)
	b = binary.AppendUvarint(b, uint64(len(s.Refunds)))
	for _, r := range s.Refunds {
		text(r.EventID)
		text(r.Currency)
		b = binary.AppendVarint(b, r.Amount)
	}
	return b
}

// DecodeSale reads a sale; of nothing it is empty.
func DecodeSale(b []byte) (*Sale, error) {
	s := &Sale{}
	if len(b) == 0 {
		return s, nil
	}
	if b[0] != codecVersion {
		return nil, errHistory
	}
	r := reader{b: b[1:]}
	text := func() string { return string(r.bytes(r.uint())) }
	s.Visitor, s.EventID = text(), text()
	for range r.list() {
		var x SaleRefund
		x.EventID, x.Currency = text(), text()
		x.Amount = r.number()
		s.Refunds = append(s.Refunds, x)
	}
	if r.bad {
		return nil, errHistory
	}
	return s, nil
}

// HistoryKey is where a visitor's history is kept.
func HistoryKey(pixelID, visitor string) string { return "path:" + pixelID + ":" + visitor }

// SaleKey is where an order's sale is kept: by a digest, which bounds it.
func SaleKey(pixelID, orderID string) string {
	sum := sha256.Sum256([]byte(orderID))
	return "sale:" + pixelID + ":" + hex.EncodeToString(sum[:16])
}
