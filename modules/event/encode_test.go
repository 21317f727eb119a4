package event

import (
	"reflect"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// fill sets everything in v to something that is not zero, so that a field which
// the Encoder does not know is missed.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = time.Date(2026, 11, 22, 10, 0, 0, 123456000, time.UTC)
		return
	case *jsontext.Value:
		*p = jsontext.Value("{ \"a\\u0062\" : [1.50, \"\\u003c\\\\ \\\" é\"] }")
		return
	case *Amount:
		*p = "99.50"
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("<\"é\\\u2028 " + v.Type().Name())
	case reflect.Int:
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

func TestAnEncoderWritesWhatMarshalWrites(t *testing.T) {
	var full Event
	fill(t, reflect.ValueOf(&full).Elem())
	other := full
	other.ID, other.Receipt, other.Name, other.Priority = "e-2", "r-2", "page_view", Low
	other.Time, other.Order, other.Properties = full.Time.Add(time.Hour), Order{}, nil
	for name, events := range map[string][]Event{
		"everything, then less": {full, other, full},
		"less, then everything": {other, full},
		"nothing":               {{}, {}},
		"parts of an order": {
			{Order: Order{Items: []Item{{}, {Price: "-1"}, {}}}}, {Order: Order{Items: []Item{}}},
			{Order: Order{Value: "0.10"}}, {Order: Order{Currency: "GBP"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var enc Encoder
			var bodies [][]byte
			for i := range events {
				body, err := enc.Encode(&events[i])
				if err != nil {
					t.Fatal(err)
				}
				bodies = append(bodies, body)
			}
			// After the last, since none may be written over by the next.
			for i, body := range bodies {
				want, err := json.Marshal(&events[i])
				if err != nil {
					t.Fatal(err)
				}
				if got := sorted(t, body); got != sorted(t, want) || len(body) != len(want) {
					t.Errorf("event %d is\n%s\nwant the members of\n%s", i, body, want)
				}
				var back Event
				if err := json.Unmarshal(body, &back, json.RejectUnknownMembers(true)); err != nil {
					t.Errorf("event %d cannot be read: %v", i, err)
				}
			}
		})
	}
}

// sorted is an object with its members in the order of their names, and each as
// it was written.
func sorted(t *testing.T, body []byte) string {
	t.Helper()
	var members map[string]jsontext.Value
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	b, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAnEncoderRefusesWhatMarshalRefuses(t *testing.T) {
	var enc Encoder
	for name, e := range map[string]Event{
		"properties that are no JSON":    {Properties: jsontext.Value(`{"a":`)},
		"properties with a member twice": {Properties: jsontext.Value(`{"a":1,"a":2}`)},
		"a name that is not UTF-8":       {Name: "\xff"},
		"an amount that is none":         {Order: Order{Value: "1,5"}},
		"a year of five digits":          {Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"a page that is not UTF-8":       {Context: Context{Locale: "\xff"}},
	} {
		enc = Encoder{}
		if body, err := enc.Encode(&e); err == nil {
			t.Errorf("%s: %s", name, body)
		}
	}
	if body, err := enc.Encode(&Event{ID: "e-1"}); err != nil || len(body) == 0 {
		t.Errorf("after a refusal: %s, %v", body, err)
	}
}
