package event

import (
	"errors"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// BadOrder is the code of a Fault in what makes an order.
const BadOrder = "invalid_order"

// maxItems bounds the lines of an order.
const maxItems = 200

// Commercial reports whether an event of this name is about money by the GA4
// e-commerce vocabulary, so that its value, currency and items have to be right.
// In other events the same names may mean anything.
func Commercial(name string) bool {
	switch name {
	case "purchase", "refund", "add_to_cart", "remove_from_cart", "view_cart", "begin_checkout",
		"add_payment_info", "add_shipping_info", "view_item", "view_item_list", "select_item",
		"add_to_wishlist", "generate_lead":
		return true
	}
	return false
}

// text is a string, or a number taken by its digits: shops send order numbers
// both ways.
type text string

func (t *text) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	tok, err := d.ReadToken()
	if err != nil {
		return err
	}
	switch tok.Kind() {
	case '"', '0':
		*t = text(tok.String())
	case 'n':
		*t = ""
	default:
		return errors.New("must be a string")
	}
	return nil
}

// orderFields are the properties that make an order.
type orderFields struct {
	OrderID, TransactionID string
	Value                  Amount
	Currency               string
	Items                  []Item
}

type orderJSON struct {
	OrderID       text         `json:"order_id"`
	TransactionID text         `json:"transaction_id"`
	Value         Amount       `json:"value"`
	Currency      string       `json:"currency"`
	Items         []itemFields `json:"items"`
}

type itemFields struct {
	ID       text   `json:"item_id"`
	Name     text   `json:"item_name"`
	Brand    text   `json:"item_brand"`
	Category text   `json:"item_category"`
	Price    Amount `json:"price"`
	Quantity Amount `json:"quantity"`
}

// ParseOrder reads the commercial part of an event's properties: order_id or
// transaction_id, value, currency and items. In a Commercial event what is wrong
// there is a Fault; in any other, properties that do not make an order are none.
func ParseOrder(name string, properties jsontext.Value) (Order, Fault) {
	if len(properties) == 0 {
		return Order{}, Fault{}
	}
	fields, f := parseOrder(properties)
	if f.Code != "" {
		return judged(name, f)
	}
	return fields.of(name)
}

// judged is what a fault means for an event of a name.
func judged(name string, f Fault) (Order, Fault) {
	if Commercial(name) {
		return Order{}, f.In("/properties")
	}
	return Order{}, Fault{}
}

func parseOrder(properties jsontext.Value) (orderFields, Fault) {
	var in orderJSON
	if err := json.Unmarshal(properties, &in); err != nil {
		f := Fault{"", BadOrder, "must be an order by the GA4 e-commerce names"}
		if e, ok := errors.AsType[*json.SemanticError](err); ok {
			f.Pointer, f.Message = string(e.JSONPointer), "has the wrong type"
			if e.Err != nil {
				f.Message = e.Err.Error()
			}
		}
		return orderFields{}, f
	}
	fields := orderFields{string(in.OrderID), string(in.TransactionID), in.Value, in.Currency, make([]Item, len(in.Items))}
	for i, it := range in.Items {
		fields.Items[i] = Item{ID: string(it.ID), Name: string(it.Name), Brand: string(it.Brand), Category: string(it.Category), Price: it.Price, Quantity: it.Quantity}
	}
	return fields, Fault{}
}

// of is the order that the fields make for an event of a name.
func (in *orderFields) of(name string) (Order, Fault) {
	o := Order{ID: in.OrderID, Value: in.Value, Currency: in.Currency}
	if o.ID == "" {
		o.ID = in.TransactionID
	}
	if len(in.Items) > 0 {
		o.Items = in.Items
	}
	if f := o.check(); f.Code != "" {
		return judged(name, f)
	}
	return o, Fault{}
}

func (o *Order) check() Fault {
	switch {
	case len(o.ID) > MaxIDLength:
		return Fault{"/order_id", BadOrder, "must be at most 128 bytes"}
	case o.Value.Negative():
		return Fault{"/value", BadOrder, "must not be negative; a refund is an event of its own"}
	case o.Currency != "" && !currency(o.Currency):
		return Fault{"/currency", BadOrder, "must be three capital letters (ISO 4217), such as GBP"}
	case len(o.Items) > maxItems:
		return Fault{"/items", BadOrder, "must hold at most 200 items"}
	}
	for i := range o.Items {
		field := ""
		switch {
		case o.Items[i].Price.Negative():
			field = "/price"
		case o.Items[i].Quantity.Negative():
			field = "/quantity"
		}
		if field != "" {
			return Fault{"/items/" + strconv.Itoa(i) + field, BadOrder, "must not be negative"}
		}
	}
	return Fault{}
}

func currency(s string) bool {
	return len(s) == 3 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z' && s[2] >= 'A' && s[2] <= 'Z'
}
