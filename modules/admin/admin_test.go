package admin

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/analytics/sqliteanalytics"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/contracttest"
	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/partner/amazon"
	"github.com/miq/pixel/modules/partner/ttd"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/queue/sqlitequeue"
	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

// bench is a console on embedded stores, with what a test needs to fill them.
type bench struct {
	*Admin
	t      *testing.T
	server *httptest.Server
	store  *sqliteanalytics.Store
	queue  *sqlitequeue.Queue
	state  *sqlitestate.Store
	out    *bytes.Buffer
}

const adminToken = "bootstrap-token-of-the-tests"

// open makes a console; change edits its options before.
func open(t *testing.T, change ...func(*Options)) *bench {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	file := func(name string) *sqlitedb.DB {
		path := filepath.Join(dir, name)
		if kept := os.Getenv("PIXEL_PAGES_STORE"); kept != "" && name == "analytics.db" {
			path = kept // see TestThePagesWithAFullStore
		}
		db, err := sqlitedb.Open(path)
		must(t, err)
		t.Cleanup(func() { db.Close() })
		return db
	}
	b := &bench{t: t, out: &bytes.Buffer{}}
	var err error
	b.state, err = sqlitestate.New(file("state.db"))
	must(t, err)
	b.queue, err = sqlitequeue.New(file("queue.db"), queue.Options{Lease: time.Minute, MaxDeliveries: 3, Wait: time.Millisecond})
	must(t, err)
	b.store, err = sqliteanalytics.New(file("analytics.db"))
	must(t, err)
	t.Cleanup(func() { b.queue.Close(); b.state.Close() })
	box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
	must(t, err)
	s := settings.New(b.state, box, log)
	must(t, s.Start(t.Context()))
	t.Cleanup(s.Stop)
	keeper, err := ledger.NewKeeper(b.queue, b.queue, b.store, b.store, log, nil, time.Now)
	must(t, err)
	o := Options{
		Config:    config.Admin{Addr: "127.0.0.1:0", Token: adminToken},
		Collector: config.Collector{PublicURL: "https://px.example.com"},
		Settings:  s, Box: box, State: b.state, Events: b.store, Receipts: b.store, Credits: b.store, History: b.store, People: identity.New(b.state, b.store, identity.Usual, nil), Book: consent.NewBook(b.state, consent.New(consent.Options{}), []byte("seal")), Decider: consent.New(consent.Options{}), Queues: b.queue, Push: b.queue.Push, Ledger: keeper,
		Adapters: []partner.Adapter{ttd.New(), amazon.New()},
		Log:      log, Out: b.out,
	}
	o.Erasures, o.Eraser = erasure.NewBook(b.state, box, time.Now), b.store
	o.Finder = erasure.Finder{Whose: o.People, Events: b.store, Pixels: func() []string { return []string{"px_shop"} }}
	for _, f := range change {
		f(&o)
	}
	b.Admin, err = New(o)
	must(t, err)
	b.patience = time.Minute // the machine may be busy
	b.server = httptest.NewServer(contracttest.Read(t, openapi).Handler(b.Handler()))
	t.Cleanup(b.server.Close)
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// browser is somebody with a cookie jar, who is not sent on by redirects.
type browser struct {
	b      *bench
	client *http.Client
}

func (b *bench) browser() *browser {
	jar, err := cookiejar.New(nil)
	must(b.t, err)
	return &browser{b, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

func (w *browser) do(r *http.Request) answer {
	w.b.t.Helper()
	resp, err := w.client.Do(r)
	must(w.b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(w.b.t, err)
	// Where a name may be broken is no part of it.
	return answer{resp.StatusCode, resp.Header, strings.ReplaceAll(string(body), "<wbr>", "")}
}

func (w *browser) get(path string) answer {
	r, err := http.NewRequest(http.MethodGet, w.b.server.URL+path, nil)
	must(w.b.t, err)
	r.Header.Set("Accept", "text/html")
	return w.do(r)
}

func (w *browser) post(path string, form url.Values) answer {
	r, err := http.NewRequest(http.MethodPost, w.b.server.URL+path, strings.NewReader(form.Encode()))
	must(w.b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return w.do(r)
}

// as is a browser signed in with a role.
func (b *bench) as(role Role) *browser {
	b.t.Helper()
	u, err := b.people.add(b.t.Context(), user{Login: string(role) + "@example.com", Role: role})
	must(b.t, err)
	secret, err := b.links.make(b.t.Context(), signIn, u.ID)
	must(b.t, err)
	w := b.browser()
	if got := w.get("/welcome?token=" + secret); got.status != http.StatusSeeOther {
		b.t.Fatalf("sign in: %d %s", got.status, got.body)
	}
	return w
}

// call asks the API with a token; body may be nil, text or anything for JSON.
func (b *bench) call(token, method, path string, body any) answer {
	b.t.Helper()
	var reader io.Reader
	switch v := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(v)
	default:
		raw, err := json.Marshal(v)
		must(b.t, err)
		reader = bytes.NewReader(raw)
	}
	r, err := http.NewRequest(method, b.server.URL+path, reader)
	must(b.t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return b.browser().do(r)
}

// ask is call as the administrator, with the answer decoded.
func ask[T any](b *bench, method, path string, body any, status int) T {
	b.t.Helper()
	got := b.call(adminToken, method, path, body)
	var v T
	if got.status != status {
		b.t.Fatalf("%s %s: %d, not %d: %s", method, path, got.status, status, got.body)
	}
	if got.body != "" {
		if err := json.Unmarshal([]byte(got.body), &v); err != nil {
			b.t.Fatalf("%s %s: %v in %s", method, path, err, got.body)
		}
	}
	return v
}

func contains(t *testing.T, body string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(body, p) {
			t.Errorf("lacks %q in:\n%s", p, body)
		}
	}
}
