package event

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// compare says where the Reader and the json package disagree about a body, and
// whether the Reader read it by itself.
func compare(t *testing.T, body []byte) (quick bool) {
	t.Helper()
	var r Reader
	var got Envelope
	err := r.quick(body, 20, &got)
	if errors.Is(err, errUnusual) {
		return false
	}
	want, wantErr := DecodeEnvelope(body, 20)
	if err != wantErr { // both are a Fault or nil
		t.Fatalf("error %v, want %v", err, wantErr)
	}
	if err != nil {
		return true
	}
	raw := want.Events
	want.Events = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("envelope\n%#v, want\n%#v", got, want)
	}
	if len(r.events) != len(raw) {
		t.Fatalf("%d events, want %d", len(r.events), len(raw))
	}
	for i := range r.events {
		in := &r.events[i]
		var other Incoming
		other.Fault = other.Decode(raw[i])
		if in.ID != other.ID || in.Name != other.Name || in.Time != other.Time || string(in.Properties) != string(other.Properties) ||
			string(in.Raw) != string(other.Raw) || in.Fault != other.Fault {
			t.Errorf("event %d is\n%+v, want\n%+v", i, in, other)
		}
		order, fault := in.Order()
		wantOrder, wantFault := ParseOrder(other.Name, other.Properties)
		if !reflect.DeepEqual(order, wantOrder) || fault != wantFault {
			t.Errorf("event %d has the order\n%+v %v, want\n%+v %v", i, order, fault, wantOrder, wantFault)
		}
		if in.unmarked && marked(in.Properties) {
			t.Errorf("%s would not be looked at for personal data", in.Properties)
		}
		if short, err := jsontext.AppendFormat(nil, in.Properties); in.compact && in.Properties != nil && (err != nil || string(short) != string(in.Properties)) {
			t.Errorf("%s is not as short as can be: %s %v", in.Properties, short, err)
		}
	}
	return true
}

const typical = `{"pixel_id":"px_demo","sent_at":"2026-11-22T10:00:00.000Z","consent":{"gdpr_applies":true,"tcf":"CP","gpp":"DBAA","gpp_sid":[7,8],"us_privacy":"1YNN","addtl_consent":"2~1","gpc":false,"gcm":{"ad_storage":"granted","ad_user_data":"granted","ad_personalization":"denied","analytics_storage":"granted"},"state":"full"},` +
	`"identity":{"anonymous_id":"a-1","user_id":"u","email":"a@b.example","phone":"+44","email_sha256":"ab","phone_sha256":"cd","address":{"first_name":"Zoë","last_name":"B","street":"S","city":"C","region":"R","postal_code":"P","country":"GB"},"click_ids":{"gclid":"x","dclid":"y"},"partner_ids":{"tdid":"z"}},` +
	`"context":{"page":{"url":"https://a.example/?q=\u00fc","referrer":"","title":"A \"shop\" | \ud83d\ude00"},"locale":"en-GB","timezone":"Europe/London","screen":{"width":1280,"height":720},"sdk":{"name":"web","version":"1.0.0"}},` +
	`"events":[{"id":"e-1","name":"purchase","time":"2026-11-22T09:59:59.5Z","properties":{"order_id":7,"value":"99.50","currency":"GBP","items":[{"item_id":"SKU1","item_name":"Shoe","price":99.5,"quantity":1,"size":[1,{"eu":42}]}],"more":{"a":null,"b":[true,false,-1.5e3]}}},{"name":"page_view"},{"name":"x","properties":{"t":"a\nb"}}]}`

// unusual are envelopes that are nearly as they should be.
var unusual = map[string]string{
	"an escape in a name":             strings.Replace(typical, `"order_id"`, `"order\u005fid"`, 1),
	"a member twice, and not in turn": strings.Replace(typical, `"user_id":"u"`, `"anonymous_id":"u"`, 1),
	"an item's member twice":          strings.Replace(typical, `"quantity":1`, `"price":1`, 1),
	"a property of an order twice":    strings.Replace(typical, `"currency":"GBP"`, `"value":1`, 1),
	"half a name":                     strings.Replace(typical, `"locale"`, `"local"`, 1),
	"a member twice":                  strings.Replace(typical, `"name":"x"`, `"name":"x","name":"y"`, 1),
	"a property twice":                strings.Replace(typical, `"a":null`, `"a":null,"a":1`, 1),
	"a member that nobody knows":      strings.Replace(typical, `"locale"`, `"colour"`, 1),
	"an address of the client's":      strings.Replace(typical, `"locale":"en-GB"`, `"ip":"192.0.2.1"`, 1),
	"null for a string":               strings.Replace(typical, `"a-1"`, `null`, 1),
	"null for an object":              strings.Replace(typical, `"events"`, `"x":null,"events"`, 1),
	"a number for a string":           strings.Replace(typical, `"en-GB"`, `7`, 1),
	"half of a pair of surrogates":    strings.Replace(typical, `\ude00`, ``, 1),
	"a leading zero":                  strings.Replace(typical, `1280`, `01280`, 1),
	"a negative width":                strings.Replace(typical, `1280`, `-1`, 1),
	"a fraction of a pixel":           strings.Replace(typical, `1280`, `1280.5`, 1),
	"a comma too many":                strings.Replace(typical, `720}`, `720,}`, 1),
	"no end":                          strings.TrimSuffix(typical, "}"),
	"more after the end":              typical + "{}",
	"bytes that are no text":          strings.Replace(typical, "Zoë", "Zo\xeb", 1),
	"a control character":             strings.Replace(typical, "Zoë", "Zo\x01", 1),
	"an event that is no object":      strings.Replace(typical, `{"name":"page_view"}`, `[]`, 1),
	"an event that is too deep":       strings.Replace(typical, `null`, strings.Repeat(`[`, 14)+strings.Repeat(`]`, 14), 1),
	"properties of another kind":      strings.Replace(typical, `{"t":"a\nb"}`, `"t"`, 1),
	"a very long event":               strings.Replace(typical, `Shoe`, strings.Repeat("x", MaxEventBytes), 1),
	"more events than may be":         strings.Replace(typical, `{"name":"page_view"}`, strings.Repeat(`{"name":"page_view"},`, 20)+`{"name":"y"}`, 1),
	"an object of many members":       strings.Replace(typical, `"a":null`, `"a1":0,"a2":0,"a3":0,"a4":0,"a5":0,"a6":0,"a7":0,"a8":0,"a9":0,"b1":0,"b2":0,"b3":0,"b4":0,"b5":0,"b6":0,"b7":0,"b8":0,"b9":0,"c1":0,"c2":0,"c3":0,"c4":0,"c5":0,"c6":0,"c7":0,"c8":0,"c9":0,"d1":0,"d2":0,"d3":0,"d4":0,"d5":0,"d6":0,"d7":0,"d8":0,"d9":0,"e1":0,"e2":0,"e3":0,"e4":0,"e5":0`, 1),
}

// readable are envelopes that the Reader has to read by itself.
func readable(t testing.TB) map[string]string {
	one, err := os.ReadFile("../collector/testdata/view_item.json")
	if err != nil {
		t.Fatal(err)
	}
	spaced := jsontext.Value(one)
	if err := spaced.Indent(); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"one event":              string(one),
		"everything":             typical,
		"white space everywhere": string(spaced),
		"nothing that need be":   `{"pixel_id":"p","events":[{"name":"x"}]}`,
		"empty things":           `{"pixel_id":"p","consent":{"gpp_sid":[],"gcm":{}},"identity":{"click_ids":{}},"context":{},"events":[{"name":"x","properties":{}},{"name":"purchase","properties":{"items":[]}}]}`,
		"faults of events":       `{"pixel_id":"p","events":[{"name":"?"},{},{"name":"x","id":"a b"},{"name":"purchase","properties":{"value":-1}},{"name":"purchase","properties":{"currency":7,"items":{}}},{"name":"x","properties":{"value":[],"items":[null,{"price":"free"}]}}]}`,
		"in no usual order":      `{"events":[{"properties":{"items":[{"quantity":1,"colour":"red","price":"2","item_brand":"b","item_id":7}],"currency":"GBP","x":1,"order_id":"o"},"seq":2,"name":"purchase","id":"e"}],"context":{"tab":"t","page":{"title":"T","url":"https://a.example/?a=b"},"locale":"en"},"pixel_id":"p","consent":{"state":"full","gdpr_applies":true}}`,
		"bytes of other letters": `{"pixel_id":"p","context":{"page":{"title":"Schuhe für é"}},"events":[{"name":"x","properties":{"a":"é"}}]}`,
		"personal data":          `{"pixel_id":"p","identity":{"anonymous_id":"+442079460123"},"context":{"page":{"url":"https://a:b@c.example/call/+442079460123?mail=jane@example.com","title":"\u006aane@example.com"},"locale":"a@b.example","touch":{"first":{"referrer":"a@b.example"}}},"events":[{"name":"x"}]}`,
		"personal data, escaped": `{"pixel_id":"p","identity":{"anonymous_id":"jane\u0040example.com"},"context":{"page":{"title":"jane\u0040example.com"},"tab":"jane\u0040example.com"},"events":[{"name":"x"}]}`,
		"no pixel":               `{"events":[{"name":"x"}]}`,
		"no events":              `{"pixel_id":"p","events":[]}`,
		"a time that is none":    `{"pixel_id":"p","sent_at":"now","events":[{"name":"x"}]}`,
		"an event as deep as may be": `{"pixel_id":"p","events":[{"name":"x","properties":{"a":` +
			strings.Repeat(`[`, MaxEventDepth-2) + strings.Repeat(`]`, MaxEventDepth-2) + `}}]}`,
	}
}

func TestAReaderReadsWhatTheJSONPackageReads(t *testing.T) {
	for name, body := range readable(t) {
		t.Run(name, func(t *testing.T) {
			if !compare(t, []byte(body)) {
				t.Error("it was left to the json package")
			}
		})
	}
}

func TestAReaderLeavesWhatIsUnusualToTheJSONPackage(t *testing.T) {
	for name, body := range unusual {
		t.Run(name, func(t *testing.T) {
			if compare(t, []byte(body)) {
				t.Fatal("it was read")
			}
			var r Reader
			var env Envelope
			events, err := r.Read([]byte(body), 20, &env)
			want, wantErr := DecodeEnvelope([]byte(body), 20)
			if (err == nil) != (wantErr == nil) || len(events) != len(want.Events) || env.PixelID != want.PixelID {
				t.Errorf("got %d events of %q and %v; want %d of %q and %v", len(events), env.PixelID, err, len(want.Events), want.PixelID, wantErr)
			}
		})
	}
}

func TestAReaderThatForgetsHoldsNothing(t *testing.T) {
	var r Reader
	var env Envelope
	events, err := r.Read([]byte(typical), 20, &env)
	if err != nil || len(events) != 3 {
		t.Fatal(len(events), err)
	}
	r.Forget()
	for i, in := range r.events[:cap(r.events)] {
		if !reflect.DeepEqual(in, Incoming{}) {
			t.Errorf("event %d is still there", i)
		}
	}
	for _, s := range append(r.names[:cap(r.names)], r.s, string(r.body)) {
		if s != "" {
			t.Errorf("%q is still there", s)
		}
	}
}

// FuzzRead looks for a body that the Reader reads by itself, and in another way
// than the json package.
func FuzzRead(f *testing.F) {
	for _, bodies := range []map[string]string{readable(f), unusual} {
		for _, body := range bodies {
			if len(body) < 8<<10 {
				f.Add([]byte(body))
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) { compare(t, body) })
}

func BenchmarkRead(b *testing.B) {
	for name, body := range readable(b) {
		if name != "one event" && name != "everything" {
			continue
		}
		b.Run(name, func(b *testing.B) {
			var r Reader
			var env Envelope
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := r.Read([]byte(body), 500, &env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestTheTagsOwnEnvelopeIsReadInOnePass(t *testing.T) {
	body := []byte(`{"pixel_id":"px_demo","identity":{"anonymous_id":"a","click_ids":{"dclid":"d1"}},` +
		`"context":{"page":{"url":"https://shop.example/","referrer":"","title":"Shop"},"locale":"en","timezone":"UTC","screen":{"width":1,"height":2},"sdk":{"name":"web","version":"1.1.0"},` +
		`"touch":{"first":{"time":"2026-11-25T10:00:00.000Z","referrer":"https://a.example","params":{"utm_source":"news","dclid":"d1"}},"last":{"time":"2026-11-25T10:00:00.000Z","params":{"utm_source":"x y"}}},"tab":"t1"},` +
		`"events":[{"id":"e1","name":"page_view","time":"2026-11-25T10:00:00.000Z","seq":3}],"sent_at":"2026-11-25T10:00:01.000Z","consent":{"gpp_sid":[7],"state":"full"}}`)
	var r Reader
	var env Envelope
	if err := r.quick(body, 10, &env); err != nil {
		t.Fatal(err)
	}
	slow, err := DecodeEnvelope(body, 10)
	if err != nil {
		t.Fatal(err)
	}
	slow.Events = nil
	if !reflect.DeepEqual(env, slow) {
		t.Errorf("in one pass it is\n%+v\nand else\n%+v", env, slow)
	}
	if touch := env.Context.Touch; r.events[0].Seq != 3 || env.Context.Tab != "t1" || touch.First.Params["dclid"] != "d1" || touch.Last.Params["utm_source"] != "x y" {
		t.Errorf("%+v %+v", r.events[0], env.Context)
	}
}
