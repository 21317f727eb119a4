package event

import "github.com/go-json-experiment/json/jsontext"

// list reads the events.
func (r *Reader) list() {
	outside := r.depth
	for more := r.open('[', ']'); more; more = r.next(']') {
		if len(r.events) == r.most {
			r.fail()
			break
		}
		inside := r.depth
		r.depth = 0 // an event's depth is its own
		r.event()
		r.depth = inside
	}
	r.depth = outside
}

// event reads one event, and the order in it.
func (r *Reader) event() {
	r.peek()
	from := r.i
	r.events = append(r.events, Incoming{})
	in := &r.events[len(r.events)-1]
	r.object(
		member{`"id":`, &in.ID}, member{`"name":`, &in.Name}, member{`"time":`, &in.Time}, member{`"seq":`, &in.Seq},
		member{`"properties":`, &in.Properties})
	in.Raw = jsontext.Value(r.body[from:r.i:r.i])
	if len(in.Raw) > MaxEventBytes {
		r.fail()
	}
	in.Fault = in.Check()
}

// properties reads those of the last event: what orderFields is. It checks all the rest.
func (r *Reader) properties() {
	in := &r.events[len(r.events)-1]
	r.peek()
	from := r.i
	r.plain, r.personal = true, false
	in.orderRead = r.members([]member{
		{`"order_id":`, (*label)(&in.order.OrderID)}, {`"transaction_id":`, (*label)(&in.order.TransactionID)},
		{`"value":`, &in.order.Value}, {`"currency":`, (*code)(&in.order.Currency)}, {`"items":`, &in.order.Items},
	}, true)
	in.compact, in.named, in.unmarked = r.plain, r.personal, r.clean && !r.escaped
	in.Properties = jsontext.Value(r.body[from:r.i:r.i])
}

// lines reads the items of an order. What is not ok is valid, and has to be read
// by ParseOrder.
func (r *Reader) lines() (_ []Item, ok bool) {
	if r.peek() != '[' {
		r.skip()
		return nil, false
	}
	ok = true
	first := len(r.items)
	for more := r.open('[', ']'); more; more = r.next(']') {
		if r.peek() != '{' || len(r.items)-first > maxItems {
			r.skip()
			ok = false
			continue
		}
		r.items = append(r.items, Item{})
		ok = r.line(&r.items[len(r.items)-1]) && ok
	}
	return r.items[first:len(r.items):len(r.items)], ok
}

func (r *Reader) line(item *Item) (ok bool) {
	return r.members([]member{
		{`"item_id":`, (*label)(&item.ID)}, {`"item_name":`, (*label)(&item.Name)}, {`"item_brand":`, (*label)(&item.Brand)},
		{`"item_category":`, (*label)(&item.Category)}, {`"price":`, &item.Price}, {`"quantity":`, &item.Quantity},
	}, true)
}

// label reads what text is: a string, or a number by its digits.
func (r *Reader) label() (string, bool) {
	switch c := r.peek(); {
	case c == '"':
		return r.text(), true
	case c == '-' || c >= '0' && c <= '9':
		return r.number(), true
	}
	r.skip()
	return "", false
}

func (r *Reader) amount() (Amount, bool) {
	s, ok := r.label()
	if !ok || r.bad {
		return "", false
	}
	a, err := ParseAmount(s)
	return a, err == nil
}
