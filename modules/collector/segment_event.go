package collector

import (
	"strings"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

// segmentNames are the events of Segment's e-commerce and B2B specifications that the
// GA4 vocabulary has too, in lower case. All others keep their name, in the form that a
// name has here.
var segmentNames = map[string]string{
	"order completed": "purchase", "order refunded": "refund",
	"product viewed": "view_item", "product list viewed": "view_item_list", "product list filtered": "view_item_list", "product clicked": "select_item",
	"product added": "add_to_cart", "product removed": "remove_from_cart", "cart viewed": "view_cart", "product added to wishlist": "add_to_wishlist",
	"checkout started": "begin_checkout", "payment info entered": "add_payment_info", "shipping info entered": "add_shipping_info",
	"products searched": "search", "product shared": "share", "cart shared": "share",
	"promotion viewed": "view_promotion", "promotion clicked": "select_promotion",
	"signed up": "sign_up", "account created": "sign_up", "signed in": "login", "logged in": "login", "lead captured": "generate_lead", "lead generated": "generate_lead",
}

// event is the message's name and properties in our vocabulary.
func (m *segmentMessage) event(kind string) (string, jsontext.Value, event.Fault) {
	switch kind {
	case "track":
		if strings.TrimSpace(m.Event) == "" {
			return "", nil, event.Fault{Pointer: "/event", Code: "required", Message: "is required"}
		}
		return segmentTrack(m.Event, m.Properties)
	case "page", "screen":
		name := "page_view"
		if kind == "screen" {
			name = "screen_view"
		}
		properties, f := segmentProperties(m.Properties, func(p map[string]jsontext.Value) {
			for key, v := range map[string]loose{kind + "_name": m.Name, kind + "_category": m.Category} {
				if v != "" {
					p[key] = text(string(v))
				}
			}
		})
		return name, properties, f
	case "identify", "alias", "group":
		// Traits are the identity, and nothing that happened.
		return kind, nil, event.Fault{}
	}
	return "", nil, event.Fault{Pointer: "/type", Code: "invalid_type", Message: "must be track, page, screen, identify, group or alias"}
}

func text(s string) jsontext.Value { return quote(nil, s) }

func segmentTrack(said string, properties jsontext.Value) (string, jsontext.Value, event.Fault) {
	name, known := segmentNames[strings.ToLower(strings.TrimSpace(said))]
	if !known {
		name = segmentName(said)
	}
	if !event.Commercial(name) && !known {
		p, f := segmentProperties(properties, nil)
		return name, p, f
	}
	p, f := segmentProperties(properties, func(p map[string]jsontext.Value) { commerce(name, p) })
	return name, p, f
}

// segmentName is a name as it may be here: one that already is stays, any other becomes
// small letters with _ between its words.
func segmentName(s string) string {
	if event.ValidName(s) {
		return s
	}
	var b strings.Builder
	gap := false
	for _, r := range strings.TrimSpace(s) {
		switch {
		case r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			if b.Len() == 0 && unicode.IsDigit(r) {
				b.WriteString("e_")
			} else if gap && b.Len() > 0 {
				b.WriteByte('_')
			}
			gap = false
			b.WriteRune(unicode.ToLower(r))
		default:
			gap = true
		}
		if b.Len() >= 60 {
			break
		}
	}
	return b.String()
}

// segmentProperties changes a message's properties, which must be an object.
func segmentProperties(raw jsontext.Value, change func(map[string]jsontext.Value)) (jsontext.Value, event.Fault) {
	p := map[string]jsontext.Value{}
	switch raw.Kind() {
	case '{':
		if json.Unmarshal(raw, &p) != nil {
			return nil, event.Fault{Pointer: "/properties", Code: "invalid_properties", Message: "must be an object in which no name occurs twice"}
		}
	case 0, 'n':
	default:
		return nil, event.Fault{Pointer: "/properties", Code: "invalid_type", Message: "must be an object"}
	}
	if change != nil {
		change(p)
	}
	if len(p) == 0 {
		return nil, event.Fault{}
	}
	b, err := json.Marshal(p, json.Deterministic(true))
	if err != nil {
		return nil, event.Fault{Pointer: "/properties", Code: "invalid_properties", Message: "must be an object"}
	}
	return b, event.Fault{}
}

// itemNames are a product's fields by Segment's names; of two for one field the first
// that is there counts.
var itemNames = [...][2]string{
	{"product_id", "item_id"}, {"sku", "item_id"}, {"id", "item_id"}, {"name", "item_name"}, {"brand", "item_brand"}, {"category", "item_category"},
	{"variant", "item_variant"}, {"price", "price"}, {"quantity", "quantity"}, {"coupon", "coupon"}, {"position", "index"},
}

// commerce renames what Segment's e-commerce events call otherwise.
func commerce(name string, p map[string]jsontext.Value) {
	move := func(to string, from ...string) {
		for _, f := range from {
			v, ok := p[f]
			if !ok || v.Kind() == 'n' {
				continue
			}
			if _, taken := p[to]; !taken {
				p[to] = v
			}
			delete(p, f)
		}
	}
	// revenue is without shipping and tax, as value is.
	move("value", "revenue", "total")
	switch name {
	case "purchase", "refund":
		move("order_id", "orderId", "checkout_id")
	case "search":
		move("search_term", "query")
	case "share":
		move("method", "share_via")
	case "view_promotion", "select_promotion":
		move("creative_name", "creative")
		move("promotion_name", "name")
		move("creative_slot", "position")
	case "add_payment_info":
		move("payment_type", "payment_method")
	case "add_shipping_info":
		move("shipping_tier", "shipping_method")
	}
	if products, ok := p["products"]; ok {
		var list []map[string]jsontext.Value
		if json.Unmarshal(products, &list) == nil {
			if _, taken := p["items"]; !taken {
				for i := range list {
					list[i] = item(list[i])
				}
				if b, err := json.Marshal(list, json.Deterministic(true)); err == nil {
					p["items"] = b
				}
			}
			delete(p, "products")
		}
		if name == "view_item_list" {
			move("item_list_id", "list_id")
			move("item_list_name", "category")
		}
		return
	}
	single := name == "view_item" || name == "select_item" || name == "add_to_cart" || name == "remove_from_cart" || name == "add_to_wishlist"
	if _, taken := p["items"]; !single || taken {
		return
	}
	// The product is spread over the properties.
	one := item(p)
	if len(one) == 0 {
		return
	}
	for _, n := range itemNames {
		delete(p, n[0])
	}
	if b, err := json.Marshal([]map[string]jsontext.Value{one}, json.Deterministic(true)); err == nil {
		p["items"] = b
	}
}

// item is a product in our names.
func item(from map[string]jsontext.Value) map[string]jsontext.Value {
	out := map[string]jsontext.Value{}
	for _, n := range itemNames {
		v, ok := from[n[0]]
		if !ok || v.Kind() == 'n' {
			continue
		}
		if _, taken := out[n[1]]; !taken {
			out[n[1]] = v
		}
	}
	return out
}
