package app

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// Raw personal data, each piece by its own mark, goes in by every public door and every
// field that could carry it, and is looked for in every byte on the disk, in what the
// stores give back, in the log, the metrics and the spans.
func TestNoRawPersonalDataIsKeptAnywhere(t *testing.T) {
	dir := t.TempDir()
	j := begin(t, map[string]string{"data_dir": dir, "log.level": "debug"})
	px, _ := j.settings.Pixel("px_1")
	px.Schemas = settings.Schemas{Mode: settings.SchemaRefuse}
	px.Processing.Keys = []string{"member"}
	if _, err := j.settings.SavePixel(t.Context(), px); err != nil {
		t.Fatal(err)
	}

	var marks []string
	mark := func(s string) string {
		marks = append(marks, s)
		return s
	}
	n := 0
	mail := func() string { n++; return mark(fmt.Sprintf("zqmark%02d@kept-nowhere.example", n)) }
	name := func() string { n++; return mark(fmt.Sprintf("Zqmarkname%02dX", n)) }
	phone := func() string { n++; return "+44 20 79" + mark(fmt.Sprintf("46 3%03d", n)) }
	e164 := func() string { n++; return "+" + mark(fmt.Sprintf("44208946%04d", n)) }

	const consent = `"consent":{"gdpr_applies":false,"us_privacy":"1YNN","state":"full"}`
	quote := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	send := func(method, path, body string, headers ...string) int {
		t.Helper()
		r, err := http.NewRequest(method, j.base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36 ("+mail()+")")
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	context := func() string {
		return `"context":{"page":{"url":` + quote("https://shop.example/u/"+url.QueryEscape(mail())+"/"+e164()+"?first_name="+name()+"&member="+name()+"&c="+url.QueryEscape(e164())+"#surname="+name()) +
			`,"referrer":` + quote("https://a.example/?email="+mail()) + `,"title":` + quote("Thanks "+mail()) + `},"locale":` + quote(mail()) + `,"timezone":` + quote(mail()) +
			`,"touch":{"first":{"referrer":` + quote("https://b.example/?x="+mail()) + `,"params":{"utm_source":` + quote(mail()) + `}}}}`
	}
	properties := func() string {
		return `{"order_id":` + quote(mail()) + `,"value":9.5,"currency":"USD","email":` + quote(mail()) + `,"note":` + quote("call "+mail()) + `,"contact":` + quote(e164()) +
			`,"customer":{"firstName":` + quote(name()) + `,"phone":` + quote(phone()) + `,"member":` + quote(name()) + `},"items":[{"item_id":"SKU1","item_name":` + quote("for "+mail()) + `,"price":9.5,"quantity":1}]}`
	}
	identity := func() string {
		return `"identity":{"anonymous_id":` + quote(mail()) + `,"user_id":` + quote(mail()) + `,"email":` + quote(mail()) + `,"phone":` + quote(phone()) +
			`,"address":{"first_name":` + quote(name()) + `,"last_name":` + quote(name()) + `,"street":` + quote(name()+" 5") + `,"city":"Leeds","postal_code":"LS1","country":"GB"},"click_ids":{"gclid":` + quote(mail()) + `},"partner_ids":{"maid":` + quote(e164()) + `}}`
	}
	purchase := func(id, properties string) string {
		return `{"id":` + quote(id) + `,"name":"purchase","properties":` + properties + `}`
	}

	// JSON: what is good, what its schema refuses, what is wrong, and bodies that break.
	good := `{"pixel_id":"px_1",` + consent + `,` + identity() + `,` + context() + `,"events":[` + purchase(mail(), properties()) + `,` +
		purchase("refused", `{"order_id":`+quote(mail())+`,"note":`+quote(mail())+`,"surname":`+quote(name())+`}`) + `,` +
		purchase("wrong", `{"value":"`+mail()+`","email":`+quote(mail())+`}`) + `]}`
	if code := send("POST", "/collect", good); code != 202 {
		t.Fatal("collect:", code)
	}
	partial := strings.Replace(`{"pixel_id":"px_1",`+consent+`,`+identity()+`,`+context()+`,"events":[`+purchase("partial", properties())+`]}`, `"1YNN"`, `"1YYN"`, 1)
	if code := send("POST", "/collect", partial); code != 202 {
		t.Fatal("collect, partial:", code)
	}
	send("POST", "/collect", `{"pixel_id":"px_1","identity":{"email":`+quote(mail())+`},"events":"`+mail()+`"}`)
	send("POST", "/collect", `{"pixel_id":"px_1","`+mail()+`":1`)
	// The image, by its parameters and with an envelope.
	q := url.Values{"pid": {"px_1"}, "e": {"purchase"}, "cid": {mail()}, "u": {"https://shop.example/?mail=" + mail() + "&tel=" + e164()}, "r": {"https://a.example/" + mail()},
		"gdpr": {"0"}, "us_privacy": {"1YNN"}, "v": {"5"}, "cur": {"USD"}, "oid": {mail()}, "p.email": {mail()}, "p.note": {"of " + mail()}, "p.surname": {name()}, "p.items": {`[{"item_id":"a"}]`}}
	send("GET", "/pixel.gif?"+q.Encode(), "")
	send("GET", "/pixel.gif?d="+url.QueryEscape(`{"pixel_id":"px_1",`+consent+`,`+identity()+`,`+context()+`,"events":[`+purchase("gif", properties())+`]}`), "")
	// Segment's API.
	segment := `{"writeKey":"px_1","batch":[{"type":"identify","anonymousId":` + quote(mail()) + `,"userId":` + quote(e164()) + `,"traits":{"email":` + quote(mail()) + `,"phone":` + quote(phone()) + `,"firstName":` + quote(name()) + `}},` +
		`{"type":"track","messageId":` + quote(mail()) + `,"userId":` + quote(mail()) + `,"event":"Order Completed","properties":` + properties() +
		`,"context":{"consent":{"gdpr_applies":false,"us_privacy":"1YNN"},"userAgent":` + quote("X ("+mail()+")") + `,"traits":{"email":` + quote(mail()) + `},"page":{"url":` + quote("https://shop.example/?email="+mail()) + `}}}]}`
	if code := send("POST", "/v1/batch", segment); code != 200 {
		t.Fatal("segment:", code)
	}
	// A change of consent.
	if code := send("POST", "/consent", `{"pixel_id":"px_1","anonymous_id":`+quote(mail())+`,"state":"none"}`, "Cookie", "miq_id="+mail()); code != 202 {
		t.Fatal("consent:", code)
	}

	// Until all that was accepted is stored.
	var stored []event.Event
	deadline := time.Now().Add(60 * time.Second)
	for len(stored) < 4 {
		page, err := j.events.Events(t.Context(), analytics.EventFilter{PixelID: "px_1", Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		if stored = page.Events; time.Now().After(deadline) {
			t.Fatalf("only %d events are stored", len(stored))
		}
		<-time.After(20 * time.Millisecond)
	}

	look := func(where string, text []byte) {
		lower := strings.ToLower(string(text))
		for _, m := range marks {
			if i := strings.Index(lower, strings.ToLower(m)); i >= 0 {
				t.Errorf("%s holds %s: …%.120q", where, m, text[max(0, i-60):min(len(text), i+60)])
			}
		}
	}
	for _, e := range stored {
		look("the stored event "+e.Name, []byte(quote(e)))
	}
	for r, err := range j.archive.Read(t.Context(), archive.Filter{PixelID: "px_1"}) {
		if err != nil {
			t.Fatal(err)
		}
		look("the archive", []byte(quote(r)))
	}
	letters, _, err := j.queues.Dead(t.Context(), queue.Validation, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	if len(letters) < 2 {
		t.Errorf("%d letters: what is refused leaves one", len(letters))
	}
	for _, l := range letters {
		look("a dead letter", append([]byte(l.Reason), event.AsJSON(l.Body)...))
	}
	for _, s := range j.spans.GetSpans() {
		text := s.Name + s.Status.Description
		for _, a := range s.Attributes {
			text += " " + string(a.Key) + "=" + a.Value.Emit()
		}
		for _, e := range s.Events {
			text += fmt.Sprint(e)
		}
		look("a span", []byte(text))
	}
	resp, err := http.Get("http://" + j.ops.Addr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if len(metrics) < 1000 {
		t.Error("no metrics")
	}
	look("the metrics", metrics)
	look("the log", []byte(j.logs.String()))
	disk := 0
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		disk += len(b)
		look("the file "+d.Name(), b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if disk < 10_000 {
		t.Errorf("only %d bytes on the disk", disk)
	}
	t.Logf("%d marks, none in %d events, %d letters, %d bytes on the disk", len(marks), len(stored), len(letters), disk)
}
