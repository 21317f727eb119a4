package admin

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/erasure"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/purge"
)

// shelf is an archive that nothing was put into.
type shelf struct{ archive.Upkeep }

func (shelf) Rewrite(context.Context, archive.Filter, func(*event.Event) bool) (int, error) {
	return 0, nil
}

// erase carries out what was asked for.
func (b *bench) erase() {
	b.t.Helper()
	must(b.t, b.look())
}

func (b *bench) look() error {
	r := erasure.NewRunner(b.o.Erasures, erasure.Stores{
		Queues: &purge.Sweeper{Queues: b.queue, Keys: b.state, Syncs: b.store, Now: time.Now}, Keys: b.state, Consent: b.o.Book, Receipts: b.store,
		Archive: shelf{}, Finder: b.o.Finder, Erase: b.store,
	}, b.o.Log)
	return r.Look(b.t.Context())
}

// seedErasures erases somebody, and leaves another to wait.
func seedErasures(t *testing.T, b *bench) {
	t.Helper()
	for _, id := range []erasure.Identifier{{Kind: "visitor_id", Value: "somebody-else"}, {Kind: "order_id", Value: "A-10001"}} {
		_, err := b.o.Erasures.Ask(t.Context(), "px_shop", "privacy@fell-fleet.example", "DSR-2026-117", id)
		must(t, err)
		if id.Kind == "order_id" {
			b.erase()
		}
	}
	_, err := b.o.Erasures.Ask(t.Context(), "", "privacy@fell-fleet.example", "", erasure.Identifier{Kind: "email", Value: "a@example.com"})
	must(t, err)
}

// at is a path with the newest erasure that ended filled in.
func (b *bench) at(path string) string {
	// What is looked for is sealed: {visitor:visitor-1}.
	if before, rest, ok := strings.Cut(path, "find={"); ok {
		of, after, _ := strings.Cut(rest, "}")
		kind, value, _ := strings.Cut(of, ":")
		handle := b.seal(sought{Words: value})
		if kind != "words" {
			handle = b.handle(kind, value)
		}
		return before + "find=" + handle + after
	}
	if !strings.Contains(path, "{newest}") {
		return path
	}
	all, err := b.o.Erasures.List(b.t.Context())
	must(b.t, err)
	for _, r := range all {
		if r.Certificate != nil {
			return strings.ReplaceAll(path, "{newest}", r.ID)
		}
	}
	return path
}

// TestAnErasureThatCannotBeBegunKeepsNobodyElseWaiting, such as one that was sealed with
// a key that is gone.
func TestAnErasureThatCannotBeBegunKeepsNobodyElseWaiting(t *testing.T) {
	b := open(t)
	broken, err := b.o.Erasures.Ask(t.Context(), "px_shop", "ada", "", erasure.Identifier{Kind: "user_id", Value: "one"})
	must(t, err)
	docs, _, err := b.state.List(t.Context(), "erasures")
	must(t, err)
	docs[0].Body = []byte(strings.Replace(string(docs[0].Body), `"sealed":"`, `"sealed":"AAAA`, 1))
	_, err = b.state.Put(t.Context(), "erasures", docs[0])
	must(t, err)
	whole, err := b.o.Erasures.Ask(t.Context(), "px_shop", "ada", "", erasure.Identifier{Kind: "user_id", Value: "two"})
	must(t, err)
	if err := b.look(); err == nil || !strings.Contains(err.Error(), broken.ID) {
		t.Errorf("the runner says %v", err)
	}
	for id, want := range map[string]erasure.State{broken.ID: erasure.Waiting, whole.ID: erasure.Done} {
		if r, err := b.o.Erasures.Get(t.Context(), id); err != nil || r.State != want {
			t.Errorf("%s: %+v, %v", want, r, err)
		}
	}
}

func TestAPersonIsErasedByFormAndByCall(t *testing.T) {
	b := open(t)
	now := time.Now().Add(-time.Hour)
	ask[map[string]any](b, "POST", "/api/v1/pixels", map[string]any{"id": "px_shop", "name": "Shop", "consent_mode": "cmp"}, http.StatusCreated)
	one, other := someEvent("e-1", now), someEvent("e-2", now)
	one.Subject.AnonymousID, one.Subject.VisitorID = "visitor-1", "visitor-1"
	must(t, b.store.WriteEvents(t.Context(), one, other))

	w := b.as(Administrator)
	contains(t, w.get("/privacy/erasures").body, "Nobody was erased yet")
	form := url.Values{"kind": {"visitor_id"}, "value": {"visitor-1"}, "pixel_id": {"px_shop"}, "note": {"ticket <b>7</b>"}}
	shown := w.post("/privacy/erasures", form)
	contains(t, shown.body, "1 stored event", "It cannot be undone", `name="confirm"`, "ticket &lt;b&gt;7&lt;/b&gt;")
	if all, err := b.o.Erasures.List(t.Context()); err != nil || len(all) != 0 {
		t.Fatalf("to look began %d erasures, %v", len(all), err)
	}
	bad := w.post("/privacy/erasures", url.Values{"kind": {"email"}, "value": {"no address"}})
	contains(t, bad.body, "value is no e-mail address")
	if bad.status != http.StatusUnprocessableEntity {
		t.Errorf("a bad form: %d", bad.status)
	}
	form.Set("confirm", "yes")
	begun := w.post("/privacy/erasures", form)
	at := begun.header.Get("Location")
	if begun.status != http.StatusSeeOther || !strings.HasPrefix(at, "/privacy/erasures/er_") {
		t.Fatalf("%d to %q", begun.status, at)
	}
	contains(t, w.get(at).body, "It begins within seconds")
	id := strings.TrimPrefix(at, "/privacy/erasures/")
	if got := b.call(adminToken, "GET", "/api/v1/erasures/"+id+"/certificate", nil); got.status != http.StatusNotFound || !strings.Contains(got.body, "not_finished") {
		t.Errorf("before its end: %d %s", got.status, got.body)
	}
	b.erase()
	contains(t, w.get(at).body, "Certificate", "intact", "Signature")
	contains(t, w.get("/privacy/erasures").body, "erased")
	cert := ask[certificateView](b, "GET", "/api/v1/erasures/"+id+"/certificate", nil, http.StatusOK)
	if c := cert.Certificate; c == nil || c.Erased["analytics"]["events"] != 1 || len(cert.Problems) != 0 || strings.Contains(b.call(adminToken, "GET", "/api/v1/erasures/"+id, nil).body, "visitor-1") {
		t.Errorf("%+v", cert)
	}

	// By calls: a look, and then the other one by an order's id.
	in := map[string]any{"identifiers": []erasure.Identifier{{Kind: "order_id", Value: other.Order.ID}}, "dry_run": true}
	if p := ask[erasure.Preview](b, "POST", "/api/v1/erasures", in, http.StatusOK); p.Stored.Events != 1 {
		t.Errorf("%+v", p)
	}
	delete(in, "dry_run")
	r := ask[erasure.Request](b, "POST", "/api/v1/erasures", in, http.StatusAccepted)
	b.erase()
	if got := ask[erasure.Request](b, "GET", "/api/v1/erasures/"+r.ID, nil, http.StatusOK); got.State != erasure.Done || got.Certificate.Prev != cert.Certificate.Hash {
		t.Errorf("%+v", got)
	}
	if page := ask[page[erasure.Request]](b, "GET", "/api/v1/erasures?limit=1", nil, http.StatusOK); len(page.Items) != 1 || page.Next == "" {
		t.Errorf("%+v", page)
	}
	for _, in := range []map[string]any{{}, {"identifiers": []erasure.Identifier{{Kind: "name", Value: "x"}}}, {"pixel_id": "nothing", "identifiers": []erasure.Identifier{{Kind: "user_id", Value: "x"}}}} {
		if got := b.call(adminToken, "POST", "/api/v1/erasures", in); got.status < 400 || got.status > 422 || !strings.Contains(got.body, "errors") {
			t.Errorf("%v: %d %s", in, got.status, got.body)
		}
	}
}
