package admin

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// attributes are those that hold an address.
var attributes = regexp.MustCompile(`(?:href|src|action|formaction|data-[a-z-]+|hx-[a-z-]+)="([^"]*)"`)

// Addresses stay in histories, bookmarks and the logs of proxies: every page is visited,
// and none may lead to an address that says whom or what order it is about.
func TestNoAddressNamesAPerson(t *testing.T) {
	b := open(t, allPartners)
	seed(t, b, time.Now())
	seedProof(t, b, time.Now())
	seedBackfills(t, b, time.Now())
	seedErasures(t, b)
	again := someEvent("0193f2bb-again", time.Now().UTC())
	must(t, b.store.WriteEvents(t.Context(), again)) // an order that came twice
	marked := []string{"visitor-1", "customer-", "till-2-high", again.Subject.VisitorID, again.Order.ID, again.Subject.Email[:12], "fe11f1ee7"}
	named := func(where, address string) {
		t.Helper()
		plain, err := url.QueryUnescape(html.UnescapeString(address))
		if err != nil {
			plain = address
		}
		for _, m := range marked {
			if strings.Contains(plain, m) {
				t.Errorf("%s has the address %.200s, which names %s", where, plain, m)
			}
		}
	}
	w := b.as(Administrator)
	found := 0
	for _, p := range everyPage {
		got := w.get(b.at(p.path))
		for _, m := range marked {
			if strings.Contains(got.body, m) {
				found++
			}
		}
		for _, a := range attributes.FindAllStringSubmatch(got.body, -1) {
			named(p.name, a[1])
		}
	}
	if found < 10 {
		t.Errorf("the pages show what is marked %d times only, so that little was tried", found)
	}
	for _, f := range []struct {
		path string
		form url.Values
	}{
		{"/events", url.Values{"q": {again.Subject.VisitorID}, "pixel_id": {"px_shop"}}}, {"/events", url.Values{"q": {again.Order.ID}}},
		{"/identities", url.Values{"name": {"customer-5"}, "pixel_id": {"px_shop"}}}, {"/privacy/receipts", url.Values{"visitor_id": {"visitor-1"}}},
	} {
		got := w.post(f.path, f.form)
		to := got.header.Get("Location")
		if got.status != http.StatusSeeOther || !strings.Contains(to, "find=") {
			t.Errorf("%s: %d, to %q", f.path, got.status, to)
			continue
		}
		named(f.path, to)
		page := w.get(to)
		if page.status != http.StatusOK {
			t.Errorf("%s: %d", to, page.status)
		}
		for _, a := range attributes.FindAllStringSubmatch(page.body, -1) {
			named(to, a[1])
		}
	}
}

func TestASearchInAnAddressIsOpaqueAndEnds(t *testing.T) {
	now := time.Now()
	b := open(t, func(o *Options) { o.Now = func() time.Time { return now } })
	b.shop()
	must(t, b.store.WriteEvents(t.Context(), someEvent("e-1", now.Add(-time.Minute).UTC())))
	w := b.as(Administrator)
	to := w.post("/events", url.Values{"q": {"A-10482"}}).header.Get("Location")
	page := w.get(to)
	contains(t, page.body, "e-1", `value="A-10482"`)
	file := regexp.MustCompile(`href="(/api/v1/events[^"]*format=csv)"`).FindStringSubmatch(page.body)
	if file == nil {
		t.Fatal("what was found cannot be had as a file")
	}
	if got := w.get(html.UnescapeString(file[1])); got.status != http.StatusOK || !strings.Contains(got.body, "A-10482") {
		t.Errorf("the file: %d %.200s", got.status, got.body)
	}
	for _, broken := range []string{to + "x", strings.Replace(to, "find=", "find=AAAA", 1), "/events?find=%21"} {
		if got := w.get(broken); got.status != http.StatusBadRequest || !strings.Contains(got.body, "search again") || strings.Contains(got.body, "/events/e-1") {
			t.Errorf("%s: %d", broken, got.status)
		}
	}
	now = now.Add(25 * time.Hour)
	u, err := b.people.add(t.Context(), user{Login: "next-day@example.com", Role: Administrator})
	must(t, err)
	secret, err := b.links.make(t.Context(), signIn, u.ID)
	must(t, err)
	w.get("/welcome?token=" + secret)
	for _, path := range []string{to, strings.Replace(to, "/events", "/identities", 1), strings.Replace(to, "/events", "/privacy/receipts", 1)} {
		if got := w.get(path); got.status/100 != 4 || !strings.Contains(strings.ToLower(got.body), "search again") {
			t.Errorf("after a day, %.30s: %d", path, got.status)
		}
	}
	if got := w.get(strings.Replace(to, "/events", "/privacy/receipts/export", 1)); got.status != http.StatusNotFound {
		t.Errorf("its export after a day: %d", got.status)
	}
}
