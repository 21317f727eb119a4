package schema

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
)

func checker(t testing.TB) *Checker {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheStandardEvents(t *testing.T) {
	c := checker(t)
	const good = `{"transaction_id":"A-1","value":59.9,"currency":"GBP","items":[{"item_id":"SKU-1","price":"59.90","quantity":1}]}`
	for name, x := range map[string]struct{ event, properties, pointer, message string }{
		"a good purchase":           {"purchase", good, "", ""},
		"numbers as texts":          {"purchase", `{"order_id":7,"value":"59.90","currency":"GBP","items":[{"item_name":"Shoe"}]}`, "", ""},
		"what no schema knows":      {"purchase", strings.Replace(good, "{", `{"colour":{"of":"sky"},`, 1), "", ""},
		"an event without a schema": {"heartbeat", `{"value":"x"}`, "", ""},
		"no value":                  {"purchase", `{"order_id":"1","currency":"GBP","items":[{"item_id":"a"}]}`, "/properties/value", "is required"},
		"nothing at all":            {"purchase", ``, "/properties/value", "is required"},
		"no order id":               {"purchase", `{"value":1,"currency":"GBP","items":[{"item_id":"a"}]}`, "/properties", "must have order_id or transaction_id"},
		"no items":                  {"purchase", `{"order_id":"1","value":1,"currency":"GBP","items":[]}`, "/properties/items", "must hold at least 1"},
		"a value that is none":      {"purchase", `{"order_id":"1","value":"ten","currency":"GBP","items":[{"item_id":"a"}]}`, "/properties/value", "must be a number or text that matches ^[0-9]{1,20}([.][0-9]{1,10})?$"},
		"a currency that is none":   {"add_to_cart", `{"currency":"pounds","items":[{"item_id":"a"}]}`, "/properties/currency", "must match ^[A-Z]{3}$"},
		"a value without currency":  {"add_to_cart", `{"value":1,"items":[{"item_id":"a"}]}`, "/properties/currency", "is required beside value"},
		"an item that is nameless":  {"view_item", `{"items":[{"item_id":"a"},{"price":1}]}`, "/properties/items/1", "must have item_id or item_name"},
		"a price that is a list":    {"view_item", `{"items":[{"item_id":"a","price":[1]}]}`, "/properties/items/0/price", "must be a number or string"},
		"a search without its term": {"search", `{}`, "/properties/search_term", "is required"},
		"a lead needs nothing":      {"generate_lead", `{}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := c.Check("px", 1, nil, x.event, jsontext.Value(x.properties))
			if f.Pointer != x.pointer || f.Message != x.message || (f.Code != "") != (x.message != "") {
				t.Errorf("%+v, want %s %s", f, x.pointer, x.message)
			}
		})
	}
	if len(Names()) != 20 || !c.Standard("purchase") || c.Standard("x") {
		t.Error(Names())
	}
}

func TestASitesOwnSchemaGoesBeforeTheBuiltIn(t *testing.T) {
	c := checker(t)
	own := []Custom{{"purchase", jsontext.Value(`{"required":["loyalty"],"properties":{"tier":{"enum":["gold","silver"]},"a/b":{"maxLength":2}},"additionalProperties":true}`)}}
	check := func(revision int64, properties string) event.Fault {
		return c.Check("px", revision, func() []Custom { return own }, "purchase", jsontext.Value(properties))
	}
	if f := check(1, `{"loyalty":1}`); f.Code != "" {
		t.Error(f)
	}
	if f := check(1, `{}`); f.Pointer != "/properties/loyalty" {
		t.Error(f)
	}
	if f := check(1, `{"loyalty":1,"tier":"secret of bob"}`); f.Message != "must be one of gold, silver" || strings.Contains(f.Error(), "bob") {
		t.Error(f)
	}
	if f := check(1, `{"loyalty":1,"a/b":"long"}`); f.Pointer != "/properties/a~1b" || f.Message != "must have at most 2 characters" {
		t.Error(f)
	}
	own[0].Schema = jsontext.Value(`{}`)
	if f := check(1, `{}`); f.Code == "" {
		t.Error("a schema is compiled again though nothing changed")
	}
	if f := check(2, `{}`); f.Code != "" {
		t.Error(f)
	}
	if f := c.Check("other", 1, nil, "purchase", nil); f.Code == "" {
		t.Error("another site's own counts here")
	}
}

func TestASchemaThatIsNoneSaysWhy(t *testing.T) {
	for schema, want := range map[string]string{
		`{`: "valid JSON", `[]`: "an object", `{"type":"number of things"}`: "JSON Schema", `{"$ref":"https://example.com/s.json"}`: "another file or address",
		`{"$ref":"file:///etc/passwd"}`: "another file or address", `{"properties":{"a":{"pattern":"("}}}`: "JSON Schema", `{"a":"` + strings.Repeat("x", MaxBytes) + `"}`: "at most",
	} {
		if err := Compile(jsontext.Value(schema)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v", schema, err)
		}
	}
	if err := Compile(jsontext.Value(`{"type":"object"}`)); err != nil {
		t.Error(err)
	}
}

func BenchmarkCheck(b *testing.B) {
	c := checker(b)
	p := jsontext.Value(`{"transaction_id":"A-1","value":59.9,"currency":"GBP","items":[{"item_id":"SKU-1","price":59.90,"quantity":1}]}`)
	b.ReportAllocs()
	for b.Loop() {
		if f := c.Check("px", 1, nil, "purchase", p); f.Code != "" {
			b.Fatal(f)
		}
	}
}

// BenchmarkForm is what every event that comes in costs.
func BenchmarkForm(b *testing.B) {
	c := checker(b)
	for name, p := range map[string]string{
		"page_view": `{"category":"shoes"}`,
		"view_item": `{"value":99.5,"currency":"GBP","items":[{"item_id":"SKU1","item_name":"Running shoe","price":99.5,"quantity":1}]}`,
		"purchase":  bought,
		"search":    `{}`, // which lacks its term
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if f, _ := c.Form("px", 1, nil, name, jsontext.Value(p)); f.Code != "" {
					b.Fatal(f)
				}
			}
		})
	}
}
