package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/cli"
)

// The operators' commands, on a running process whose embedded store nobody else
// could open.
func TestOperatorsCommands(t *testing.T) {
	p := start(t, t.TempDir())
	p.api("POST", "/pixels", map[string]any{"id": "px_ops", "name": "Ops", "enabled": true, "consent_mode": "implied", "country": "US",
		"routes": []map[string]any{{"partner": "ttd", "event": "purchase", "enabled": true, "params": map[string]any{"adv": "someadv", "tracker_id": "sometrk"}}},
	}, nil)
	p.api("PATCH", "/partners/ttd", map[string]any{"mode": "hold"}, nil)
	for i := range 5 {
		body := fmt.Sprintf(`{"pixel_id":"px_ops","identity":{"anonymous_id":"v"},"events":[{"id":"ops-%d","name":"purchase","properties":{"value":5,"currency":"GBP"}},{"name":"1st"}]}`, i)
		resp, err := http.Post(p.collector+"/collect", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
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
	var messages []struct {
		ID      string `json:"id"`
		EventID string `json:"event_id"`
	}
	p.eventually("the deliveries wait", func() error {
		if err := json.Unmarshal([]byte(run(0, "queue", "peek", "s2s:ttd", "--json")), &messages); err != nil {
			return err
		}
		if len(messages) != 5 {
			return fmt.Errorf("%d", len(messages))
		}
		return nil
	})
	says(run(0, "queue", "spill"), "no collector has a disk of its own")
	says(run(0, "queue", "list"), "QUEUE", "DEPTH", "OLDEST", "s2s:ttd", "ingest:high")
	says(run(0, "queue", "peek", "s2s:ttd", "--limit", "2", "--bodies"), "MESSAGE", "px_ops", "purchase", `"anonymous_id": "v"`)
	says(run(0, "queue", "skip", "s2s:ttd", messages[0].ID, "--reason", "looks odd", "--dry-run"), "Nothing was moved")
	says(run(0, "queue", "skip", "s2s:ttd", messages[0].ID, "--reason", "looks odd"), "Moved to the dead letters: 1 message.")
	says(run(0, "queue", "drain", "s2s:ttd", "--max", "2", "--reason", "too many"), "Moved to the dead letters: 2 messages.")
	says(run(0, "dlq", "list"), "BOX", "validation", "ttd")
	says(run(0, "dlq", "list", "ttd", "--contains", "ODD"), "skipped by")
	says(run(0, "dlq", "list", "ttd", "--pixel", "px_other"), "No such letter in ttd.")
	says(run(0, "dlq", "replay", "ttd", "--all", "--dry-run"), "3 would be replayed; nothing was done.")
	says(run(2, "dlq", "replay", "ttd", "--all", "--edit", "[]"), "--edit must be a JSON object")
	says(run(1, "dlq", "replay", "ttd", "--all", "--edit", `{"partner":"yahoo"}`), "edit")
	says(run(0, "dlq", "replay", "ttd", "--contains", "odd", "--edit", `{"event":{"order":{"currency":"EUR"}}}`), "1 replayed.")
	says(run(0, "dlq", "replay", "ttd", "--all", "--rate", "1"), "2 replayed.")
	says(run(0, "dlq", "replay", "validation", "--event", "1st"), "5 cannot be replayed")
	says(run(1, "dlq", "drop", "validation", "--all"), "nothing was done")
	says(run(0, "dlq", "drop", "validation", "--since", "1h", "--yes"), "5 deleted.")
	says(run(0, "queue", "drain", "s2s:ttd", "--delete", "--yes", "--reason", "a test"), "Deleted for good: 5 messages.")
	says(run(0, "queue", "peek", "s2s:ttd"), "s2s:ttd is empty")

	says(run(2, "dlq", "drop", "ttd"), "choose letters by id, by a filter, or with --all")
	says(run(2, "dlq", "drop", "ttd", "--until", "200000d", "--yes"), "--until must be a time")
	says(run(2, "dlq", "replay", "ttd"), "choose letters by id, by a filter, or with --all")
	says(run(2, "dlq", "list", "ttd", "--since", "yesterday"), "--since must be a time")
	says(run(1, "dlq", "list", "nobody"), "no such queue")
	says(run(1, "queue", "skip", "s2s:ttd", "1"), "say why")
	says(run(2, "queue", "peek"), "name a queue")
	var stderr bytes.Buffer
	if code := cli.Run([]string{"queue", "list", "--url", "http://127.0.0.1:1", "--token", "x"}, &stderr, &stderr); code != 1 {
		t.Errorf("exit %d", code)
	}
	says(stderr.String(), "no console answers at http://127.0.0.1:1", "pixel serve")
	if code := cli.Run([]string{"queue", "list", "--url", p.admin, "--token", "wrong"}, &stderr, &stderr); code != 1 {
		t.Errorf("exit %d", code)
	}
	says(stderr.String(), "is the token right?")
}
