package schema

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const bought = `{"transaction_id":"A-1","value":59.9,"currency":"GBP","coupon":"SPRING","items":[{"item_id":"SKU-1","item_name":"Running shoe","price":"59.90","quantity":1,"index":0},{"item_id":"SKU-2","price":12,"quantity":2}]}`

// valid is what the library says.
func valid(t testing.TB, s *compiled, doc string) bool {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(doc))
	return err == nil && s.Validate(v) == nil
}

func TestWhatIsSureAtAGlanceIsWhatTheLibrarySays(t *testing.T) {
	c := checker(t)
	values := []string{`0`, `-0`, `1`, `-1`, `-1e-400`, `1e400`, `1.5`, `1.0`, `12345678901234567890`, `""`, `"x"`, `"12.5"`, `"GBP"`, `"gbp"`, `"\u0047BP"`, `"a\"b,}"`, `"\\"`, `null`, `true`, `false`,
		`[]`, `{}`, `[1,[2,"]"]]`, `[{}]`, `[{"item_id":1}]`, `[{"item_id":"a"},{"item_name":"b","price":3}]`, `[ {"item_id" : "a" , "quantity" : 0.5} ]`, `{"a":{"b":"}"}}`}
	names := []string{"value", "currency", "items", "transaction_id", "order_id", "tax", "shipping", "coupon", "search_term", "method", "group_id", "item_list_id", "promotion_id", "\\u0076alue", "unknown"}
	r := rand.New(rand.NewPCG(5, 6))
	sure, all := 0, 0
	for n := range 10_000 {
		var members []string
		for _, i := range r.Perm(len(names))[:r.IntN(6)] {
			members = append(members, fmt.Sprintf("%q", names[i])+":"+values[r.IntN(len(values))])
		}
		if r.IntN(2) == 0 { // often nearly right
			members = append(members, `"value":`+values[2+r.IntN(4)], `"currency":"GBP"`, `"items":[{"item_id":"a"}]`, `"order_id":7`)
		}
		doc := strings.ReplaceAll("{"+strings.Join(members, ",")+"}", `\\u`, `\u`)
		if r.IntN(8) == 0 {
			doc = " " + strings.ReplaceAll(doc, ":", " :\n\t")
		}
		for name, s := range c.standard {
			if s.glance == nil {
				t.Fatalf("%s cannot be read at a glance", name)
			}
			// What is as the schema demands is of the right form.
			if n%20 == 0 && valid(t, s, doc) && !valid(t, s.form, doc) {
				t.Fatalf("%s: %s is right, and not in its form", name, doc)
			}
			if s.form.glance.sure(jsontext.Value(strings.TrimSpace(doc))) && !valid(t, s.form, doc) {
				t.Fatalf("%s: sure of the form of %s, and the library is not", name, doc)
			}
			all++
			if v := jsontext.Value(doc); !v.IsValid() || !s.glance.sure(bytes.TrimSpace(v)) {
				continue
			}
			if sure++; !valid(t, s, doc) {
				t.Fatalf("%s: sure of %s, and the library is not", name, doc)
			}
		}
	}
	if sure < all/50 {
		t.Errorf("sure of %d of %d: this test looks at nothing", sure, all)
	}
}

func TestWhatIsRightIsSeenAtAGlance(t *testing.T) {
	c := checker(t)
	for name, doc := range map[string]string{
		"purchase": bought, "add_to_cart": `{"value":1,"currency":"GBP","items":[{"item_id":"a"}]}`, "search": `{"search_term":"shoe"}`, "generate_lead": `{}`,
		"view_item": `{ "items" : [ { "item_name" : "Shoe, \"new\"" , "price" : 3.5 } ] }`,
	} {
		if s := c.standard[name]; !s.glance.sure(jsontext.Value(doc)) || !valid(t, s, doc) {
			t.Errorf("%s: not seen", name)
		}
	}
}

func TestASchemaThatAsksForMoreIsLeftToTheLibrary(t *testing.T) {
	for keyword, seen := range map[string]bool{
		`"minLength":3`: false, `"enum":["a"]`: false, `"const":1`: false, `"not":{}`: false, `"additionalProperties":false`: false, `"format":"email"`: false,
		`"properties":{"a":{"maximum":3}}`: false, `"anyOf":[{"maxLength":3}]`: false, `"items":{"multipleOf":3}`: false, `"minimum":0.1`: false,
		`"$schema":"http://json-schema.org/draft-07/schema#"`: false, `"if":{"type":"null"},"then":false`: false, `"uniqueItems":true`: false, `"prefixItems":[{}]`: false,
		`"type":"object","title":"x","description":"y","required":["a"]`: true, `"minimum":0.5`: true,
	} {
		s, err := compile([]byte("{" + keyword + "}"))
		if err != nil {
			t.Fatalf("%s: %v", keyword, err)
		}
		if (s.glance != nil) != seen && !(keyword == `"format":"email"` && s.Format == nil) {
			t.Errorf("%s: seen at a glance: %v", keyword, s.glance != nil)
		}
	}
}

func TestNoTextMakesAGlancePanic(t *testing.T) {
	c := checker(t)
	whole := []byte(`{"value":"9.5","currency":"GBP","items":[{"item_id":"a\"b","price":-1e3},{"x":[1,{"y":null}]}],"tax":true}`)
	r := rand.New(rand.NewPCG(7, 8))
	for range 50_000 {
		doc := bytes.Clone(whole[:1+r.IntN(len(whole))])
		for range r.IntN(4) {
			doc[r.IntN(len(doc))] = `{}[]",:\ 1-tn`[r.IntN(13)]
		}
		c.Form("px", 1, nil, "purchase", jsontext.Value(doc))
		c.Check("px", 1, nil, "purchase", jsontext.Value(doc))
	}
}
