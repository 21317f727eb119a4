package admin

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestLiveEventsFollowWhatIsStored(t *testing.T) {
	b := open(t)
	must(t, b.store.WriteEvents(t.Context(), someEvent("e-before", time.Now())))
	r, err := http.NewRequest(get, b.server.URL+base+"/events/live?pixel_id=px_shop", nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(resp.Header)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Scan() // the first line says that we are watched for
	other := someEvent("e-other", time.Now())
	other.PixelID = "px_other"
	must(t, b.store.WriteEvents(t.Context(), other, someEvent("e-now", time.Now())))
	cursor := ""
	for lines.Scan() {
		if c, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			cursor = c
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			contains(t, data, `"id":"e-now"`, `"value":249.95`, `"path":"shop.example.com/checkout/thanks"`)
			break
		}
	}
	resp.Body.Close()
	must(t, b.store.WriteEvents(t.Context(), someEvent("e-later", time.Now())))
	r.Header.Set("Last-Event-ID", cursor)
	resp, err = http.DefaultClient.Do(r)
	must(t, err)
	defer resp.Body.Close()
	lines = bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			contains(t, data, `"id":"e-later"`)
			return
		}
	}
	t.Error("the stream that went on brought nothing")
}

func TestAStopEndsStreams(t *testing.T) {
	b := open(t)
	must(t, b.Start(t.Context()))
	r, err := http.NewRequest(get, "http://"+b.Addr()+base+"/events/live", nil)
	must(t, err)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(r)
	must(t, err)
	defer resp.Body.Close()
	began := time.Now()
	must(t, b.Stop(t.Context()))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}
