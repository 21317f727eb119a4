package collector

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/gzip"
)

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(s))
	if err := errors.Join(err, z.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.String()
}

// hostile is input that somebody sends who is careless or means harm. code is
// what the dead letters say of it; "" where no pixel is known.
var hostile = map[string]struct {
	body    string
	headers []string
	status  int
	answer  string // part of the answer
	code    string
}{
	"malformed JSON":                 {`{"pixel_id":"px_demo","events":[{"name":`, nil, 400, `"code":"malformed_json"`, "malformed_json"},
	"malformed JSON of nobody":       {`{"events":[`, nil, 400, `"code":"malformed_json"`, ""},
	"nothing":                        {``, nil, 400, `"code":"malformed_json"`, ""},
	"a text":                         {`"px_demo"`, nil, 400, `"code":"invalid_field"`, ""},
	"two envelopes":                  {`{"pixel_id":"px_demo","events":[{"name":"x"}]}{}`, nil, 400, `"code":"malformed_json"`, "malformed_json"},
	"a wrong type":                   {`{"pixel_id":"px_demo","context":{"screen":{"width":"wide"}},"events":[{"name":"x"}]}`, nil, 400, `"pointer":"/context/screen/width"`, "invalid_field"},
	"a wrong type of events":         {`{"pixel_id":"px_demo","events":"x"}`, nil, 400, `"pointer":"/events"`, "invalid_type"},
	"a pixel id that is a number":    {`{"pixel_id":5,"events":[{"name":"x"}]}`, nil, 400, `"pointer":"/pixel_id"`, ""},
	"an unknown pixel":               {`{"pixel_id":"px_nobody","events":[{"name":"x"}]}`, nil, 404, `"code":"unknown_pixel"`, ""},
	"a pixel that is switched off":   {`{"pixel_id":"px_off","events":[{"name":"x"}]}`, nil, 404, `"code":"unknown_pixel"`, ""},
	"5 MB":                           {`{"pixel_id":"px_demo","events":[{"name":"` + strings.Repeat("x", 5<<20) + `"}]}`, nil, 413, `"code":"too_large"`, "too_large"},
	"5 MB in a few KB of gzip":       {gzipped(`{"pixel_id":"px_demo","events":[{"name":"` + strings.Repeat("x", 5<<20) + `"}]}`), []string{"Content-Encoding", "gzip"}, 413, `"code":"too_large"`, "too_large"},
	"gzip that is none":              {`{"pixel_id":"px_demo"}`, []string{"Content-Encoding", "gzip"}, 400, `"code":"malformed_body"`, ""},
	"gzip that ends early":           {gzipped(`{"pixel_id":"px_demo","events":[{"name":"x"}]}`)[:30], []string{"Content-Encoding", "gzip"}, 400, `"code":"malformed_body"`, ""},
	"an encoding that we lack":       {`x`, []string{"Content-Encoding", "br"}, 415, `"code":"unsupported_encoding"`, ""},
	"a form":                         {`pixel_id=px_demo`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, `"code":"unsupported_media_type"`, ""},
	"another charset":                {`{}`, []string{"Content-Type", "text/plain; charset=utf-16"}, 415, `"code":"unsupported_media_type"`, ""},
	"a content type that is none":    {`{}`, []string{"Content-Type", ";;;"}, 415, `"code":"unsupported_media_type"`, ""},
	"invalid UTF-8":                  {"{\"pixel_id\":\"px_demo\",\"events\":[{\"name\":\"\xff\xfe\"}]}", nil, 400, `invalid UTF-8`, "malformed_json"},
	"half a surrogate pair":          {`{"pixel_id":"px_demo","events":[{"name":"\ud800"}]}`, nil, 400, `"code":"malformed_json"`, "malformed_json"},
	"a name twice":                   {`{"pixel_id":"px_demo","events":[{"name":"x","name":"y"}]}`, nil, 400, `is there twice`, "malformed_json"},
	"half a million events":          {`{"pixel_id":"px_demo","events":[` + strings.Repeat("1,", 500_000) + `1]}`, nil, 400, `"code":"too_many_events"`, "too_many_events"},
	"a million-element array":        {`{"pixel_id":"px_demo","events":[` + strings.Repeat("1,", 1_000_000) + `1]}`, nil, 413, `"code":"too_large"`, "too_large"},
	"an array within properties":     {`{"pixel_id":"px_demo","events":[{"name":"x","properties":{"a":[` + strings.Repeat("1,", 400_000) + `1]}}]}`, nil, 400, `"code":"too_large"`, "too_large"},
	"a hostile name":                 {`{"pixel_id":"px_demo","events":[{"name":"<script>alert(document.cookie)</script>"}]}`, nil, 400, `"code":"invalid_name"`, "invalid_name"},
	"a name with line breaks":        {`{"pixel_id":"px_demo","events":[{"name":"x\r\nSet-Cookie: a=b"}]}`, nil, 400, `"code":"invalid_name"`, "invalid_name"},
	"a NUL in a name":                {`{"pixel_id":"px_demo","events":[{"name":"x\u0000"}]}`, nil, 400, `"code":"invalid_name"`, "invalid_name"},
	"deep nesting in properties":     {`{"pixel_id":"px_demo","events":[{"name":"x","properties":{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}}]}`, nil, 400, `"code":"too_deep"`, "too_deep"},
	"deep nesting elsewhere":         {`{"pixel_id":"px_demo","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `,"events":[{"name":"x"}]}`, nil, 400, `"code":"too_deep"`, "too_deep"},
	"deep nesting that never ends":   {`{"pixel_id":"px_demo","events":` + strings.Repeat("[", 400_000), nil, 400, `"code":"too_deep"`, "too_deep"},
	"deep nesting, packed":           {gzipped(`{"pixel_id":"px_demo","events":` + strings.Repeat(`{"a":"aeiou`+strings.Repeat("xy", 20)+`","b":`, 20_000)), []string{"Content-Encoding", "gzip"}, 400, `"code":"too_deep"`, "too_deep"},
	"a 17 KiB consent string":        {`{"pixel_id":"px_demo","consent":{"tcf":"` + strings.Repeat("C", 17<<10) + `"},"events":[{"name":"x"}]}`, nil, 400, `"pointer":"/consent/tcf"`, "too_long"},
	"consent strings for hundreds":   {`{"pixel_id":"px_demo","consent":{"addtl_consent":"` + strings.Repeat("2", 16<<10) + `"},"context":{"page":{"url":"` + strings.Repeat("u", 8<<10) + `"}},"events":[` + strings.Repeat(`{"name":"x"},`, 499) + `{"name":"x"}]}`, nil, 413, `"code":"too_large"`, ""},
	"a negative value":               {`{"pixel_id":"px_demo","events":[{"name":"purchase","properties":{"value":-1}}]}`, nil, 400, `/properties/value must not be negative`, "invalid_order"},
	"a value that is no number":      {`{"pixel_id":"px_demo","events":[{"name":"purchase","properties":{"value":NaN}}]}`, nil, 400, `"code":"malformed_json"`, "malformed_json"},
	"an event of next year":          {`{"pixel_id":"px_demo","events":[{"name":"x","time":"20270-01-01T00:00:00Z"}]}`, nil, 400, `"code":"invalid_time"`, "invalid_time"},
	"an envelope for a strange page": {`{"pixel_id":"px_site","events":[{"name":"x"}]}`, []string{"Origin", "https://evil.test"}, 403, `"code":"origin_not_allowed"`, "origin_not_allowed"},
	"a page without an origin":       {`{"pixel_id":"px_site","events":[{"name":"x"}]}`, []string{"Origin", "null"}, 403, `"code":"origin_not_allowed"`, "origin_not_allowed"},
	"a page that looks alike":        {`{"pixel_id":"px_site","events":[{"name":"x"}]}`, []string{"Referer", "https://notexample.com/example.com"}, 403, `"code":"origin_not_allowed"`, "origin_not_allowed"},
}

func TestHostileInputGetsAClearAnswerAndALine(t *testing.T) {
	f := newFixture(t)
	for name, tt := range hostile {
		t.Run(name, func(t *testing.T) {
			headers := append([]string{"Content-Type", "application/json"}, tt.headers...)
			w := f.do("POST", "/collect", strings.NewReader(tt.body), headers...)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.answer) {
				t.Fatalf("got %d %.300s, want %d with %s", w.Code, w.Body, tt.status, tt.answer)
			}
			if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
			if w.Body.Len() > 2000 {
				t.Errorf("the answer has %d bytes", w.Body.Len())
			}
			var p struct {
				Status int    `json:"status"`
				Title  string `json:"title"`
				Detail string `json:"detail"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != tt.status || p.Title == "" || p.Detail == "" {
				t.Errorf("%+v %v", p, err)
			}
			if events := f.everything(); len(events) != 0 {
				t.Errorf("it was accepted: %d events", len(events))
			}
			dead := f.dead()
			if tt.code == "" {
				if len(dead) != 0 {
					t.Errorf("a line for nobody: %s", dead[0].Body)
				}
				return
			}
			if len(dead) != 1 || !strings.HasPrefix(dead[0].Reason, tt.code+": ") || len(dead[0].Body) > 4<<10 || len(dead[0].Reason) > 500 {
				t.Fatalf("dead letters: %+v", dead)
			}
			var line refused
			if err := json.Unmarshal(dead[0].Body, &line); err != nil || line.Code != tt.code || line.PixelID == "" || line.Message == "" || line.ReceivedAt.IsZero() {
				t.Errorf("line %+v %v", line, err)
			}
		})
	}
	if used := f.room.used.Load(); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
}

func TestRefusalsHoldNoPersonalData(t *testing.T) {
	f := newFixture(t)
	f.post(`{"pixel_id":"px_demo","identity":{"anonymous_id":"anon-1","email":"buyer@example.com"},
		"context":{"page":{"url":"https://shop.example.com/?email=buyer@example.com"}},
		"events":[
			{"id":"mary@example.com","name":"bad name","properties":{"email":"mary@example.com","phone":447911123456,"first_name":"Mary","currency":"GBP","value":99.5,
				"items":[{"item_id":"SKU1","item_name":"Shoe for mary@example.com","price":1}],"deep":{"er":{"mary":{"x":1}}},"ok":true}},
			{"name":"identify mary@example.com"},
			{"name":"call 447911123456"},
			{"name":"x y","properties":{"mary@example.com":1}}
		]}`, "User-Agent", "Mary's browser")
	dead := f.dead()
	if len(dead) != 4 {
		t.Fatalf("%d lines", len(dead))
	}
	for _, l := range dead {
		all := string(l.Body) + l.Reason
		for _, personal := range []string{"mary@", "Mary", "anon-1", "buyer", "79111", "192.0.2.1", "shop.example.com"} {
			if strings.Contains(all, personal) {
				t.Errorf("%q is in %s", personal, all)
			}
		}
	}
	// Newest first: the last is the first event.
	want := `{"email":"[string]","phone":"[number]","first_name":"[string]","currency":"GBP","value":99.5,"items":[{"item_id":"SKU1","item_name":"[string]","price":1}],"deep":{"er":{"mary":"[object]"}},"ok":true}`
	if got := string(dead[3].Body); !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestThePublicCannotFloodTheDeadLetters(t *testing.T) {
	f := newFixture(t)
	body := `{"pixel_id":"px_demo","events":[` + strings.Repeat(`{"name":"?"},`, 499) + `{"name":"?"}]}`
	for range 6 {
		if w := f.post(body); w.Code != http.StatusBadRequest {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	// Some more may pass while the test runs.
	total := 0
	for n := len(f.dead()); n > 0; n = len(f.dead()) {
		total += n
	}
	if total < refusalBurst || total > refusalBurst+500 {
		t.Errorf("%d lines were written", total)
	}
}

func TestHostileBodiesCostBoundedMemory(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"5 MB", "5 MB in a few KB of gzip", "half a million events", "a million-element array", "deep nesting that never ends", "an array within properties"} {
		t.Run(name, func(t *testing.T) {
			tt := hostile[name]
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f.do("POST", "/collect", strings.NewReader(tt.body), append([]string{"Content-Type", "application/json"}, tt.headers...)...)
			runtime.ReadMemStats(&after)
			// All that was ever allocated, freed or not.
			if spent := after.TotalAlloc - before.TotalAlloc; spent > 8<<20 {
				t.Errorf("%d KiB were allocated", spent>>10)
			}
		})
	}
}

func TestContentTypesThatAreTaken(t *testing.T) {
	f := newFixture(t)
	const body = `{"pixel_id":"px_demo","events":[{"name":"page_view"}]}`
	for _, kind := range []string{"application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8", "text/plain", "text/plain;charset=UTF-8", `text/plain; charset="utf-8"`} {
		if w := f.do("POST", "/collect", strings.NewReader(body), "Content-Type", kind); w.Code != http.StatusAccepted {
			t.Errorf("%s: %d %s", kind, w.Code, w.Body)
		}
	}
	if w := f.do("POST", "/collect", strings.NewReader(body)); w.Code != http.StatusAccepted {
		t.Errorf("none: %d %s", w.Code, w.Body)
	}
	for _, encoding := range []string{"gzip", "GZIP"} {
		if w := f.post(gzipped(body), "Content-Encoding", encoding); w.Code != http.StatusAccepted {
			t.Errorf("%s: %d %s", encoding, w.Code, w.Body)
		}
	}
	if got := len(f.everything()); got != 9 {
		t.Errorf("%d events", got)
	}
}

func TestASlowConnectionThatBreaksIsNoFaultOfOurs(t *testing.T) {
	f := newFixture(t)
	w := f.do("POST", "/collect", io.MultiReader(strings.NewReader(`{"pixel_id":`), brokenReader{}), "Content-Type", "application/json")
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"code":"incomplete"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
