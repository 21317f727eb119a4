package cli_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/cli"
)

// A running process, from a purchase at its door to what a replay of the archive
// and a rehearsal of another route come to.
func TestTheArchiveIsReplayedAndAChangeRehearsed(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	route := func(tracker string) map[string]any {
		return map[string]any{"routes": []map[string]any{{"partner": "ttd", "event": "purchase", "enabled": true, "params": map[string]any{"adv": "someadv", "tracker_id": tracker}}}}
	}
	pixel := route("sometrk")
	for k, v := range map[string]any{"id": "px_ops", "name": "Ops", "enabled": true, "consent_mode": "implied", "country": "US"} {
		pixel[k] = v
	}
	p.api("POST", "/pixels", pixel, nil)
	p.api("PATCH", "/partners/ttd", map[string]any{"mode": "hold"}, nil)
	for i := range 5 {
		body := fmt.Sprintf(`{"pixel_id":"px_ops","identity":{"anonymous_id":"v%d"},"events":[{"id":"ops-%d","name":"purchase","properties":{"value":5,"currency":"GBP","order_id":"o%d"}}]}`, i, i, i)
		resp, err := http.Post(p.collector+"/collect", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	p.eventually("the events are stored", func() error {
		var page struct {
			Items []struct{} `json:"items"`
		}
		p.api("GET", "/events", nil, &page)
		if len(page.Items) != 5 {
			return fmt.Errorf("%d", len(page.Items))
		}
		return nil
	})
	run := func(code int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if got := cli.Run(append(args, "--url", p.admin, "--token", token), &stdout, &stderr); got != code {
			t.Fatalf("%v: exit %d, want %d\n%s%s", args, got, code, stdout.String(), stderr.String())
		}
		return stdout.String() + stderr.String()
	}
	says := func(text string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("lacks %q:\n%s", part, text)
			}
		}
	}
	says(run(0, "backfill", "--storage", "--pixel", "px_ops"), "done; 5 events read, 5 stored")
	says(run(0, "backfill", "--partner", "ttd", "--event", "purchase", "--event", "refund"), "5 of them chosen, 5 to ttd")
	change := filepath.Join(dir, "change.json")
	if err := os.WriteFile(change, []byte(`{"routes":[{"partner":"ttd","event":"purchase","enabled":true,"params":{"adv":"someadv","tracker_id":"other"}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	says(run(0, "backfill", "--pixel", "px_ops", "--rehearse", change), "5 events went through both", "ttd: 5 events before, 5 after; 5 requests differ", "worth in GBP", "25.00", "tracker_id", `"sometrk"`, `"other"`)
	says(run(0, "backfill", "list"), "BACKFILL", "storage", "a rehearsal of px_ops", "done")
	says(run(2, "backfill"), "--storage")
	says(run(2, "backfill", "--rehearse", change, "--storage"), "sends nothing")
	says(run(2, "backfill", "--storage", "--since", "yesterday"), "--since")
	says(run(1, "backfill", "show", "none"), "no such backfill")
	files, err := filepath.Glob(filepath.Join(dir, "archive", "pixel=px_ops", "date=*", "hour=*", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Errorf("the archive has the files %q, %v", files, err)
	}
}
