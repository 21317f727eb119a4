package edge_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/edge"
)

func newReader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }

func envelope(id, state string) string {
	return fmt.Sprintf(`{"pixel_id":"px_1","consent":{"state":%q},"identity":{"email":"jane@example.com"},"events":[{"id":%q,"name":"purchase"}]}`, state, id)
}

// claims are what the worker signed, as the collector reads them.
func claims(t *testing.T, a arrival) edge.Claims {
	t.Helper()
	keys, err := edge.ParseKeys("k1:" + key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := keys.Verify(a.Request, func() ([]byte, error) { return a.body, nil }, time.Now(), time.Minute)
	if err != nil {
		t.Fatalf("the collector does not believe the edge: %v", err)
	}
	return c
}

func TestTypesAreRight(t *testing.T) {
	tsc, err := filepath.Abs("node_modules/.bin/tsc")
	if err == nil {
		_, err = os.Stat(tsc)
	}
	if err != nil {
		t.Skip("TypeScript is not installed: npm ci --prefix sdk/edge")
	}
	if out, err := exec.Command(tsc, "--noEmit").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestEventsPassThroughWithTheVisitorsPlaceUnderASignature(t *testing.T) {
	w := newWorld(t)
	w.set(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Set-Cookie", "_miq_id=abc; Path=/")
		rw.WriteHeader(http.StatusAccepted)
		rw.Write([]byte(`{"accepted":1}`))
	})
	x := run(t, w)
	body := envelope("e1", "full")
	res := x.send("POST", "/collect?x=%20a", body, "Content-Type", "text/plain", "Cookie", "session=secret; _miq_id=abc",
		"Origin", "https://www.shop.example", "X-Pixel-Edge", "k1.forged.forged", "X-Forwarded-For", "198.51.100.1", "User-Agent", "Browser/1")
	if got := text(t, res); res.StatusCode != 202 || got != `{"accepted":1}` || res.Header.Get("Set-Cookie") != "_miq_id=abc; Path=/" {
		t.Errorf("%s %q %v", res.Status, got, res.Header)
	}
	came := w.arrivals("/collect")
	if len(came) != 1 || string(came[0].body) != body {
		t.Fatalf("%d requests came", len(came))
	}
	a := came[0]
	c := claims(t, a)
	c.Signed, c.Received, c.Body = 0, 0, ""
	want := edge.Claims{
		Host: "www.shop.example", Method: "POST", Target: "/collect?x=%20a", IP: "203.0.113.7",
		Country: "US", Region: "CA", City: "San Francisco", PostalCode: "94107", Timezone: "America/Los_Angeles", ASN: 64500, Network: "Example Net",
	}
	if c != want {
		t.Errorf("claims %+v, want %+v", c, want)
	}
	for name, want := range map[string]string{"Cookie": "_miq_id=abc", "X-Forwarded-For": "", "User-Agent": "Browser/1", "Origin": "https://www.shop.example", "Cf-Connecting-Ip": ""} {
		if got := a.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestGlobalPrivacyControlIsPassedOnAndKeepsThePlaceVague(t *testing.T) {
	w := newWorld(t)
	x := run(t, w)
	x.send("POST", "/collect", envelope("e1", "full"), "Sec-GPC", "1")
	came := w.arrivals("/collect")
	if len(came) != 1 {
		t.Fatalf("%d requests came", len(came))
	}
	c := claims(t, came[0])
	if !c.GPC || came[0].Header.Get("Sec-Gpc") != "1" || c.Country != "US" || c.Region != "CA" || c.City+c.PostalCode+c.Network+c.Timezone != "" {
		t.Errorf("claims %+v", c)
	}
}

func TestNothingElseIsThere(t *testing.T) {
	w := newWorld(t)
	x := run(t, w)
	for _, target := range []string{"/", "/api/v1/events", "/readyz", "/metrics", "/config/../api/v1/pixels", "/v1", "/sdk"} {
		if res := x.send("GET", target, ""); res.StatusCode != 404 {
			t.Errorf("%s: %s", target, res.Status)
		}
	}
	if res := x.send("DELETE", "/collect", ""); res.StatusCode != 404 {
		t.Errorf("DELETE: %s", res.Status)
	}
	r, _ := http.NewRequest("POST", strings.TrimSuffix(x.url, "/a8f3")+"/collect", strings.NewReader("{}"))
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != 404 {
		t.Errorf("without the prefix: %v %v", res, err)
	}
	if res := x.send("POST", "/collect", strings.Repeat("x", 1<<20+1)); res.StatusCode != 413 {
		t.Errorf("a body that is too large: %s", res.Status)
	}
	if n := len(w.came); n != 0 {
		t.Errorf("%d requests reached the collector", n)
	}
}

// What is kept while the collector is away, and what is not.
func TestWhileTheCollectorIsAway(t *testing.T) {
	w := newWorld(t)
	x := run(t, w)
	zip := func(body string) string {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		z.Write([]byte(body))
		z.Close()
		return zipped.String()
	}
	slow := func(rw http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
	}
	status := func(code int, headers ...string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(headers); i += 2 {
				rw.Header().Set(headers[i], headers[i+1])
			}
			rw.WriteHeader(code)
		}
	}
	kept := map[string]bool{}
	for _, c := range []struct {
		name, method, target, body string
		collector                  http.HandlerFunc
		status                     int
		keeps                      string // the id by which it comes later
		headers                    []string
	}{
		{name: "agreed, line broken", method: "POST", target: "/collect", body: envelope("down", "full"), status: 202, keeps: "down"},
		{name: "agreed in part", method: "POST", target: "/collect", body: envelope("partial", "partial"), status: 202, keeps: "partial"},
		{name: "compressed", method: "POST", target: "/collect", body: zip(envelope("zip", "full")), status: 202, keeps: "zip", headers: []string{"Content-Encoding", "gzip"}},
		{name: "unpacks to too much", method: "POST", target: "/collect", body: zip(envelope("bomb", "full") + strings.Repeat(" ", 2<<20)), status: 503, headers: []string{"Content-Encoding", "gzip"}},
		{name: "slow", method: "POST", target: "/collect", body: envelope("slow", "full"), collector: slow, status: 202, keeps: "slow"},
		{name: "bad gateway", method: "POST", target: "/collect", body: envelope("502", "full"), collector: status(502), status: 202, keeps: "502"},
		{name: "busy, says so itself", method: "POST", target: "/collect", body: envelope("503", "full"), collector: status(503, "Retry-After", "7"), status: 503},
		{name: "refused", method: "POST", target: "/collect", body: envelope("400", "full"), collector: status(400), status: 400},
		{name: "refused consent", method: "POST", target: "/collect", body: envelope("none", "none"), status: 503},
		{name: "no word of consent", method: "POST", target: "/collect", body: `{"pixel_id":"px_1","events":[{"id":"silent","name":"a"}]}`, status: 503},
		{name: "an event without an id", method: "POST", target: "/collect", body: `{"pixel_id":"px_1","consent":{"state":"full"},"events":[{"name":"a"}]}`, status: 503},
		{name: "not JSON", method: "POST", target: "/collect", body: `{`, status: 503},
		{name: "a withdrawal", method: "POST", target: "/consent", body: `{"pixel_id":"px_1","anonymous_id":"withdrawal","state":"none"}`, status: 202, keeps: "withdrawal"},
		{name: "a server's event", method: "POST", target: "/v1/track", body: `{"event":"a"}`, status: 503},
		{name: "image, agreed", method: "GET", target: "/pixel.gif?pid=px_1&e=a&eid=gif&gdpr=1&gdpr_consent=CP", status: 200, keeps: "gif"},
		{name: "image, no word", method: "GET", target: "/pixel.gif?pid=px_1&e=a&eid=gif2", status: 200},
	} {
		w.set(c.collector)
		res := x.send(c.method, c.target, c.body, append(c.headers, "Origin", "https://www.shop.example")...)
		answer := text(t, res)
		if res.StatusCode != c.status {
			t.Errorf("%s: %s %q, want %d", c.name, res.Status, answer, c.status)
		}
		if res.StatusCode == 503 && res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: nothing says when to come back", c.name)
		}
		if c.target == "/collect" && c.status == 202 {
			var a struct {
				Accepted int `json:"accepted"`
				Results  []struct{ ID, Status string }
			}
			if err := json.Unmarshal([]byte(answer), &a); err != nil || a.Accepted != 1 || a.Results[0].ID != c.keeps || a.Results[0].Status != "accepted" {
				t.Errorf("%s: answer %s", c.name, answer)
			}
			if res.Header.Get("Access-Control-Allow-Origin") != "https://www.shop.example" {
				t.Errorf("%s: the page may not read the answer", c.name)
			}
		}
		if c.keeps != "" {
			kept[c.keeps] = false
		}
	}
	if got := disk(t, x.dir); bytes.Contains(got, []byte("jane@example.com")) || bytes.Contains(got, []byte("px_1")) {
		t.Error("what is kept can be read on the disk")
	}

	// Killed while they wait, it has them all the same.
	x.kill()
	w.mu.Lock()
	w.came = nil
	w.mu.Unlock()
	x.start(workerd(t))
	w.set(accept)
	x.eventually("all come", func() error {
		for _, path := range []string{"/collect", "/consent", "/pixel.gif"} {
			for _, a := range w.arrivals(path) {
				c := claims(t, a)
				if c.IP != "203.0.113.7" || time.UnixMilli(c.Received).After(time.UnixMilli(c.Signed)) {
					t.Fatalf("claims %+v", c)
				}
				what := string(a.body) + a.URL.RawQuery
				if a.Header.Get("Content-Encoding") == "gzip" {
					what = "zip"
				}
				found := false
				for id := range kept {
					if strings.Contains(what, `"`+id+`"`) || strings.Contains(what, "eid="+id+"&") || what == id {
						kept[id], found = true, true
					}
				}
				if !found {
					t.Fatalf("this should not have been kept: %s", what)
				}
			}
		}
		for id, came := range kept {
			if !came {
				return errors.New(id + " has not come")
			}
		}
		return nil
	})
	x.eventually("the outboxes are empty", func() error {
		var h struct{ Waiting int }
		if err := json.Unmarshal([]byte(text(t, x.send("GET", "/healthz", ""))), &h); err != nil || h.Waiting != 0 {
			return fmt.Errorf("%d wait, %v", h.Waiting, err)
		}
		return nil
	})
	// The one that was slow may have come twice, which its event ids make harmless;
	// the others exactly once.
	seen := map[string]int{}
	for _, a := range w.arrivals("/collect") {
		seen[string(a.body)]++
	}
	for body, n := range seen {
		if n > 1 {
			t.Errorf("%d copies came of %s", n, body)
		}
	}
}

// Matomo's queue stood still behind one bad item. Ours does not.
func TestOneRequestThatTheCollectorCannotHandleHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	x := run(t, w)
	w.set(nil)
	for i := range 10 {
		id := fmt.Sprint("e", i)
		if i == 0 {
			id = "poison"
		}
		if res := x.send("POST", "/collect", envelope(id, "full")); res.StatusCode != 202 {
			t.Fatal(res.Status)
		}
	}
	var came = map[string]bool{}
	w.mu.Lock()
	w.came = nil
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		// The body is read already; it is the last that was noted.
		w.mu.Lock()
		body := string(w.came[len(w.came)-1].body)
		w.mu.Unlock()
		if strings.Contains(body, "poison") {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		rw.WriteHeader(http.StatusAccepted)
	}
	w.mu.Unlock()
	x.eventually("all others come", func() error {
		for _, a := range w.arrivals("/collect") {
			came[string(a.body)] = true
		}
		for i := 1; i < 10; i++ {
			if !came[envelope(fmt.Sprint("e", i), "full")] {
				return fmt.Errorf("e%d has not come", i)
			}
		}
		return nil
	})
}

func TestSettingsComeFromTheCacheAndAChangeIsThereWithinTenSeconds(t *testing.T) {
	w := newWorld(t)
	version := func(v string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("ETag", `"`+v+`"`)
			rw.Header().Set("Content-Type", "application/json")
			rw.Header().Set("Cache-Control", "public, max-age=60, stale-while-revalidate=86400")
			if r.Header.Get("If-None-Match") == `"`+v+`"` {
				rw.WriteHeader(http.StatusNotModified)
				return
			}
			rw.Write([]byte(v))
		}
	}
	w.set(version("one"))
	x := run(t, w)
	const path = "/config/px_1.json"
	for range 5 {
		res := x.send("GET", path+"?cache=buster", "")
		if got := text(t, res); got != "one" || res.Header.Get("Cache-Control") != "public, max-age=2" || res.Header.Get("ETag") != `"one"` {
			t.Fatalf("%s %q %v", res.Status, got, res.Header)
		}
	}
	if n := len(w.arrivals(path)); n != 1 {
		t.Errorf("the collector was asked %d times, want once", n)
	}
	if res := x.send("GET", path, "", "If-None-Match", `W/"one"`); res.StatusCode != 304 {
		t.Errorf("known already: %s", res.Status)
	}
	w.set(version("two"))
	changed := time.Now()
	x.eventually("the change is there", func() error {
		if got := text(t, x.send("GET", path, "")); got != "two" {
			return errors.New(got)
		}
		return nil
	})
	// 1 s until every collector knows a change and 2 s in browsers come on top.
	if took := time.Since(changed); took > 7*time.Second {
		t.Errorf("it took %s", took)
	}
	// The last version known stands in for a collector that is away.
	w.set(nil)
	time.Sleep(time.Until(changed.Add(7 * time.Second)))
	if res := x.send("GET", path, ""); text(t, res) != "two" {
		t.Errorf("while the collector is away: %s", res.Status)
	}
	// What was deleted does not live on.
	w.set(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotFound) })
	x.eventually("it is gone", func() error {
		if res := x.send("GET", path, ""); res.StatusCode != 404 {
			return errors.New(res.Status)
		}
		return nil
	})
}

func TestAVersionOfTheTagIsAskedForOnce(t *testing.T) {
	w := newWorld(t)
	w.set(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		rw.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		rw.Header().Set("Access-Control-Allow-Origin", "*")
		rw.Write([]byte("tag"))
	})
	x := run(t, w)
	for range 3 {
		res := x.send("GET", "/sdk/1.0.0.js", "")
		if text(t, res) != "tag" || res.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || res.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %v", res.Status, res.Header)
		}
		w.set(nil)
	}
	if res := x.send("HEAD", "/sdk/1.0.0.js", ""); res.StatusCode != 200 {
		t.Errorf("HEAD: %s", res.Status)
	}
	if res := x.send("GET", "/sdk/2.0.0.js", ""); res.StatusCode != 503 {
		t.Errorf("never seen, and the collector is away: %s", res.Status)
	}
}

// disk is everything in a folder.
func disk(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(all, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("nothing is on the disk")
	}
	return all
}
