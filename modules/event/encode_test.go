package event

import (
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// fill sets everything in v to something that is not zero, so that a field which
// the Encoder does not know is missed.
func fill(t testing.TB, v reflect.Value) {
	t.Helper()
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = time.Date(2026, 11, 22, 10, 0, 0, 123456000, time.UTC)
		return
	case *jsontext.Value:
		*p = jsontext.Value(`{"a":[1.50,"\\ \" é"]}`)
		return
	case *Amount:
		*p = "99.50"
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("<\"é\\\u2028 " + v.Type().Name())
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0))
		fill(t, v.Index(1))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"gclid": "x"}))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	default:
		t.Fatalf("no value for a %s", v.Type())
	}
}

// some are events of all kinds; those of one list have in common what an Encoder
// shares.
func some(t testing.TB) map[string][]Event {
	var full Event
	fill(t, reflect.ValueOf(&full).Elem())
	other := full
	other.ID, other.Receipt, other.Name, other.Priority = "0193cafe-0000-7000-8000-00000000beef", "0193CAFE-0000-7000-8000-00000000BEEF", "page_view", Low
	other.Time, other.Order, other.Properties = full.Time.Add(time.Hour), Order{}, nil
	no := false
	return map[string][]Event{
		"everything, then less": {full, other, full},
		"less, then everything": {other, full},
		"nothing":               {{}, {}},
		"parts of an order": {
			{Order: Order{Items: []Item{{}, {Price: "-1"}, {}}}}, {Order: Order{ID: "A"}},
			{Order: Order{Value: "0.10"}}, {Order: Order{Currency: "GBP"}},
		},
		"GDPR does not apply":        {{Consent: Consent{GDPRApplies: &no, GPPSID: []int{-1}}}},
		"before 1970, and far away":  {{Time: time.Date(1066, 10, 14, 0, 0, 0, 1, time.UTC)}, {Time: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)}},
		"one of a person":            {{Subject: Subject{Country: "GB"}}},
		"36 bytes that are no UUID":  {{ID: "0193cafe-0000-7000-8000-00000000beeg", Name: "{193cafe00000-7000-8000-00000000beef}"}},
		"a text of a length of two":  {{Context: Context{Page: Page{URL: string(make([]byte, 8<<10))}}}},
		"a machine, and no campaign": {{Enrichment: Enrichment{Automated: true}}},
	}
}

func TestDecodeReadsWhatAnEncoderWrote(t *testing.T) {
	for name, events := range some(t) {
		t.Run(name, func(t *testing.T) {
			var enc Encoder
			enc.Share(&events[0])
			for i := range events {
				e := &events[i]
				body := enc.Append(nil, e)
				if len(body) > enc.Size(e) {
					t.Errorf("event %d has %d bytes, more than %d", i, len(body), enc.Size(e))
				}
				var back Event
				if err := Decode(body, &back); err != nil || !reflect.DeepEqual(back, *e) {
					t.Errorf("event %d is\n%+v %v, want\n%+v", i, back, err, *e)
				}
				if err := Decode(Encode(e), &back); err != nil || !reflect.DeepEqual(back, *e) {
					t.Errorf("alone, event %d is\n%+v %v, want\n%+v", i, back, err, *e)
				}
				// A field that is added later, by another version of us.
				if err := Decode(append(body, 7, 1), &back); err != nil || !reflect.DeepEqual(back, *e) {
					t.Errorf("with more at its end, event %d is\n%+v %v", i, back, err)
				}
			}
		})
	}
}

// leaves calls f with each part of v that has none.
func leaves(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	if v.Kind() != reflect.Struct || v.Type() == reflect.TypeFor[time.Time]() {
		f(path, v)
		return
	}
	for i := range v.NumField() {
		leaves(v.Field(i), path+"."+v.Type().Field(i).Name, f)
	}
}

func TestAnEncoderMissesNothingThatIsThereAlone(t *testing.T) {
	var e, back Event
	leaves(reflect.ValueOf(&e).Elem(), "", func(path string, v reflect.Value) {
		fill(t, v)
		if err := Decode(Encode(&e), &back); err != nil || !reflect.DeepEqual(back, e) {
			t.Errorf("with %s alone, it is\n%+v %v", path, back, err)
		}
		v.SetZero()
	})
}

// FuzzUUID looks for a text that is taken for a UUID and does not come back as it was, or
// that is not taken for the one it is.
func FuzzUUID(f *testing.F) {
	for _, s := range []string{
		"0193cafe-0000-7000-8000-00000000beef", "0193CAFE-0000-7000-8000-00000000BEEF", "0193cafe-0000-7000-8000-00000000beeg", "0193cafe-0000-7000-8000-00000000beef-",
		"{193cafe00000-7000-8000-00000000beef}", "0193cafe00000700080000000000000beefff", "0193cafe-0000-7000-8000-0000000\xffbeef", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := uuid.Parse(s)
		id, ok := parseUUID(s)
		if ok != (err == nil && want.String() == s) || ok && id != want {
			t.Errorf("%q is %v %v", s, id, ok)
		}
	})
}

func TestDecodeReadsJSONToo(t *testing.T) {
	for name, events := range some(t) {
		body, err := json.Marshal(&events[0])
		if err != nil {
			t.Fatal(err)
		}
		var a, b Event
		if err := Decode(body, &a); err != nil {
			t.Fatal(err)
		}
		if err := Decode(Encode(&events[0]), &b); err != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s: as JSON it is\n%+v\nand else\n%+v %v", name, a, b, err)
		}
		shown := AsJSON(Encode(&events[0]))
		var c Event
		if err := json.Unmarshal(shown, &c); err != nil || !reflect.DeepEqual(a, c) {
			t.Errorf("%s is shown as %s %v", name, shown, err)
		}
	}
	for body, want := range map[string]string{"": "", "{}": "{}", "\x01": "null", "\x02abc": "\x02abc", "text": "text"} {
		if got := AsJSON([]byte(body)); string(got) != want {
			t.Errorf("%q is shown as %q", body, got)
		}
	}
}

func TestDecodeRefusesWhatIsCutAnywhere(t *testing.T) {
	for name, events := range some(t) {
		body := Encode(&events[0])
		older := len(appendShared(appendOwn([]byte{version}, &events[0]), &events[0]))
		for n := range body {
			var e Event
			if n == older {
				continue // what an older version wrote is whole
			}
			if err := Decode(body[:n], &e); err == nil {
				t.Fatalf("%s: %d of %d bytes were taken", name, n, len(body))
			}
		}
	}
	var e Event
	if err := Decode([]byte{2}, &e); err == nil {
		t.Error("another version was taken")
	}
}

func TestDecodeReadsWhatAnOlderVersionWrote(t *testing.T) {
	for name, events := range some(t) {
		want := events[0]
		x := &want.Enrichment
		x.Place, x.Session, x.Value, x.Skew, x.Cleaned = Place{}, Session{}, Value{}, 0, ""
		var e Event
		if err := Decode(appendShared(appendOwn([]byte{version}, &want), &want), &e); err != nil || !reflect.DeepEqual(e.Enrichment, want.Enrichment) {
			t.Errorf("%s: %v, %+v", name, err, e.Enrichment)
		}
	}
}

// FuzzDecode looks for bytes that panic, or that are an event which does not
// stay the same.
func FuzzDecode(f *testing.F) {
	for _, events := range some(f) {
		f.Add(Encode(&events[0]))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var e, back Event
		if len(body) == 0 || body[0] != version || Decode(body, &e) != nil {
			return
		}
		if err := Decode(Encode(&e), &back); err != nil || !reflect.DeepEqual(e, back) {
			t.Errorf("%+v came back as %+v %v", e, back, err)
		}
	})
}

// coded is the event of bench/collect.
func coded(b *testing.B) Event {
	var r Reader
	var env Envelope
	events, err := r.Read([]byte(readable(b)["one event"]), 10, &env)
	if err != nil {
		b.Fatal(err)
	}
	no := false
	order, _ := events[0].Order()
	now := time.Date(2026, 11, 22, 10, 0, 0, 123456000, time.UTC)
	return Event{
		ID: events[0].ID, Receipt: "01930000-0000-7000-8000-000000000002", PixelID: env.PixelID, Name: events[0].Name,
		Time: now, SentAt: now, ReceivedAt: now, Source: "web", Priority: Standard,
		Consent: Consent{GDPRApplies: &no, USPrivacy: "1YNN", State: Full},
		Verdict: Verdict{Full, "us", "R5/U7", "US privacy law applies: the visitor was told of the right to opt out, and did not."},
		Subject: Subject{AnonymousID: env.Identity.AnonymousID}, Context: env.Context, Order: order, Properties: events[0].Properties,
	}
}

func BenchmarkEncode(b *testing.B) {
	e := coded(b)
	for name, encode := range map[string]func() []byte{
		"ours": func() []byte { return Encode(&e) },
		"json": func() []byte { v, _ := json.Marshal(&e); return v },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				encode()
			}
			b.ReportMetric(float64(len(encode())), "bytes")
		})
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	e := coded(b)
	asJSON, err := json.Marshal(&e)
	if err != nil {
		b.Fatal(err)
	}
	for name, body := range map[string][]byte{"ours": Encode(&e), "json": asJSON} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var back Event
				if err := Decode(body, &back); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
