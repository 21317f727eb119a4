package attribution

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// noon is when every conversion of these tests is.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

var letters = map[string]event.Touchpoint{
	"C": {Kind: event.AdClick, Channel: "paid_search", Source: "google"},
	"D": {Kind: event.AdClick, Channel: "display", Source: "ttd", Partner: "ttd"},
	"I": {Kind: event.Impression, Channel: "display", Source: "ttd"},
	"E": {Kind: event.CampaignVisit, Channel: "email", Source: "newsletter", Campaign: "spring"},
	"O": {Kind: event.OrganicVisit, Channel: "organic_search", Source: "google"},
	"R": {Kind: event.OrganicVisit, Channel: "referral", Source: "pay.example"},
	"_": {Kind: event.DirectVisit, Channel: "direct"},
}

// touched reads "C-10d E-3h _-5m": what, and how long before noon.
func touched(t *testing.T, s string) (out []Touch) {
	t.Helper()
	for i, word := range strings.Fields(s) {
		what, ago, ok := strings.Cut(word, "-")
		p, known := letters[what]
		if !ok || !known {
			t.Fatalf("%q is no touchpoint", word)
		}
		var d time.Duration
		if days, is := strings.CutSuffix(ago, "d"); is {
			var n int
			fmt.Sscan(days, &n)
			d = time.Duration(n) * 24 * time.Hour
		} else {
			var err error
			if d, err = time.ParseDuration(ago); err != nil {
				t.Fatal(err)
			}
		}
		p.ID, p.At, p.EventID = fmt.Sprintf("%020x", i), noon.Add(-d), "event-"+word
		out = append(out, Touch{Touchpoint: p})
	}
	return out
}

// shares writes what each touchpoint gets as "C 40 E 60", in percent.
func shares(path []Touch, weights []int64) string {
	var out []string
	for i, w := range weights {
		for letter, p := range letters {
			if p.Kind == path[i].Kind && p.Channel == path[i].Channel && p.Source == path[i].Source {
				out = append(out, letter, fmt.Sprint(float64(w)/10_000))
			}
		}
	}
	return strings.Join(out, " ")
}

// Worked by hand. Times are before the conversion; weights are in percent.
func TestEachModelSharesAPathAsWorkedByHand(t *testing.T) {
	long := &settings.Attribution{ImpressionDays: 30}
	for _, c := range []struct {
		path     string
		settings *settings.Attribution
		want     map[string]string
	}{
		{"C-10d", nil, map[string]string{
			LastNonDirect: "C 100", First: "C 100", Last: "C 100", Linear: "C 100", TimeDecay: "C 100", Position: "C 100",
		}},
		{"C-14d E-7d", nil, map[string]string{
			// A week is the half-life: 2^-2 and 2^-1, that is one part and two.
			LastNonDirect: "C 0 E 100", First: "C 100 E 0", Last: "C 0 E 100", Linear: "C 50 E 50", TimeDecay: "C 33.3333 E 66.6667", Position: "C 50 E 50",
		}},
		{"C-21d E-14d O-7d _-1h", nil, map[string]string{
			// The visitor came by himself at last, but the search before led him.
			LastNonDirect: "C 0 E 0 O 100 _ 0", First: "C 100 E 0 O 0 _ 0", Last: "C 0 E 0 O 0 _ 100", Linear: "C 25 E 25 O 25 _ 25",
			// 1/8, 1/4, 1/2 and 2^(-1/168) = 0.995883, together 1.870883.
			TimeDecay: "C 6.6813 E 13.3627 O 26.7254 _ 53.2306",
			// 40 for the first, 40 for the last, the rest for two.
			Position: "C 40 E 10 O 10 _ 40",
		}},
		{"I-2d E-1d _-2h", long, map[string]string{
			LastNonDirect: "I 0 E 100 _ 0", First: "I 100 E 0 _ 0", Last: "I 0 E 0 _ 100", Linear: "I 33.3334 E 33.3333 _ 33.3333", Position: "I 40 E 20 _ 40",
		}},
		// An impression is no click, but all there is.
		{"I-2d I-1d", long, map[string]string{LastNonDirect: "I 0 I 100", First: "I 100 I 0"}},
		{"I-2d _-1d", long, map[string]string{LastNonDirect: "I 0 _ 100", Last: "I 0 _ 100"}},
		{"_-2d _-1d", nil, map[string]string{LastNonDirect: "_ 0 _ 100"}},
		{"C-3d E-2d O-1d", &settings.Attribution{FirstPercent: 30, LastPercent: 50}, map[string]string{Position: "C 30 E 20 O 50"}},
		{"C-3d E-2d", &settings.Attribution{FirstPercent: 30, LastPercent: 50}, map[string]string{Position: "C 37.5 E 62.5"}},
		{"C-3d E-2d O-1d", &settings.Attribution{LastPercent: 100}, map[string]string{Position: "C 0 E 0 O 100"}},
		{"C-2d E-1d", &settings.Attribution{HalfLifeDays: 1}, map[string]string{TimeDecay: "C 33.3333 E 66.6667"}},
		// Seven equal shares of a million: what is left goes to the first ones.
		{"C-7d E-6d C-5d E-4d C-3d E-2d C-1d", nil, map[string]string{Linear: "C 14.2858 E 14.2857 C 14.2857 E 14.2857 C 14.2857 E 14.2857 C 14.2857"}},
	} {
		s := c.settings
		if s == nil {
			s = &settings.Attribution{}
		}
		for model, want := range c.want {
			path := touched(t, c.path)
			w := Weigh(model, path, noon, s)
			if got := shares(path, w); got != want {
				t.Errorf("%s of %s: %s, want %s", model, c.path, got, want)
			}
		}
	}
}

func TestWhatBelongsToAPathAsWorkedByHand(t *testing.T) {
	for _, c := range []struct {
		name, touches, want string
		settings            settings.Attribution
	}{
		{"what is older than its kind counts is left out", "C-31d I-8d E-29d I-6d O-5d", "E I O", settings.Attribution{}},
		{"to the moment it counts", "C-30d E-0s", "C E", settings.Attribution{}},
		{"what comes after the conversion is left out", "C-1d E--1s", "C", settings.Attribution{}},
		{"the windows are settings", "C-31d I-8d E-3d O-2d _-2d", "C I", settings.Attribution{ClickDays: 90, ImpressionDays: 10, CampaignDays: 2, OrganicDays: 1, DirectDays: 1}},
		{"coming back within a visit displaces nothing", "C-2h R-100m _-80m", "C", settings.Attribution{}},
		{"but after half an hour it is a visit of its own", "C-2h R-89m _-20m", "C R _", settings.Attribution{}},
		{"a visit goes on while pages are loaded", "C-2h R-100m R-75m R-50m", "C", settings.Attribution{}},
		{"an advertisement begins a visit at any time", "O-2h C-115m E-110m", "O C E", settings.Attribution{}},
		{"the landing page loaded again is one click", "C-2h C-110m C-105m", "C", settings.Attribution{}},
		{"the same advertisement the next day is another click", "C-2d C-1d", "C C", settings.Attribution{}},
		{"a burst of impressions is one", "I-2h I-119m I-118m I-1h", "I I", settings.Attribution{}},
		{"an impression is no visit", "I-2h _-119m", "I _", settings.Attribution{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			conversion := &Conversion{At: noon}
			var got []string
			list := touched(t, c.touches)
			h := &History{}
			for _, x := range list {
				h.Touch(x, c.settings.Lookback)
			}
			for _, x := range (Person{h}).Path(0, conversion, c.settings.Lookback) {
				got = append(got, strings.Fields(shares([]Touch{x}, []int64{1}))[0])
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%s becomes %q, want %q", c.touches, s, c.want)
			}
		})
	}
}

func TestSharesAddUpExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.OneOf(rapid.Float64Range(0, 1e9), rapid.Just(0.0), rapid.Just(math.NaN()), rapid.Just(math.Inf(1)), rapid.Just(-1.0), rapid.Float64Range(0, 1e-300)), 1, 70).Draw(t, "weights")
		whole := rapid.OneOf(rapid.Just(int64(event.Whole)), rapid.Int64Range(-1e18, 1e18)).Draw(t, "whole")
		var sum int64
		for i, n := range Split(whole, weights) {
			sum += n
			if whole > 0 && n < 0 || whole < 0 && n > 0 {
				t.Fatalf("share %d of %d is %d", i, whole, n)
			}
		}
		if sum != whole {
			t.Fatalf("%d is shared as %d", whole, sum)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 64).Draw(t, "touchpoints")
		s := &settings.Attribution{FirstPercent: rapid.IntRange(0, 100).Draw(t, "first"), HalfLifeDays: rapid.IntRange(0, 90).Draw(t, "half-life")}
		s.LastPercent = rapid.IntRange(0, 100-s.FirstPercent).Draw(t, "last")
		c := &Conversion{EventID: "c", At: noon, Currency: "EUR", Value: rapid.Int64Range(-1e12, 1e12).Draw(t, "value")}
		c.Refund(Refund{"r", rapid.Int64Range(0, 1e12).Draw(t, "refund")}, "EUR")
		h := &History{}
		for i := range n {
			p := letters[rapid.SampledFrom([]string{"C", "D", "I", "E", "O", "R", "_"}).Draw(t, "kind")]
			p.ID, p.At = fmt.Sprintf("%020x", i), noon.Add(-time.Duration(rapid.Int64Range(0, 40*24*3600).Draw(t, "ago"))*time.Second)
			h.Touch(Touch{Touchpoint: p}, s.Lookback)
		}
		sets, _ := (Person{h}).Settle(0, c, "px", "v", s)
		if len(sets) != len(Immediate) {
			t.Fatalf("%d sets", len(sets))
		}
		for _, set := range sets {
			var weight, value, refunded int64
			for _, x := range set.Shares {
				weight, value, refunded = weight+x.Weight, value+x.Value, refunded+x.Refunded
			}
			if weight != event.Whole || value != set.Value || refunded != set.Refunded || set.Value+set.Refunded != c.Value {
				t.Fatalf("%s: weights add up to %d, values to %d of %d, refunds to %d of %d", set.Model, weight, value, set.Value, refunded, set.Refunded)
			}
		}
	})
}

func TestRefundsTakeBackAtMostAll(t *testing.T) {
	for _, c := range []struct {
		name    string
		value   int64
		refunds []Refund
		want    int64
	}{
		{"none", 100, nil, 0},
		{"a part", 100, []Refund{{"a", 30}}, 30},
		{"the same twice", 100, []Refund{{"a", 30}, {"a", 30}}, 30},
		{"two parts", 100, []Refund{{"b", 30}, {"a", 30}}, 60},
		{"more than it was", 100, []Refund{{"a", 70}, {"b", 70}}, 100},
		{"all", 100, []Refund{{"a", All}}, 100},
		{"a part, then all", 100, []Refund{{"a", 1}, {"b", All}}, 100},
		{"of nothing", 0, []Refund{{"a", 5}}, 0},
	} {
		x := Conversion{Value: c.value, Currency: "EUR"}
		for _, r := range c.refunds {
			x.Refund(r, "EUR")
		}
		x.Refund(Refund{"other", 1}, "USD") // cannot be counted
		if got := x.Refunded(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestAHistoryComesBackAsItWasKept(t *testing.T) {
	any := rapid.StringMatching(`[a-z]{0,8}`)
	at := rapid.Custom(func(t *rapid.T) time.Time { return time.UnixMilli(rapid.Int64Range(-1e12, 4e12).Draw(t, "at")).UTC() })
	touch := rapid.Custom(func(t *rapid.T) Touch {
		return Touch{event.Touchpoint{
			ID: fmt.Sprintf("%020x", rapid.Uint64().Draw(t, "id")), PixelID: "px", VisitorID: any.Draw(t, "visitor"), EventID: any.Draw(t, "event"), At: at.Draw(t, "at"),
			Kind: rapid.SampledFrom(kinds[:]).Draw(t, "kind"), Channel: any.Draw(t, "channel"), Source: any.Draw(t, "source"), Campaign: any.Draw(t, "campaign"), Partner: any.Draw(t, "partner"),
		}, rapid.Bool().Draw(t, "own")}
	})
	rapid.Check(t, func(t *rapid.T) {
		h := &History{Touches: rapid.SliceOfN(touch, 1, 5).Draw(t, "touches"), Linked: rapid.SliceOfN(any, 1, 3).Draw(t, "linked")}
		for range rapid.IntRange(1, 3).Draw(t, "conversions") {
			h.Conversions = append(h.Conversions, Conversion{
				EventID: any.Draw(t, "id"), Name: any.Draw(t, "name"), At: at.Draw(t, "at"), ReceivedAt: at.Draw(t, "received"), OrderID: any.Draw(t, "order"), Currency: any.Draw(t, "currency"),
				Value: rapid.Int64().Draw(t, "value"), Own: rapid.Bool().Draw(t, "own"), Version: rapid.Int64().Draw(t, "version"), Digest: rapid.Uint64().Draw(t, "digest"),
				Refunds: []Refund{{any.Draw(t, "refund"), rapid.Int64().Draw(t, "amount")}}, Path: rapid.SliceOfN(touch, 0, 2).Draw(t, "path"),
			})
		}
		b := h.Encode()
		got, err := Decode("px", b)
		if err != nil || !reflect.DeepEqual(got, h) {
			t.Fatalf("%v\n%+v\nbecame\n%+v", err, h, got)
		}
		if _, err := Decode("px", b[:rapid.IntRange(1, len(b)-1).Draw(t, "cut")]); err == nil {
			t.Fatal("a part of it was read")
		}
	})
}

func FuzzAnyBytesAreReadOrRefused(f *testing.F) {
	h := &History{Touches: []Touch{{Touchpoint: letters["C"]}}, Conversions: []Conversion{{EventID: "c", Refunds: []Refund{{"r", 1}}}}}
	f.Add(h.Encode())
	f.Add((&Sale{Visitor: "v", Refunds: []SaleRefund{{Refund{"r", 1}, "EUR"}}}).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		Decode("px", b)
		DecodeSale(b)
	})
}

func TestBeyondTheBoundsTheOldestGoesAndWhatItWasOwedToStays(t *testing.T) {
	s := &settings.Attribution{}
	h := &History{}
	old := letters["E"]
	old.ID, old.At = "00000000000000000001", noon.Add(-time.Hour)
	h.Touch(Touch{Touchpoint: old}, s.Lookback)
	h.Convert(Conversion{EventID: "c", At: noon})
	for i := range 200 {
		p := letters["C"]
		p.ID, p.At = fmt.Sprintf("%020x", 100+i), noon.Add(time.Duration(i+1)*time.Hour)
		h.Touch(Touch{Touchpoint: p}, s.Lookback)
	}
	if len(h.Touches) != maxTouches {
		t.Fatalf("%d touchpoints are kept", len(h.Touches))
	}
	path := (Person{h}).Path(0, h.Find("c"), s.Lookback)
	if len(path) != 1 || path[0].ID != old.ID {
		t.Errorf("the conversion is owed to %+v", path)
	}
	for i := range 100 {
		h.Convert(Conversion{EventID: fmt.Sprint(i), At: noon.Add(time.Duration(i) * time.Minute)})
	}
	if len(h.Conversions) != maxConversions || h.Find("99") == nil {
		t.Errorf("%d conversions are kept", len(h.Conversions))
	}
}
