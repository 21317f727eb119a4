package settings

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

func documents(t *testing.T) state.Documents {
	t.Helper()
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	docs, err := sqlitestate.New(db)
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// replica is a running store on shared documents.
func replica(t *testing.T, docs state.Documents) *Store {
	t.Helper()
	box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	s := New(docs, box, slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func shop(id string) Pixel {
	return Pixel{ID: id, Name: "Shop", Enabled: true, ConsentMode: CMP}
}

func TestAChangeReachesAnotherReplicaByItself(t *testing.T) {
	docs := documents(t)
	here, there := replica(t, docs), replica(t, docs)
	saved, err := here.SavePixel(t.Context(), shop("px_1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := here.Pixel("px_1"); !ok {
		t.Error("the replica that saved it does not see it at once")
	}
	seen := func() bool { p, ok := there.Pixel("px_1"); return ok && p.Revision == saved.Revision }
	deadline := time.Now().Add(5 * refresh)
	for !seen() && time.Now().Before(deadline) {
		<-time.After(refresh / 10)
	}
	if !seen() {
		t.Errorf("the other replica does not see it within %v", 5*refresh)
	}
}

func TestTwoPeopleCannotOverwriteEachOther(t *testing.T) {
	s := replica(t, documents(t))
	first, err := s.SavePixel(t.Context(), shop("px_1"))
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := first, first
	mine.Name, theirs.Name = "Mine", "Theirs"
	if _, err := s.SavePixel(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SavePixel(t.Context(), mine); !errors.Is(err, state.ErrConflict) {
		t.Errorf("err = %v, want ErrConflict", err)
	}
	if p, _ := s.Pixel("px_1"); p.Name != "Theirs" {
		t.Errorf("name = %q", p.Name)
	}
	if _, err := s.SavePixel(t.Context(), shop("px_1")); !errors.Is(err, state.ErrConflict) {
		t.Errorf("a new pixel of a taken id: err = %v, want ErrConflict", err)
	}
}

func TestSettingsSurviveAndRemovedPixelsAreGone(t *testing.T) {
	docs := documents(t)
	s := replica(t, docs)
	p := shop("px_1")
	p.Routes = []Route{{Partner: "ttd", Event: "purchase", Enabled: true, Params: jsontext.Value(`{"adv":"a1"}`)}}
	if _, err := s.SavePixel(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SavePixel(t.Context(), shop("px_2")); err != nil {
		t.Fatal(err)
	}
	if err := s.RemovePixel(t.Context(), "px_2"); err != nil {
		t.Fatal(err)
	}
	again := replica(t, docs)
	if list := again.Pixels(); len(list) != 1 || list[0].ID != "px_1" || string(list[0].Routes[0].Params) != `{"adv":"a1"}` {
		t.Errorf("pixels = %+v", list)
	}
}

func TestCredentialsAreSealedAndOnlyOpenForTheirPartner(t *testing.T) {
	s := replica(t, documents(t))
	p := s.Partner("amazon")
	if p.Mode != On {
		t.Errorf("a partner that nobody touched is %s, want on", p.Mode)
	}
	if c, err := s.Credentials(p, ""); err != nil || len(c) != 0 {
		t.Errorf("no credentials: %v, %v", c, err)
	}
	if err := s.SealCredentials(&p, "", map[string]string{"refresh_token": "Atzr|secret"}); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(p.Sealed, []byte("secret")) {
		t.Error("the sealed credentials can be read")
	}
	if _, err := s.SavePartner(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if c, err := s.Credentials(s.Partner("amazon"), ""); err != nil || c["refresh_token"] != "Atzr|secret" {
		t.Errorf("credentials = %v, %v", c, err)
	}
	p.Name = "ttd"
	if _, err := s.Credentials(p, ""); !errors.Is(err, secret.ErrOpen) {
		t.Errorf("another partner opened them: %v", err)
	}
}

func TestEveryWrongFieldOfAPixelIsNamed(t *testing.T) {
	p := Pixel{
		ID: "../x", ConsentMode: "maybe", Domains: []string{"https://shop.example.com/"}, Country: "UKX",
		PrivacyURL: "javascript:alert(1)", Routes: []Route{{Event: "no good"}},
	}
	p.Consent.Default = "some"
	err := p.Validate()
	var bad Invalid
	if !errors.As(err, &bad) {
		t.Fatalf("err = %v", err)
	}
	for _, field := range []string{"id", "consent_mode", "domains[0]", "country", "privacy_url", "consent.default", "routes[0].partner", "routes[0].event"} {
		if !strings.Contains(err.Error(), field+" ") {
			t.Errorf("%s is not named in: %v", field, err)
		}
	}
	if err := (Partner{Name: "ttd", Mode: "maybe"}).Validate(); err == nil {
		t.Error("a wrong mode was taken")
	}
}

func TestAPixelIsUsedOnItsDomainsAndBelow(t *testing.T) {
	p := shop("px_1")
	p.Domains = []string{"example.com"}
	for host, want := range map[string]bool{"example.com": true, "Shop.Example.com.": true, "notexample.com": false, "example.com.evil.test": false, "": false} {
		if p.Allows(host) != want {
			t.Errorf("Allows(%q) = %v", host, !want)
		}
	}
	p.Domains = nil
	if !p.Allows("anything.test") {
		t.Error("a pixel without domains is refused somewhere")
	}
}

func TestCredentialsAreSealedAgainWhenTheKeyWasReplaced(t *testing.T) {
	docs := documents(t)
	first, second := bytes.Repeat([]byte{7}, secret.KeySize), bytes.Repeat([]byte{8}, secret.KeySize)
	before := replica(t, docs)
	p := Partner{Name: "amazon", Mode: On}
	if err := before.SealCredentials(&p, "", map[string]string{"client_id": "c-1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := before.SavePartner(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	start := func(key []byte, old ...[]byte) *Store {
		box, err := secret.New(key, old...)
		if err != nil {
			t.Fatal(err)
		}
		s := New(docs, box, slog.New(slog.DiscardHandler))
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Stop)
		return s
	}
	start(second, first)
	// Now the old key may go.
	after := start(second)
	c, err := after.Credentials(after.Partner("amazon"), "")
	if err != nil || c["client_id"] != "c-1" {
		t.Errorf("%v, %v", c, err)
	}
}

func TestAChangeHasAReceiptFromEveryReplica(t *testing.T) {
	docs := documents(t)
	keys := docs.(state.Keys)
	here, there := replica(t, docs), replica(t, docs)
	for name, s := range map[string]*Store{"here": here, "there": there} {
		a := s.Announcer(keys, Process{Instance: name, Roles: "all"}, slog.New(slog.DiscardHandler))
		a.Start()
		t.Cleanup(func() { a.Stop(context.Background()) })
	}
	saved, err := here.SavePartner(t.Context(), Partner{Name: "ttd", Mode: Hold})
	if err != nil {
		t.Fatal(err)
	}
	changed := time.Now()
	for {
		all, err := Receipts(t.Context(), keys)
		if err != nil {
			t.Fatal(err)
		}
		applied := 0
		for _, r := range all {
			if a := r.Partners["ttd"]; a.Revision == saved.Revision && !a.At.IsZero() {
				applied++
			}
		}
		if applied == 2 {
			break
		}
		if time.Since(changed) > 10*time.Second {
			t.Fatalf("receipts: %+v", all)
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Logf("both have it %s after the change", time.Since(changed).Round(time.Millisecond))
}
