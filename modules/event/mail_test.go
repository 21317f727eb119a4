package event

import (
	"net/url"
	"testing"
)

// FuzzWithoutMail looks for a text that is passed over, and that the expression would
// have changed.
func FuzzWithoutMail(f *testing.F) {
	for _, c := range addresses {
		f.Add(c.from)
	}
	f.Add("shoe@2x.png 40% of jane%252540example.com")
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := withoutMail(s), withoutMatches(s); got != want {
			t.Errorf("%q is %q, want %q", s, got, want)
		}
	})
}

func TestEmailAddressesAreTakenOutOfPages(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"none":                 {"https://shop.test/a?utm_source=x&n=40", "https://shop.test/a?utm_source=x&n=40"},
		"empty":                {"", ""},
		"in the query":         {"https://shop.test/ok?email=Jane.Doe+x@mail.example.co.uk&utm_source=x", "https://shop.test/ok?email=(removed)&utm_source=x"},
		"escaped":              {"https://shop.test/ok?e=jane%40example.com#top", "https://shop.test/ok?e=(removed)#top"},
		"escaped twice":        {"https://shop.test/ok?e=jane%2540example.com", "https://shop.test/ok?e=(removed)"},
		"in the path":          {"https://shop.test/u/jane@example.com/orders", "https://shop.test/u/(removed)/orders"},
		"in the fragment":      {"https://shop.test/#jane@example.com", "https://shop.test/#(removed)"},
		"twice":                {"/?a=j@x.io&b=k@x.io", "/?a=(removed)&b=(removed)"},
		"in a title":           {"Inbox (3) – jane@example.com", "Inbox (3) – (removed)"},
		"in another script":    {"/?e=жанна@пример.рф", "/?e=(removed)"},
		"a handle is no mail":  {"https://social.test/@jane/post", "https://social.test/@jane/post"},
		"a version is no mail": {"https://cdn.test/lib@1.2.3/x.js", "https://cdn.test/lib@1.2.3/x.js"},
	} {
		t.Run(name, func(t *testing.T) {
			env := Envelope{PixelID: "px", Context: Context{Page: Page{URL: c.in, Referrer: c.in, Title: c.in}}}
			if err := env.Check(); err != nil {
				t.Fatal(err)
			}
			if want := (Page{URL: c.want, Referrer: c.want, Title: c.want}); env.Context.Page != want {
				t.Errorf("%+v", env.Context.Page)
			}
			if _, err := url.Parse(env.Context.Page.URL); err != nil {
				t.Error(err)
			}
		})
	}
}
