package collector

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/miq/pixel/modules/event"
)

const segmentClients = "testdata/segment"

// installed skips a test where Segment's clients are not there.
func installed(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(segmentClients, "node_modules")); err != nil {
		t.Skip("SKIPPED: npm ci was not run in modules/collector/testdata/segment, so Segment's own clients are not tried")
	}
}

// bundled is one of the programs in testdata/segment, with Segment's own client as npm
// has it.
func bundled(t *testing.T, program string, flags ...string) string {
	t.Helper()
	installed(t)
	out := filepath.Join(t.TempDir(), strings.TrimSuffix(program, ".mjs")+".js")
	args := append([]string{"tool", "esbuild", "--bundle", "--log-level=error", "--outfile=" + out, filepath.Join(segmentClients, program)}, flags...)
	if said, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("bundle: %v\n%s", err, said)
	}
	return out
}

func byName(events []event.Event) map[string]event.Event {
	m := map[string]event.Event{}
	for _, e := range events {
		m[e.Name] = e
	}
	return m
}

func TestSegmentsClientForServers(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIPPED: no node on PATH, so Segment's own client for servers is not tried")
	}
	installed(t)
	f := newFixture(t)
	server := httptest.NewServer(f.echo)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, node, filepath.Join(segmentClients, "node.mjs"), server.URL, "px_gcm").CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Equal(t, `{"failed":[]}`, strings.TrimSpace(string(out)))

	events := f.everything()
	got := byName(events)
	require.Len(t, events, 4, "what has no consent is not kept")
	order := got["purchase"]
	assert.Equal(t, "order-message", order.ID)
	assert.Equal(t, "server", order.Source)
	assert.Equal(t, event.Full, order.Verdict.State)
	assert.Equal(t, "A-1", order.Order.ID)
	assert.Equal(t, event.Amount("99.5"), order.Order.Value)
	assert.Equal(t, []event.Item{{ID: "SKU1", Name: "Shoe", Price: "99.5", Quantity: "1"}}, order.Order.Items)
	assert.Equal(t, "203.0.113.7", order.Context.IP)
	assert.Contains(t, got, "identify")
	assert.Contains(t, got, "alias")
	assert.Equal(t, map[string]string{"gclid": "x"}, got["page_view"].Subject.ClickIDs)
}

func TestSegmentsClientForBrowsers(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("SKIPPED: no chromium on PATH, so Segment's own client for browsers is not tried")
	}
	script, err := os.ReadFile(bundled(t, "browser.mjs", "--minify", "--target=es2020"))
	require.NoError(t, err)
	for _, c := range []struct {
		name, pixel, consent string
		kept                 int
	}{
		{"everything allowed", "px_gcm", `{"Analytics":true,"Advertising":true}`, 4},
		{"refused", "px_gcm", `{"Analytics":false,"Advertising":false}`, 0},
		{"nothing said, where the site vouches for it", "px_demo", ``, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/shop":
					_, _ = w.Write([]byte(`<!doctype html><title>Shop</title><body><script src="/client.js"></script>`))
				case "/client.js":
					w.Header().Set("Content-Type", "text/javascript")
					_, _ = w.Write(script)
				default:
					f.echo.ServeHTTP(w, r)
				}
			}))
			defer server.Close()
			ctx, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
				chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU)...)
			defer cancel()
			ctx, cancel = chromedp.NewContext(ctx)
			defer cancel()
			require.NoError(t, chromedp.Do(ctx))
			ctx, cancel = context.WithTimeout(ctx, time.Minute)
			defer cancel()
			require.NoError(t, chromedp.Do(ctx,
				chromedp.Navigate(server.URL+"/shop?gclid=click&key="+c.pixel+"&consent="+strings.NewReplacer(`"`, "%22", "{", "%7B", "}", "%7D").Replace(c.consent)),
				chromedp.Poll[chromedp.Void](`document.title != "Shop"`)))
			title, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.title"))
			require.NoError(t, err)
			require.Equal(t, "sent", title)
			var events []event.Event
			for range 100 {
				// The client does not wait for its answers.
				if events = append(events, f.everything()...); len(events) >= c.kept {
					break
				}
				<-time.After(100 * time.Millisecond)
			}
			if c.kept == 0 {
				assert.Empty(t, events)
				return
			}
			got := byName(events)
			require.Len(t, got, c.kept)
			order := got["purchase"]
			assert.Equal(t, "segment", order.Source)
			assert.Equal(t, event.Amount("99.5"), order.Order.Value)
			assert.Equal(t, []event.Item{{ID: "SKU1", Name: "Shoe", Price: "99.5", Quantity: "1"}}, order.Order.Items)
			assert.Contains(t, order.Context.UserAgent, "Chrome")
			assert.Equal(t, "127.0.0.1", order.Context.IP)
			assert.Equal(t, "click", order.Subject.ClickIDs["gclid"])
			assert.Len(t, got["identify"].Subject.Email, 64)
			assert.Equal(t, got["identify"].Subject.UserID, order.Subject.UserID)
			assert.Equal(t, order.Subject.AnonymousID, got["page_view"].Subject.AnonymousID)
			assert.Contains(t, got, "video_playback_started")
			assert.Contains(t, got, "identify")
		})
	}
}
