package collector

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/ratelimit"
)

func paceOf(t *testing.T, c config.RateLimit) func(*Options) {
	return func(o *Options) {
		c.Burst = 1000 * time.Second // by which nothing fills while the test runs
		var err error
		if o.Rate, err = ratelimit.NewDoors(ratelimit.Options{Config: c, Log: o.Log, Metrics: o.Metrics}); err != nil {
			t.Fatal(err)
		}
		o.Config.TrustedProxies = []string{"192.0.2.0/24"}
	}
}

func TestAnAddressThatSendsTooManyIsAnswered429AndTheOthersAreNot(t *testing.T) {
	f := newFixture(t, paceOf(t, config.RateLimit{Address: 0.01})) // ten at once
	const body = `{"pixel_id":"px_demo","events":[{"name":"page_view"}]}`
	from := func(ip string) int {
		return f.post(body, "X-Forwarded-For", ip, "Origin", "https://shop.example.com").Code
	}
	for i := range 10 {
		if code := from("203.0.113.9"); code != 202 {
			t.Fatalf("request %d: %d", i, code)
		}
	}
	w := f.post(body, "X-Forwarded-For", "203.0.113.9", "Origin", "https://shop.example.com")
	wait, err := strconv.Atoi(w.Header().Get("Retry-After"))
	if w.Code != 429 || err != nil || wait < 1 || wait > 100 || !strings.Contains(w.Body.String(), `"code":"rate_limited"`) {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	// The page's script may read all of that.
	if w.Header().Get("Access-Control-Allow-Origin") == "" || w.Header().Get("Access-Control-Expose-Headers") != "Retry-After" {
		t.Errorf("%v", w.Header())
	}
	if code := from("203.0.113.10"); code != 202 {
		t.Errorf("somebody else: %d", code)
	}
	// Who writes the header himself is believed by his place in it alone.
	if code := from("198.51.100.1, 203.0.113.9"); code != 429 {
		t.Errorf("a forged address in front: %d", code)
	}
	for path, want := range map[string]int{"/v1/track": 429, "/consent": 429} {
		if w := f.do("POST", path, strings.NewReader(`{"writeKey":"px_demo","event":"x","anonymousId":"a"}`), "Content-Type", "application/json", "X-Forwarded-For", "203.0.113.9"); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	f.everything()
	if w := f.do("GET", "/pixel.gif?pid=px_demo&e=page_view", nil, "X-Forwarded-For", "203.0.113.9"); w.Code != 200 || w.Body.Len() != 43 {
		t.Errorf("the image: %d", w.Code)
	}
	if n := len(f.everything()); n != 0 {
		t.Errorf("%d events of images came in", n)
	}
	// The tag itself is everybody's.
	if w := f.do("GET", "/sdk.js", nil, "X-Forwarded-For", "203.0.113.9"); w.Code != 200 {
		t.Errorf("the tag: %d", w.Code)
	}
	if line := `pixel_rate_limited_total{of="address"} 5`; !f.counted(line) {
		t.Errorf("the metrics lack %s", line)
	}
}

func TestAPixelThatSendsTooManyEventsTakesNoneInPart(t *testing.T) {
	f := newFixture(t, paceOf(t, config.RateLimit{Pixel: 0.01})) // ten at once
	send := func(pixel string, n int) int {
		return f.post(fmt.Sprintf(`{"pixel_id":%q,"events":[%s]}`, pixel, strings.TrimSuffix(strings.Repeat(`{"name":"page_view"},`, n), ","))).Code
	}
	if code := send("px_demo", 7); code != 202 {
		t.Fatal(code)
	}
	if code := send("px_demo", 4); code != 429 {
		t.Errorf("the eleventh event: %d", code)
	}
	if code := send("px_demo", 3); code != 202 {
		t.Errorf("the tenth event: %d", code)
	}
	if n := len(f.everything()); n != 10 {
		t.Errorf("%d events came in", n)
	}
	if line := `pixel_rate_limited_total{of="pixel"} 1`; !f.counted(line) {
		t.Errorf("the metrics lack %s", line)
	}
}

func TestWhoSentAWeaponIsHeardOnlyWithWhatIsSmall(t *testing.T) {
	f := newFixture(t, paceOf(t, config.RateLimit{}))
	weapons := map[string][]string{
		`{"pixel_id":"px_demo","events":[` + strings.Repeat(`{"a":`, 20_000):                                                      {"Content-Encoding", ""},
		gzipped(`{"pixel_id":"px_demo","events":[{"name":"` + strings.Repeat("x", 5<<20) + `"}]}`):                                {"Content-Encoding", "gzip"},
		gzipped(`{"pixel_id":"px_demo","events":[{"name":"page_view","properties":{"a":"` + strings.Repeat("x", 100_000) + `"}}`): {"Content-Encoding", "gzip"},
	}
	for body, headers := range weapons {
		w := f.post(body, append(headers, "X-Forwarded-For", "203.0.113.9")...)
		if w.Code != 400 && w.Code != 413 || w.Header().Get("Connection") != "close" {
			t.Fatalf("%.60q: %d %v %s", body, w.Code, w.Header(), w.Body)
		}
	}
	const good = `{"pixel_id":"px_demo","events":[{"name":"page_view"}]}`
	w := f.post(gzipped(good), "Content-Encoding", "gzip", "X-Forwarded-For", "203.0.113.9", "Origin", "https://shop.example.com")
	if w.Code != 429 || w.Header().Get("Retry-After") == "" || w.Header().Get("Connection") != "close" || !strings.Contains(w.Body.String(), "no client makes") {
		t.Errorf("a packed one: %d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := f.post(good, "X-Forwarded-For", "203.0.113.9"); w.Code != 202 {
		t.Errorf("a small one: %d %s", w.Code, w.Body)
	}
	if w := f.post(gzipped(good), "Content-Encoding", "gzip", "X-Forwarded-For", "203.0.113.10"); w.Code != 202 {
		t.Errorf("somebody else's: %d %s", w.Code, w.Body)
	}
	if !f.counted(`pixel_rate_limited_total{of="offender"} 1`) {
		t.Error("nobody counted it")
	}
	if used := f.room.used.Load(); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
}
