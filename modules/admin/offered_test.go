package admin

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// lead is somewhere that a page leads to: a link, a form, or a part that asks by itself.
type lead struct{ method, to string }

// ways are those of a page, as whoever looks at it can take them.
func ways(t *testing.T, body string) []lead {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	must(t, err)
	var out []lead
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		_, disabled := attr["disabled"]
		switch {
		case n.Data == "a" && attr["href"] != "":
			out = append(out, lead{"GET", attr["href"]})
		case n.Data == "form" && attr["action"] != "":
			out = append(out, lead{strings.ToUpper(attr["method"]), attr["action"]})
		case n.Data == "button" && attr["formaction"] != "" && !disabled:
			out = append(out, lead{"POST", attr["formaction"]})
		}
		if to := attr["hx-get"]; to != "" {
			out = append(out, lead{"GET", to})
		}
		if to := attr["hx-post"]; to != "" {
			out = append(out, lead{"POST", to})
		}
	}
	return out
}

// No page offers anybody what they would be refused, nor a link that leads nowhere.
func TestNobodyIsOfferedWhatTheyWouldBeRefused(t *testing.T) {
	b := open(t, allPartners)
	seed(t, b, time.Now())
	seedProof(t, b, time.Now())
	seedBackfills(t, b, time.Now())
	seedErasures(t, b)
	routes := classified(t)
	us, err := b.people.add(t.Context(), user{Login: "us@example.com", Role: Marketer, Advertisers: []string{"Fell & Fleet Inc."}})
	must(t, err)
	secret, err := b.links.make(t.Context(), signIn, us.ID)
	must(t, err)
	confined := b.browser()
	confined.get("/welcome?token=" + secret)
	for _, who := range []struct {
		name string
		role Role
		*browser
	}{{"a viewer", Viewer, b.as(Viewer)}, {"a marketer", Marketer, b.as(Marketer)}, {"an admin", Administrator, b.as(Administrator)}, {"a marketer of another advertiser", Marketer, confined}} {
		followed, like := map[string]bool{}, map[string]int{}
		for _, p := range everyPage {
			page := who.get(b.at(p.path))
			for _, way := range ways(t, page.body) {
				u, err := url.Parse(way.to)
				if err != nil {
					t.Errorf("%s is led from %s to %q: %v", who.name, p.path, way.to, err)
					continue
				}
				if u.Host != "" || u.Path == "" { // another site, or a part of this page
					continue
				}
				if need := needOf(routes, way.method, u.Path); need != public && !who.role.Allows(need) {
					t.Errorf("%s is offered %s %s on %s, which needs %s", who.name, way.method, way.to, p.path, need)
					continue
				}
				// A few of each kind are followed.
				kind := p.name + " " + strings.Join(strings.Split(u.Path, "/")[:2], "/")
				if way.method != "GET" || followed[way.to] || like[kind] >= 3 || strings.HasSuffix(u.Path, "/connect") {
					continue
				}
				followed[way.to] = true
				like[kind]++
				u.Fragment = ""
				if id, ok := strings.CutPrefix(u.Path, "/events/"); ok {
					if _, err := b.store.Event(t.Context(), "", id); err != nil {
						continue // what seeds name need not be stored
					}
				}
				if got := who.get(u.String()); got.status >= 400 {
					t.Errorf("%s follows %s on %s: %d", who.name, way.to, p.path, got.status)
				}
			}
		}
		if len(followed) < 50 {
			t.Errorf("%s follows %d links only", who.name, len(followed))
		}
	}
}
