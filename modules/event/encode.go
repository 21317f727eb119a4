package event

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Encoder writes the events of one envelope as JSON, in the members that
// json.Marshal would write, though in another order. What they have in common is
// most of each, and is encoded once: with the first.
type Encoder struct {
	shared []byte // its members, and the brace that ends an event
}

// sharedFields are what the events of an envelope have in common.
type sharedFields struct {
	PixelID    string     `json:"pixel_id"`
	SentAt     time.Time  `json:"sent_at,omitzero"`
	ReceivedAt time.Time  `json:"received_at"`
	Source     string     `json:"source"`
	Consent    *Consent   `json:"consent"`
	Verdict    *Verdict   `json:"verdict"`
	Subject    *Subject   `json:"subject"`
	Context    *Context   `json:"context"`
	Enrichment Enrichment `json:"enrichment,omitzero"`
	Trace      string     `json:"trace,omitempty"`
}

// Encode returns e as JSON. It must differ from the first event that was encoded
// in nothing but ID, Receipt, Name, Time, Priority, Order and Properties.
func (enc *Encoder) Encode(e *Event) ([]byte, error) {
	if enc.shared == nil {
		b, err := json.Marshal(&sharedFields{
			e.PixelID, e.SentAt, e.ReceivedAt, e.Source,
			&e.Consent, &e.Verdict, &e.Subject, &e.Context, e.Enrichment, e.Trace,
		})
		if err != nil {
			return nil, err
		}
		enc.shared = b[1:]
	}
	// The members of the event's own are written by hand: going through their
	// types costs more than all of the rest.
	w := writer{b: make([]byte, 0, 256+len(e.Properties)+96*len(e.Order.Items)+len(enc.shared))}
	w.begin('{')
	w.text("id", e.ID)
	w.text("receipt", e.Receipt)
	w.text("name", e.Name)
	w.time("time", e.Time)
	w.text("priority", string(e.Priority))
	if !e.Order.zero() {
		w.name("order")
		w.order(&e.Order)
	}
	if len(e.Properties) > 0 {
		w.name("properties")
		w.value(e.Properties)
	}
	if w.err != nil {
		return nil, w.err
	}
	return append(append(w.b, ','), enc.shared...), nil
}

func (o *Order) zero() bool {
	return o.ID == "" && o.Value == "" && o.Currency == "" && o.Items == nil
}

// writer appends JSON and keeps the first error.
type writer struct {
	b   []byte
	err error
}

func (w *writer) begin(c byte) {
	if last := len(w.b) - 1; last >= 0 && w.b[last] == '}' {
		w.b = append(w.b, ',') // between objects of an array
	}
	w.b = append(w.b, c)
}

func (w *writer) end(c byte) { w.b = append(w.b, c) }

func (w *writer) name(s string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, s...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) text(name, s string) {
	w.name(name)
	var err error
	if w.b, err = jsontext.AppendQuote(w.b, s); err != nil {
		w.fail(err)
	}
}

func (w *writer) textIf(name, s string) {
	if s != "" {
		w.text(name, s)
	}
}

func (w *writer) time(name string, t time.Time) {
	w.name(name)
	w.b = append(w.b, '"')
	var err error
	if w.b, err = t.AppendText(w.b); err != nil {
		w.fail(err)
	}
	w.b = append(w.b, '"')
}

func (w *writer) amountIf(name string, a Amount) {
	if a == "" {
		return
	}
	w.name(name)
	checked, err := ParseAmount(string(a))
	if err != nil {
		w.fail(err)
	}
	w.b = append(w.b, checked...)
}

func (w *writer) value(v jsontext.Value) {
	var err error
	if w.b, err = jsontext.AppendFormat(w.b, v); err != nil {
		w.fail(err)
	}
}

func (w *writer) order(o *Order) {
	w.begin('{')
	w.textIf("id", o.ID)
	w.amountIf("value", o.Value)
	w.textIf("currency", o.Currency)
	if len(o.Items) > 0 {
		w.name("items")
		w.begin('[')
		for i := range o.Items {
			w.item(&o.Items[i])
		}
		w.end(']')
	}
	w.end('}')
}

func (w *writer) item(i *Item) {
	w.begin('{')
	w.textIf("item_id", i.ID)
	w.textIf("item_name", i.Name)
	w.textIf("item_brand", i.Brand)
	w.textIf("item_category", i.Category)
	w.amountIf("price", i.Price)
	w.amountIf("quantity", i.Quantity)
	w.end('}')
}
