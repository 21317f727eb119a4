package event

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPersonalNames(t *testing.T) {
	for _, name := range strings.Fields(`email e-mail Email customer_email customerEmail mail phone Phone_Number telephone tel mobile billing_mobile
		first_name firstName First-Name last_name surname full_name street shipping_street address billingAddress ip_address emailAddress
		password iban ssn dob date_of_birth birthday cvv card_number`) {
		if !PersonalName(name) {
			t.Errorf("%s is none", name)
		}
	}
	for _, name := range strings.Fields(`order_id transaction_id value currency items item_id item_name item_brand item_category price quantity coupon page_title method promotion_name
		search_term id name username campaign_name file_name number order_number iphone update created_date urban keyword discount tax shipping
		utm_source utm_medium utm_campaign gclid email_sha256 email_opt_in phone_model mailing_list automobile_type rail`) {
		if PersonalName(name) {
			t.Errorf("%s is one", name)
		}
	}
}

// addresses is the corpus of URLs: what may be kept of each.
var addresses = []struct {
	from, to string
	found    string
	keys     []string
}{
	{"https://shop.example/shoes?utm_source=google&gclid=EAIaIQ#reviews", "", "", nil},
	{"https://shop.example/p/40-percent-off?color=blue&size=40", "", "", nil},
	{"https://shop.example/search?q=c%2B%2B+books", "", "", nil},
	{"https://shop.example/order/1234567890/thanks", "", "", nil},
	{"https://shop.example/?ts=1764072000000&id=442079460123", "", "", nil},
	{"https://shop.example/?a=1&&b=&=x&c", "", "", nil},
	{"https://m.example/+page/a+b", "", "", nil},
	{"https://shop.example/?iphone=15&username_taken=1", "", "", nil},
	{"", "", "", nil},
	{"https://shop.example/?x=============", "", "", nil},
	{"https://shop.example/?x=%3D%3D%3d%3D%3D&y=============#============", "", "", nil},
	{"/thanks?email=bob@example.com&x=1", "/thanks?email=(removed)&x=1", "email", nil},
	{"https://shop.example/u/bob%40example.com/orders", "https://shop.example/u/(removed)/orders", "email", nil},
	{"https://shop.example/?next=%2Fa%3Fe%3Dbob%2540example.com", "https://shop.example/?next=(removed)", "email", nil},
	{"https://shop.example/#/me?mail=bob@example.com", "https://shop.example/#/me?mail=(removed)", "email", nil},
	{"https://shop.example/?email=bob-at-example", "https://shop.example/?email=(removed)", "key", nil},
	{"https://shop.example/?first_name=Bob&lastName=Miller&v=1", "https://shop.example/?first_name=(removed)&lastName=(removed)&v=1", "key", nil},
	{"https://shop.example/?a=1;surname=Miller#phone=123", "https://shop.example/?a=1;surname=(removed)#phone=(removed)", "key", nil},
	{"https://shop.example/?contact=%2B442079460123", "https://shop.example/?contact=(removed)", "phone", nil},
	{"https://shop.example/?contact=+44-20-7946-0123&x=y", "https://shop.example/?contact=(removed)&x=y", "phone", nil},
	{"https://shop.example/?contact=%2b44%2020%207946%200123", "https://shop.example/?contact=(removed)", "phone", nil},
	{"https://shop.example/call/+442079460123/now", "https://shop.example/call/(removed)/now", "phone", nil},
	{"https://shop.example/call/%2B442079460123?x=1&tel=5", "https://shop.example/call/(removed)?x=1&tel=(removed)", "phone,key", nil},
	{"https://shop.example/?member=M-17&MEMBER=x&members=2", "https://shop.example/?member=(removed)&MEMBER=(removed)&members=2", "key", []string{"member"}},
	{"https://shop.example/?e=bob@example.com&phone=1&c=+442079460123", "https://shop.example/?e=(removed)&phone=(removed)&c=(removed)", "email,phone,key", nil},
}

func TestTheCorpusOfAddresses(t *testing.T) {
	right := 0
	for _, c := range addresses {
		want := c.to
		if want == "" {
			want = c.from
		}
		got, found := CleanURL(c.from, c.keys)
		if got != want || found.String() != c.found {
			t.Errorf("%s\n got %s (%s)\nwant %s (%s)", c.from, got, found, want, c.found)
			continue
		}
		right++
		if again, more := CleanURL(got, c.keys); again != got || more != 0 {
			t.Errorf("again it is %s (%s)", again, more)
		}
	}
	fmt.Printf("accuracy of addresses: %d of %d\n", right, len(addresses))
}

func TestPersonalDataIsTakenOutOfProperties(t *testing.T) {
	for name, c := range map[string]struct{ from, to, found string }{
		"nothing":              {`{"value":1.50,"currency":"GBP","items":[{"item_id":"a","item_name":"b"}],"note":"50%"}`, "", ""},
		"an address in a text": {`{"note":"write to bob@example.com, please"}`, `{"note":"write to (removed), please"}`, "email"},
		"escaped":              {`{"note":"bob\u0040example.com"}`, `{"note":"(removed)"}`, "email"},
		"percent-encoded":      {`{"link":"bob%40example.com"}`, `{"link":"(removed)"}`, "email"},
		"behind a name":        {`{"email":"x","a":{"firstName":"Bob","b":[{"Phone":5}]},"value":2.0}`, `{"a":{"b":[{}]},"value":2.0}`, "key"},
		"but no yes or no":     {`{"mobile":true,"email":null,"address":false}`, "", ""},
		"an object behind one": {`{"address":{"line":"5 High Street"},"v":1}`, `{"v":1}`, "key"},
		"a telephone number":   {`{"contact":"+44 20 7946 0123","sku":"+44"}`, `{"contact":"(removed)","sku":"+44"}`, "phone"},
		"an address of a page": {`{"link":"https://a.example/?surname=M&c=%2B442079460123"}`, `{"link":"https://a.example/?surname=(removed)&c=(removed)"}`, "phone,key"},
		"as a name":            {`{"bob@example.com":1,"v":1}`, `{"v":1}`, "email"},
		"an order's id":        {`{"order_id":"bob@example.com-1","value":5}`, `{"order_id":"` + hidden("bob@example.com-1") + `","value":5}`, "email"},
		"in an item":           {`{"items":[{"item_id":"a","item_name":"for bob@example.com"}]}`, `{"items":[{"item_id":"a","item_name":"for (removed)"}]}`, "email"},
		"the site's own":       {`{"member":"M-17","x":1}`, `{"x":1}`, "key"},
		"large numbers stay":   {`{"note":"a@b.co","n":12345678901234567890123,"f":1.10}`, `{"note":"(removed)","n":12345678901234567890123,"f":1.10}`, "email"},
	} {
		t.Run(name, func(t *testing.T) {
			var keys []string
			if name == "the site's own" {
				keys = []string{"member"}
			}
			body := []byte(`{"pixel_id":"px","events":[{"name":"purchase","properties":` + c.from + `}]}`)
			var quick, slow Incoming
			var r Reader
			var env Envelope
			events, err := r.Read(body, 1, &env)
			if err != nil {
				t.Fatal(err)
			}
			quick = events[0]
			raw, err := DecodeEnvelope(body, 1)
			if err != nil {
				t.Fatal(err)
			}
			slow.Fault = slow.Decode(raw.Events[0])
			want := c.to
			if want == "" {
				want = c.from
			}
			for way, in := range map[string]*Incoming{"quick": &quick, "slow": &slow} {
				found, f := in.Clean(keys)
				if f.Code != "" {
					t.Fatal(f)
				}
				if got := string(in.Properties); got != want || found.String() != c.found {
					t.Errorf("%s: %s (%s), want %s (%s)", way, got, found, want, c.found)
				}
				o, f := in.Order()
				if f.Code != "" {
					t.Fatal(f)
				}
				if strings.Contains(fmt.Sprint(o), "@") {
					t.Errorf("%s: the order has it: %+v", way, o)
				}
			}
		})
	}
}

func TestIDsThatArePersonalDataAreHidden(t *testing.T) {
	for id, hide := range map[string]bool{
		"bob@example.com": true, "+442079460123": true, "u:bob@example.com": true,
		"": false, "7d1f2c3b-9a4e-4c58-b6d7-000000000001": false, "442079460123": false, "a@b": false, "@": false,
	} {
		got := HideID(id)
		if (got != id) != hide {
			t.Errorf("%q is kept as %q", id, got)
		}
		if HideID(got) != got || hide && !ValidID(got) {
			t.Errorf("%q: again it is %q", got, HideID(got))
		}
	}
}

func TestAWrongClockIsCorrectedByTheTimeOfSending(t *testing.T) {
	received := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return received.Add(d).Format(time.RFC3339Nano) }
	for name, c := range map[string]struct {
		said   string
		sent   time.Time
		want   time.Duration // before it was received
		skew   time.Duration
		refuse bool
	}{
		"a right clock":                  {at(-5 * time.Second), received.Add(-time.Second), 5 * time.Second, 0, false},
		"a minute is no mistake":         {at(-50 * time.Second), received.Add(-time.Minute), 50 * time.Second, 0, false},
		"an hour behind":                 {at(-time.Hour - 5*time.Second), received.Add(-time.Hour), 5 * time.Second, time.Hour, false},
		"an hour ahead":                  {at(time.Hour - 5*time.Second), received.Add(time.Hour), 5 * time.Second, -time.Hour, false},
		"a day ahead":                    {at(24*time.Hour - 3*time.Second), received.Add(24 * time.Hour), 3 * time.Second, -24 * time.Hour, false},
		"of 1970":                        {"1970-01-01T00:10:00Z", time.Date(1970, 1, 1, 0, 15, 0, 0, time.UTC), 5 * time.Minute, received.Add(-5 * time.Minute).Sub(time.Date(1970, 1, 1, 0, 10, 0, 0, time.UTC)), false},
		"after it was sent":              {at(-time.Hour + time.Minute), received.Add(-time.Hour), 0, time.Hour - time.Minute, false},
		"held back for two days":         {at(-49 * time.Hour), received.Add(-time.Hour), 48 * time.Hour, time.Hour, false},
		"older than a year by any clock": {at(-time.Hour - 400*24*time.Hour), received.Add(-time.Hour), 0, 0, true},
		"without a time of sending":      {at(-time.Hour), time.Time{}, time.Hour, 0, false},
		"without a time":                 {"", received.Add(-time.Hour), 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			in := Incoming{Time: c.said}
			got, skew, f := in.Corrected(c.sent, received)
			if c.refuse {
				if f.Code != "too_old" {
					t.Errorf("%+v", f)
				}
				return
			}
			if f.Code != "" || !got.Equal(received.Add(-c.want)) || skew != c.skew {
				t.Errorf("%s (%s), want %s (%s), %v", got, skew, received.Add(-c.want), c.skew, f)
			}
		})
	}
}

func FuzzCleanURL(f *testing.F) {
	for _, c := range addresses {
		f.Add(c.from)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, _ := CleanURL(s, nil)
		if twice, _ := CleanURL(once, nil); twice != once && strings.ToValidUTF8(s, "") == s {
			t.Errorf("%q is %q, then %q", s, once, twice)
		}
	})
}

func BenchmarkClean(b *testing.B) {
	body := []byte(`{"pixel_id":"px","events":[{"name":"view_item","properties":{"currency":"GBP","value":59.9,"items":[{"item_id":"SKU-1","item_name":"Trail shoe","item_brand":"Fell & Fleet","price":59.9,"quantity":1}]}}]}`)
	var r Reader
	var env Envelope
	events, err := r.Read(body, 1, &env)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("properties", func(b *testing.B) {
		for b.Loop() {
			events[0].Clean(nil)
		}
	})
	b.Run("address", func(b *testing.B) {
		for b.Loop() {
			CleanURL("https://shop.example/shoes/item-1?utm_source=google&utm_medium=cpc&gclid=EAIaIQobChMI", nil)
		}
	})
}
