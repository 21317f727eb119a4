package routes

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/cel-go/common/types"
	"pgregory.net/rapid"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/settings"
)

func expressions(t testing.TB) *Expressions {
	t.Helper()
	x, err := NewExpressions()
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// sale is what the expressions of these tests are about.
func sale() event.Event {
	return event.Event{
		ID: "e-1", PixelID: "px", Name: "purchase", Source: "web", Verdict: event.Verdict{State: event.Full, Regime: "gdpr"},
		Properties: jsontext.Value(`{"plan":"gold","seats":3,"trial":false,"tags":["a","b"],"deep":{"x":1},"null":null}`),
		Order:      event.Order{ID: "A-1", Value: "99.50", Currency: "GBP", Items: []event.Item{{ID: "SKU1", Category: "shoes", Price: "40", Quantity: "2"}, {ID: "SKU2", Price: "19.5"}}},
		Context:    event.Context{Page: event.Page{URL: "https://shop.example.com/thanks?x=1"}, Locale: "en-GB"},
		Enrichment: event.Enrichment{Device: event.Device{Class: "mobile"}, Campaign: event.Campaign{Source: "google"}, Place: event.Place{Country: "GB"}, Referrer: event.Referrer{Kind: "paid"}},
	}
}

func ptr(e event.Event) *event.Event { return &e }

// everything lets all partners have everything.
func everything(x *Expressions) Rules {
	return Rules{
		Mode:  func(string) settings.Mode { return settings.On },
		Needs: func(string) (partner.Needs, bool) { return partner.Needs{}, true },
		Share: func(*event.Event, *settings.Pixel, string, partner.Needs) (event.Permission, string) {
			return event.Allowed, ""
		},
		Expressions: x,
	}
}

func TestConditions(t *testing.T) {
	x := expressions(t)
	for expression, want := range map[string]string{
		`value > 50`:                  "sent",
		`value > 50.5 && value < 100`: "sent",
		`value > 100`:                 CodeCondition,
		`currency == "GBP"`:           "sent",
		`currency in ["EUR", "USD"]`:  CodeCondition,
		`properties.plan == "gold"`:   "sent",
		`properties.seats >= 3`:       "sent",
		`properties.seats == 3`:       "sent",
		`properties.trial`:            CodeCondition,
		`!properties.trial`:           "sent",
		`"a" in properties.tags`:      "sent",
		`properties.deep.x == 1`:      "sent",
		`has(properties.coupon)`:      CodeCondition,
		`properties.coupon == "X"`:    CodeCondition, // the event lacks it
		`properties["null"] == null`:  "sent",
		`device == "mobile" && country == "GB" && consent == "full" && regime == "gdpr"`: "sent",
		`page_path.startsWith("/thanks")`:                                                "sent",
		`page_url.matches("^https://shop[.]")`:                                           "sent",
		`utm_source == "google" && referrer_kind == "paid" && source == "web"`:           "sent",
		`items.exists(i, i.category == "shoes" && i.price * i.quantity > 70)`:            "sent",
		`items.all(i, i.price > 20)`:                                                     CodeCondition,
		`properties.plan`:                                                                CodeExpression, // no truth
		`properties.plan > 3`:                                                            CodeExpression,
		`1/(properties.seats - 3) > 0`:                                                   CodeExpression, // mixes numbers
		`properties.tags[7] == "a"`:                                                      CodeExpression,
	} {
		e := sale()
		got := Decide(&e, &settings.Pixel{Routes: []settings.Route{{Partner: "ttd", Event: "purchase", Enabled: true, When: expression}}}, everything(x))
		if len(got) != 1 {
			t.Fatalf("%s: %d decisions", expression, len(got))
		}
		code := got[0].Code
		if got[0].Send {
			code = "sent"
		}
		if code != want {
			t.Errorf("%s: %s (%s), want %s", expression, code, got[0].Message, want)
		}
		if !got[0].Send && (got[0].Message == "" || len(got[0].Message) > 400) {
			t.Errorf("%s: not sent for the reason %q", expression, got[0].Message)
		}
	}
}

func TestMistakesAreShownWithTheirPlace(t *testing.T) {
	x := expressions(t)
	for _, c := range []struct {
		route settings.Route
		at    string
		says  string
	}{
		{settings.Route{When: `value >`}, "when", "column 8: Syntax error: something is missing at the end"},
		{settings.Route{When: `valeu > 3`}, "when", "column 1: undeclared reference to 'valeu'"},
		{settings.Route{When: "value > 1 &&\n  currency = 'EUR'"}, "when", "line 2, column 12: Syntax error: "},
		{settings.Route{When: `value + 1`}, "when", "found no matching overload"},
		{settings.Route{When: `currency`}, "when", "must come to true or false, not to string"},
		{settings.Route{When: `now() > 3`}, "when", "undeclared reference to 'now'"},
		{settings.Route{When: strings.Repeat("(", 60) + "true" + strings.Repeat(")", 60)}, "when", "recursion"},
		{settings.Route{Map: settings.Mapping{Name: `value`}}, "map.name", "must come to a text"},
		{settings.Route{Map: settings.Mapping{Value: `currency`}}, "map.value", "must come to a number"},
		{settings.Route{Map: settings.Mapping{Params: map[string]string{"td1": `properties.`}}}, "map.params.td1", "Syntax error"},
		{settings.Route{Map: settings.Mapping{Properties: map[string]string{"tier": `plan`}}}, "map.properties.tier", "undeclared reference to 'plan'"},
	} {
		bad := x.Check(c.route)
		if len(bad) != 1 || bad[0].Field != c.at || !strings.Contains(bad[0].Message, c.says) || len(bad[0].Message) > 400 {
			t.Errorf("%+v: %+v, want %s %q", c.route, bad, c.at, c.says)
		}
	}
	if bad := x.Check(settings.Route{When: `value > 3`, Map: settings.Mapping{Name: `"lead"`, Value: `value * 0.1`, Params: map[string]string{"td1": `properties.plan`}}}); len(bad) != 0 {
		t.Errorf("%+v", bad)
	}
}

func TestMappingsAreWhatThePartnerIsToldAndNothingElse(t *testing.T) {
	x := expressions(t)
	e := sale()
	before, _ := json.Marshal(e)
	route := settings.Route{
		Partner: "ttd", Event: "purchase", Enabled: true, When: "value > 1", Dedupe: settings.DedupeOrder, Params: jsontext.Value(`{"adv":"a","td1":"old"}`),
		Map: settings.Mapping{
			Name: `value > 90 ? "big_purchase" : name`, Value: `value * 0.5`, Currency: `currency == "GBP" ? "EUR" : currency`, OrderID: `"shop-" + order_id`,
			Params:     map[string]string{"td1": `properties.plan`, "td2": `string(int(properties.seats))`, "flag": `value > 3`},
			Properties: map[string]string{"tier": `properties.plan + "-" + device`, "tags": `properties.tags`, "n": `items.size()`},
		},
	}
	got := Decide(&e, &settings.Pixel{Routes: []settings.Route{route}}, everything(x))
	if len(got) != 1 || !got[0].Send || got[0].Mapped == nil {
		t.Fatalf("%+v", got)
	}
	d := got[0]
	m := d.Mapped
	if m.Name != "big_purchase" || m.Order.Value != "49.75" || m.Order.Currency != "EUR" || m.Order.ID != "shop-A-1" || m.ID != e.ID {
		t.Errorf("%+v", m)
	}
	if s := string(d.Params); s != `{"adv":"a","flag":true,"td1":"gold","td2":"3"}` {
		t.Errorf("params %s", s)
	}
	var p map[string]any
	if err := json.Unmarshal(m.Properties, &p); err != nil || p["tier"] != "gold-mobile" || fmt.Sprint(p["tags"]) != "[a b]" || p["n"] != 2.0 || p["plan"] != "gold" {
		t.Errorf("properties %s, %v", m.Properties, err)
	}
	if !d.OrderKey || d.When != route.When {
		t.Errorf("%+v", d)
	}
	if after, _ := json.Marshal(e); string(after) != string(before) {
		t.Errorf("the event became %s", after)
	}
	out := event.Delivery{Event: *m, Was: e.Name, OrderKey: true}
	if out.Routed() != "purchase" || out.Key() != "shop-A-1" {
		t.Errorf("it was routed as %q, and its key is %q", out.Routed(), out.Key())
	}

	for expression, says := range map[string]string{
		`properties.coupon`: "no such key",
		`properties.deep`:   "not to a text",
		`1.0 / 0.0`:         "no finite number",
		`[[1]]`:             "not to a text",
		`properties.tags.map(t, t + t).map(t, t+t).map(t, t+t).size() > 0 ? properties.tags[5] : ""`: "index out of bounds",
	} {
		r := settings.Route{Partner: "ttd", Event: "*", Enabled: true, Map: settings.Mapping{Params: map[string]string{"x": expression}}}
		d := Decide(&e, &settings.Pixel{Routes: []settings.Route{r}}, everything(x))[0]
		if d.Send || d.Code != CodeExpression || !strings.Contains(d.Message, says) || d.Permission != event.Denied {
			t.Errorf("%s: %+v, should say %q", expression, d, says)
		}
	}
}

func TestTheFirstRouteWhoseConditionHoldsTakesTheEvent(t *testing.T) {
	x := expressions(t)
	route := func(name, when, params string) settings.Route {
		return settings.Route{Partner: "ttd", Event: name, Enabled: true, When: when, Params: jsontext.Value(params)}
	}
	for _, c := range []struct {
		name   string
		routes []settings.Route
		want   string // params, or a code
	}{
		{"the first that holds", []settings.Route{route("purchase", "value > 1000", "1"), route("purchase", "value > 50", "2"), route("purchase", "", "3")}, "2"},
		{"else the one without a condition", []settings.Route{route("purchase", "value > 1000", "1"), route("purchase", "", "3")}, "3"},
		{"by name before one for all", []settings.Route{route("*", "", "0"), route("purchase", "value > 50", "2")}, "2"},
		{"one for all, where none by name holds", []settings.Route{route("*", "", "0"), route("purchase", "value > 1000", "2")}, "0"},
		{"none holds", []settings.Route{route("purchase", "value > 1000", "1"), route("*", "value > 2000", "2")}, CodeCondition},
		{"one that fails ends it", []settings.Route{route("purchase", "properties.plan > 3", "1"), route("*", "", "0")}, CodeExpression},
	} {
		got := Decide(ptr(sale()), &settings.Pixel{Routes: c.routes}, everything(x))
		if len(got) != 1 {
			t.Fatalf("%s: %d decisions", c.name, len(got))
		}
		is := got[0].Code
		if got[0].Send {
			is = string(got[0].Params)
		}
		if is != c.want {
			t.Errorf("%s: %s, want %s", c.name, is, c.want)
		}
	}
}

func TestARouteIsFoundAgainByItsCondition(t *testing.T) {
	on := settings.Route{Partner: "ttd", Event: "purchase", Enabled: true, When: "value > 50", Account: "a"}
	held := settings.Route{Partner: "ttd", Event: "purchase", Mode: settings.Hold, When: "value > 90", Account: "b"}
	off := settings.Route{Partner: "ttd", Event: "purchase", Account: "c"}
	p := settings.Pixel{Routes: []settings.Route{on, held, off}}
	for when, want := range map[string]string{"value > 50": "a", "value > 90": "b", "": "c", "value > 7": "a"} {
		if r, known := Find(p, "ttd", "purchase", when); !known || r.Account != want {
			t.Errorf("under %q: %q, %v, want %q", when, r.Account, known, want)
		}
	}
	if _, known := Find(p, "amazon", "purchase", "value > 50"); known {
		t.Error("found for another partner")
	}
}

func TestASampleIsTheSameEverywhereAndAsLargeAsItSays(t *testing.T) {
	const n = 20_000
	for _, percent := range []float64{0.5, 10, 33.3, 90} {
		in := 0
		for i := range n {
			// Ids as they come: alike but for the end.
			id := fmt.Sprintf("0193a1b2-c3d4-7e5f-8a9b-%012x", i)
			if Sampled(id, percent) {
				in++
				if !Sampled(id, percent+5) || !Sampled(id, percent) {
					t.Fatalf("%s is in %v %%, but not in more", id, percent)
				}
			}
		}
		if got, sigma := float64(in)/n*100, math.Sqrt(percent*(100-percent)/n); math.Abs(got-percent) > 4*sigma {
			t.Errorf("%v %% are %v", percent, got)
		}
	}
	if !Sampled("x", 0) || !Sampled("x", 100) {
		t.Error("all are not all")
	}
	e := sale()
	d := Decide(&e, &settings.Pixel{Routes: []settings.Route{{Partner: "ttd", Event: "*", Enabled: true, Sample: 1e-9}}}, everything(nil))[0]
	if d.Send || d.Code != CodeSampled {
		t.Errorf("%+v", d)
	}
}

// What a hostile expression may cost: it ends soon, as an error, and holds little.
func TestHostileExpressionsEnd(t *testing.T) {
	x := expressions(t)
	e := sale()
	var long []string
	for i := range 2000 {
		long = append(long, fmt.Sprintf("%q", strings.Repeat("a", 40)+fmt.Sprint(i)))
	}
	e.Properties = jsontext.Value(`{"l":[` + strings.Join(long, ",") + `],"s":"` + strings.Repeat("a", 100_000) + `"}`)
	for _, expression := range []string{
		`properties.l.all(a, properties.l.all(b, properties.l.all(c, a + b + c != "x")))`,
		`properties.l.map(a, properties.l.map(b, a + b)).size() > 0`,
		`properties.l.exists(a, properties.s.matches("(a*)*(a*)*(a*)*b"))`,
		`properties.l.all(a, (properties.s + properties.s + properties.s + properties.s).size() > 0)`,
		`[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, [0,1,2,3,4,5,6,7,8,9].all(c, [0,1,2,3,4,5,6,7,8,9].all(d, [0,1,2,3,4,5,6,7,8,9].all(e, a+b+c+d+e >= 0)))))`,
	} {
		r := settings.Route{Partner: "ttd", Event: "*", Enabled: true, When: expression}
		if bad := x.Check(r); len(bad) > 0 {
			t.Fatalf("%s: %+v", expression, bad)
		}
		start := time.Now()
		d := Decide(&e, &settings.Pixel{Routes: []settings.Route{r}}, everything(x))[0]
		if took := time.Since(start); d.Send || d.Code != CodeExpression || took > 5*time.Second {
			t.Errorf("%.60s: %s %q after %s", expression, d.Code, d.Message, took)
		}
	}
	// An expression of any size is refused or compiled in little time.
	for _, expression := range []string{strings.Repeat("!", 1900) + "true", strings.Repeat("[", 1000), strings.Repeat("value > 1 || ", 140) + "true", strings.Repeat("a.", 900) + "a", "\x00\xff", strings.Repeat("'", 1999)} {
		start := time.Now()
		x.Check(settings.Route{When: expression})
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%.20q took %s", expression, took)
		}
	}
}

func TestForgottenProgramsAreCompiledAgain(t *testing.T) {
	x := expressions(t)
	for i := range maxPrograms + 10 {
		x.programs[fmt.Sprint(i)] = &compiled{}
	}
	if bad := x.Check(settings.Route{When: "value > 1"}); len(bad) > 0 || len(x.programs) != 1 {
		t.Errorf("%v, %d programs", bad, len(x.programs))
	}
}

func TestAPropertyIsLookedUpAsItIsRead(t *testing.T) {
	member := rapid.Custom(func(t *rapid.T) string {
		space := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space")
		key := rapid.SampledFrom([]string{`a`, `b`, `a\u0062`, `x\"y`, ``, `,`, `}`}).Draw(t, "key")
		value := rapid.SampledFrom([]string{`1`, `-2.5e3`, `"t"`, `"}"`, `"\""`, `"\\"`, `true`, `false`, `null`, `{}`, `[]`, `[{"a":"]"},1]`, `{"a":{"b":2}}`}).Draw(t, "value")
		return space + `"` + key + `"` + space + ":" + space + value + space
	})
	rapid.Check(t, func(t *rapid.T) {
		raw := "{" + strings.Join(rapid.SliceOfN(member, 0, 5).Draw(t, "members"), ",") + "}"
		name := rapid.SampledFrom([]string{"a", "b", "ab", `x"y`, "", ",", "}", "z"}).Draw(t, "name")
		var all map[string]any
		if err := json.Unmarshal([]byte(raw), &all); err != nil {
			t.Fatal(err)
		}
		e := event.Event{Properties: jsontext.Value(raw)}
		want, there := all[name]
		got, ok := object{about(&e)}.Find(types.String(name))
		if ok != there || there && got.Equal(types.DefaultTypeAdapter.NativeToValue(want)) != types.True {
			t.Fatalf("%s in %s: %v %v, want %v %v", name, raw, got, ok, want, there)
		}
	})
}

func FuzzExpressions(f *testing.F) {
	x := expressions(f)
	for _, s := range []string{`value > 1`, `properties.a.b[0] == "x"`, `items.exists(i, i.price > 3)`, `!`, `"\xff"`, `b"\xff" == b"a"`, `timestamp("2020-01-01T00:00:00Z").getFullYear() > 1`, `type(value) == double`} {
		f.Add(s)
	}
	e := sale()
	f.Fuzz(func(t *testing.T, s string) {
		r := settings.Route{Partner: "ttd", Event: "*", Enabled: true, When: s, Map: settings.Mapping{Name: s, Value: s, Params: map[string]string{"x": s}}}
		x.Check(r)
		Decide(&e, &settings.Pixel{Routes: []settings.Route{r}}, everything(x))
	})
}

func BenchmarkDecide(b *testing.B) {
	x := expressions(b)
	e := sale()
	for _, c := range []struct {
		name  string
		route settings.Route
	}{
		{"plain", settings.Route{}},
		{"condition", settings.Route{When: `value > 50 && currency == "GBP" && device != "desktop"`}},
		{"properties", settings.Route{When: `properties.plan == "gold" && value > 50`}},
		{"items", settings.Route{When: `items.exists(i, i.category == "shoes")`}},
		{"sample", settings.Route{Sample: 50}},
		{"mapping", settings.Route{Map: settings.Mapping{Value: `value * 0.5`, Params: map[string]string{"td1": `properties.plan`}}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.route.Partner, c.route.Event, c.route.Enabled = "ttd", "purchase", true
			p := settings.Pixel{Routes: []settings.Route{c.route}}
			r := everything(x)
			b.ReportAllocs()
			var before, after syscall.Rusage
			syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			for b.Loop() {
				Decide(&e, &p, r)
			}
			syscall.Getrusage(syscall.RUSAGE_SELF, &after)
			b.ReportMetric(float64(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano())/float64(b.N), "cpu-ns/op")
		})
	}
}
