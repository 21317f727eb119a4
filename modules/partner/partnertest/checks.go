package partnertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
)

// clone copies a delivery deeply.
func clone(t *testing.T, d event.Delivery) event.Delivery {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var out event.Delivery
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func body(t *testing.T, req *http.Request) []byte {
	t.Helper()
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !jsontext.Value(raw).IsValid() {
		t.Errorf("the body is not JSON: %.300s", raw)
	}
	if req.ContentLength != int64(len(raw)) || req.GetBody == nil {
		t.Error("the request cannot be sent again: it lacks a length or GetBody")
	}
	return raw
}

func checkOrder(t *testing.T, a partner.Adapter, b partner.Batch) {
	one := b.Deliveries[0]
	b.Deliveries = nil
	for i := range 40 {
		d := clone(t, one)
		d.Event.ID = fmt.Sprintf("order-%02d", i)
		d.Event.Order.ID = fmt.Sprintf("MARK%02dX", i)
		if i%7 == 3 {
			// One that no partner takes, in between.
			d.Permission = event.Denied
		}
		b.Deliveries = append(b.Deliveries, d)
	}
	req, refused, err := a.Encode(context.Background(), b)
	if err != nil || req == nil {
		t.Fatalf("Encode: %v, request %v", err, req)
	}
	sent := remaining(t, b.Deliveries, refused)
	if len(sent) != 34 {
		t.Errorf("%d of 34 are sent", len(sent))
	}
	raw := body(t, req)
	at := 0
	for _, d := range sent {
		i := bytes.Index(raw[at:], []byte(d.Event.Order.ID))
		if i < 0 {
			t.Fatalf("%s is not in its place", d.Event.Order.ID)
		}
		at += i
	}
	again, _, err := a.Encode(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, body(t, again)) {
		t.Error("a repeat has other bytes")
	}
}

func checkDenied(t *testing.T, a partner.Adapter, b partner.Batch) {
	for _, p := range []event.Permission{event.Denied, "", "everything"} {
		d := clone(t, b.Deliveries[0])
		d.Permission = p
		one := b
		one.Deliveries = []event.Delivery{d}
		req, refused, err := a.Encode(context.Background(), one)
		if err != nil || req != nil || len(refused) != 1 || refused[0].Outcome != event.NotSent {
			t.Errorf("permission %q: request %v, results %v, error %v", p, req, refused, err)
		}
	}
}

func checkUntouched(t *testing.T, a partner.Adapter, b partner.Batch) {
	before := clone(t, b.Deliveries[0])
	b.Deliveries = []event.Delivery{clone(t, b.Deliveries[0])}
	if _, _, err := a.Encode(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(before, b.Deliveries[0]) {
		t.Error("Encode changed a delivery")
	}
}

// Personal data in clear, as a careless page puts it everywhere.
var secrets = []string{"jane.doe@example.com", "jane.doe%40example.com", "+44 20 7946 0123"}

// hostile are events that pages could make, or that a bug could.
func hostile(t *testing.T, one event.Delivery) []event.Delivery {
	t.Helper()
	nasty := []string{
		"<script>alert(1)</script>", "\x00\x01\x1f", "\u202egnp.exe", strings.Repeat("A", 10_000), strings.Repeat("é", 3_000),
		"'; DROP TABLE events; --", "{{.}}${7*7}", "=cmd|' /C calc'!A0", "\r\nX-Injected: 1", "999999999999999999999999", "NaN", "-0",
		"https://user:pass@shop.example.com/?email=jane.doe@example.com#jane.doe@example.com", "javascript:alert(1)", "http://[::1",
	}
	nasty = append(nasty, secrets...)
	var out []event.Delivery
	add := func(change func(*event.Delivery)) {
		d := clone(t, one)
		change(&d)
		d.Event.ID = fmt.Sprintf("hostile-%03d", len(out))
		out = append(out, d)
	}
	add(func(d *event.Delivery) { *d = event.Delivery{} })
	add(func(d *event.Delivery) { *d = event.Delivery{Permission: event.Allowed} })
	add(func(d *event.Delivery) { d.Event = event.Event{} })
	add(func(d *event.Delivery) { d.Params = nil })
	add(func(d *event.Delivery) { d.Params = jsontext.Value(`[`) })
	add(func(d *event.Delivery) { d.Params = jsontext.Value(`{"no_such":1}`) })
	add(func(d *event.Delivery) { d.Event.Time = time.Time{} })
	add(func(d *event.Delivery) { d.Event.Time = time.Unix(1<<40, 0) })
	add(func(d *event.Delivery) { d.Event.Properties = jsontext.Value(strings.Repeat("[", 5000)) })
	add(func(d *event.Delivery) { d.Event.Properties = jsontext.Value(`{"a":1,"a":2,"b":{"c":`) })
	for _, s := range nasty {
		add(func(d *event.Delivery) { d.Event.Name = s })
		add(func(d *event.Delivery) {
			e := &d.Event
			e.Order.ID, e.Order.Currency, e.Order.Value = s, s, event.Amount(s)
			for i := range e.Order.Items {
				e.Order.Items[i] = event.Item{ID: s, Name: s, Brand: s, Category: s, Price: event.Amount(s), Quantity: event.Amount(s)}
			}
		})
		add(func(d *event.Delivery) {
			c := &d.Event.Context
			c.IP, c.UserAgent, c.Locale, c.Page.URL, c.Page.Referrer, c.Page.Title = s, "agent", s, s, s, s
		})
		add(func(d *event.Delivery) {
			c := &d.Event.Consent
			c.TCF, c.GPP, c.USPrivacy, c.GCM.AdUserData, c.GCM.AdStorage = s, s, s, s, s
		})
		add(func(d *event.Delivery) {
			b := &d.Event.Subject
			b.Email, b.EmailGoogle, b.PhoneDigits, b.PhoneE164, b.FirstName, b.LastName = s, s, s, s, s, s
			b.Street, b.City, b.Region, b.PostalCode, b.Country = s, s, s, s, s
			for k := range b.PartnerIDs {
				b.PartnerIDs[k] = s
			}
			for k := range b.ClickIDs {
				b.ClickIDs[k] = s
			}
		})
		add(func(d *event.Delivery) {
			var props map[string]any
			if json.Unmarshal(d.Event.Properties, &props) != nil {
				return
			}
			for k := range props {
				props[k] = strings.ToValidUTF8(s, "")
			}
			raw, err := json.Marshal(props)
			if err != nil {
				t.Fatal(err)
			}
			d.Event.Properties = raw
		})
	}
	return out
}

func checkHostile(t *testing.T, a partner.Adapter, b partner.Batch) {
	all := hostile(t, b.Deliveries[0])
	try := func(ds []event.Delivery) {
		b.Deliveries = ds
		for _, d := range ds {
			_, _, _ = a.Group(d), partner.GroupIn(a, b, d), partner.AgeLimit(a, b)
		}
		req, refused, err := a.Encode(context.Background(), b)
		if err != nil {
			t.Errorf("%s: Encode: %v", ds[0].Event.ID, err)
			return
		}
		sent := remaining(t, ds, refused)
		if req == nil {
			if len(sent) > 0 {
				t.Errorf("%d deliveries have neither a request nor a result", len(sent))
			}
			return
		}
		raw := body(t, req)
		for _, s := range secrets {
			if bytes.Contains(raw, []byte(s)) {
				t.Errorf("%s: the body holds %q: %.400s", ds[0].Event.ID, s, raw)
			}
		}
		status, r, _ := throughSandbox(t, a, b)
		for _, res := range r.Results {
			if res.Outcome != event.Accepted {
				t.Errorf("%s passes Encode, and then the sandbox answers %d %s: %s", res.EventID, status, res.Code, res.Message)
			}
		}
	}
	for _, d := range all {
		try([]event.Delivery{d})
	}
	try(all)
}

func checkAnswers(t *testing.T, a partner.Adapter, b partner.Batch) {
	one := b.Deliveries[0]
	var sent []event.Delivery
	for i := range 3 {
		d := clone(t, one)
		d.Event.ID = fmt.Sprintf("answer-%d", i)
		sent = append(sent, d)
	}
	bodies := []string{
		``, `null`, `[]`, `{}`, `"text"`, `Service Unavailable`, `<html>`, `{"success":[{"index":0`, "\xff\xfe",
		`{"success":true}`, `{"success":[{"index":-1},{"index":99},{}],"error":[{"index":1e9,"errors":[]},{"index":1},{"errors":[{}]}]}`,
		`{"EventResponses":[{"EventIndex":-1,"Successful":false},{"EventIndex":7},{}],"FailedLines":[{"ItemNumber":"x"},{"ItemNumber":99},{}]}`,
		`{"kind":"dfareporting#conversionsBatchInsertResponse","hasFailures":true,"status":[{"errors":[{}]},null,{"errors":null},{},7]}`,
		`{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"reason":"X","fieldViolations":[{"field":"events[99]"},{"field":"events.events[1].x"},{}]}]}}`,
		`{"requestId":"r"}`, `{"requestStatusPerDestination":[{"requestStatus":"FAILED"},{"requestStatus":"PARTIAL_SUCCESS","errorInfo":{"errorCounts":[{"recordCount":"x"},{}]}}]}`,
		`{"success":"PARTIAL","message":"{MISSING_IDENTIFIER=1}"}`, `{"success":"COMPLETE"}`, `{"success":"SOMETHING"}`,
		`{"EventResponses":null,"FailedLines":null,"Message":null}`, `{"code":"X","message":"` + strings.Repeat("m", 100_000) + `"}`,
	}
	for _, status := range []int{0, 100, 200, 201, 204, 207, 301, 304, 400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 415, 418, 422, 429, 500, 501, 502, 503, 504, 599, 999} {
		for _, text := range bodies {
			for n := 1; n <= len(sent); n++ {
				h := http.Header{"Retry-After": {"Mon, 99 Foo"}}
				answer := partner.Answer{Status: status, Header: h, Body: []byte(text), Now: b.Now, Settings: b.Settings}
				if d, deferred := a.(partner.Deferred); deferred {
					complete(t, sent[:n], d.Hear(answer, sent[:n]).Results)
				}
				r := a.Decode(answer, sent[:n])
				complete(t, sent[:n], r.Results)
				if r.Halve && n == 1 {
					t.Errorf("status %d asks to halve one delivery", status)
				}
				if r.RetryAfter < 0 || r.RetryAfter > 24*time.Hour {
					t.Errorf("status %d: retry after %s", status, r.RetryAfter)
				}
				for _, res := range r.Results {
					if status >= 300 && res.Outcome == event.Accepted {
						t.Errorf("status %d with %q accepts", status, text)
					}
					if status >= 500 && res.Outcome != event.Retry {
						t.Errorf("status %d with %q: %s", status, text, res.Outcome)
					}
				}
			}
		}
	}
}
