package identity_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
)

func sha(s string) string {
	if s == "" {
		return ""
	}
	b := sha256.Sum256([]byte(s))
	return hex.EncodeToString(b[:])
}

func TestDigestsOfTheWorkedExample(t *testing.T) {
	// The request in Amazon's page shows these two for one person.
	s := identity.Digest(event.Identity{Email: " Buyer@Example.com ", Phone: "+44 20 7946 0123"}, "")
	if want := "6a6c26195c3682faa816966af789717c3bfa834eee6c599d667d2b3429c27cfd"; s.Email != want || s.EmailGoogle != want {
		t.Errorf("e-mail %s and %s, want %s", s.Email, s.EmailGoogle, want)
	}
	if want := "9b48e488a39eabd0e13d5893897b88695cec8e22d254304d278a7008a0b2a439"; s.PhoneDigits != want {
		t.Errorf("phone as digits %s, want %s", s.PhoneDigits, want)
	}
	if want := sha("+442079460123"); s.PhoneE164 != want {
		t.Errorf("phone by E.164 %s, want %s", s.PhoneE164, want)
	}
}

func TestEmail(t *testing.T) {
	ready := sha("buyer@example.com")
	tests := map[string]struct {
		email, hash   string
		plain, google string // what is hashed; a digest stands for itself
	}{
		"trimmed and lower case":                {" Buyer@EXAMPLE.com\n", "", "buyer@example.com", "buyer@example.com"},
		"gmail without dots and suffix":         {"Exam.ple.User+shop@gmail.com", "", "exam.ple.user+shop@gmail.com", "exampleuser@gmail.com"},
		"googlemail too":                        {"a.b@googlemail.com", "", "a.b@googlemail.com", "ab@googlemail.com"},
		"others keep both":                      {"a.b+c@example.com", "", "a.b+c@example.com", "a.b+c@example.com"},
		"white space inside, for Google":        {"a b@example.com", "", "a b@example.com", "ab@example.com"},
		"gmail with nothing but a suffix":       {"+shop@gmail.com", "", "+shop@gmail.com", ""},
		"no address":                            {"n/a", "", "", ""},
		"two addresses":                         {"a@b@c", "", "", ""},
		"empty":                                 {"", "", "", ""},
		"blanks":                                {"   ", "", "", ""},
		"a ready digest":                        {"", ready, ready, ready},
		"a ready digest in capitals":            {"", strings.ToUpper(ready), ready, ready},
		"a ready digest in the wrong field":     {ready, "", ready, ready},
		"plain counts before ready":             {"x@example.com", ready, "x@example.com", "x@example.com"},
		"ready counts where plain is none":      {"none", ready, ready, ready},
		"the digest of nothing":                 {"", sha256OfNothing, "", ""},
		"the digest of nothing, as an e-mail":   {sha256OfNothing, "", "", ""},
		"a digest that is none":                 {"", "abc", "", ""},
		"64 characters that are not hex":        {"", strings.Repeat("g", 64), "", ""},
		"a plain address in the digest's field": {"", "buyer@example.com", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := identity.Digest(event.Identity{Email: tt.email, EmailSHA256: tt.hash}, "GB")
			if want := digest(tt.plain); s.Email != want {
				t.Errorf("plain rule: %q, want that of %q", s.Email, tt.plain)
			}
			if want := digest(tt.google); s.EmailGoogle != want {
				t.Errorf("Google's rule: %q, want that of %q", s.EmailGoogle, tt.google)
			}
		})
	}
}

const sha256OfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func digest(s string) string {
	if len(s) == 64 {
		return s
	}
	return sha(s)
}

// Google's two pages differ in one thing only.
func TestEmailForCampaignManagerKeepsTheSuffix(t *testing.T) {
	for in, want := range map[string]string{
		"Exam.ple.User+shop@gmail.com": "exampleuser+shop@gmail.com", "a.b+c@googlemail.com": "ab+c@googlemail.com", "+shop@gmail.com": "+shop@gmail.com",
		"example.user@gmail.com": "", "a.b+c@example.com": "", "n/a": "", "": "",
	} {
		if got := identity.Digest(event.Identity{Email: in}, "").EmailCM360; got != sha(want) {
			t.Errorf("%q gave %q, want the digest of %q", in, got, want)
		}
	}
}

func TestPhone(t *testing.T) {
	ready := sha("+442079460123")
	tests := map[string]struct {
		phone, hash, address, site string
		want                       string // the international digits
	}{
		"international":                     {"+44 20 7946 0123", "", "", "", "442079460123"},
		"with 00":                           {"0044-20-7946-0123", "", "", "", "442079460123"},
		"a letterhead's":                    {"+44 (0)20 7946 0123", "", "", "", "442079460123"},
		"national, by the address":          {"020 7946 0123", "", "GB", "US", "442079460123"},
		"national, by the site":             {"(020) 7946.0123", "", "", "GB", "442079460123"},
		"UK is no country":                  {"020 7946 0123", "", "UK", "", "442079460123"},
		"national without its trunk prefix": {"20 7946 0123", "", "GB", "", "442079460123"},
		"international without its plus":    {"442079460123", "", "GB", "", "442079460123"},
		"national, nobody knows where":      {"020 7946 0123", "", "", "", ""},
		"national, in an unlisted country":  {"020 7946 0123", "", "", "KI", ""},
		"American":                          {"(555) 123-4567", "", "US", "", "15551234567"},
		"American with its 1":               {"1 555 123 4567", "", "US", "", "15551234567"},
		"American, abroad":                  {"011 44 20 7946 0123", "", "US", "", "442079460123"},
		"American, too short":               {"123-4567", "", "US", "", ""},
		"Italian keeps its 0":               {"06 1234 5678", "", "IT", "", "390612345678"},
		"Hungarian trunk":                   {"06 30 123 4567", "", "HU", "", "36301234567"},
		"an extension":                      {"+44 20 7946 0123 ext. 5", "", "", "", ""},
		"too short":                         {"+44 20", "", "", "", ""},
		"too long":                          {"+442079460123442079460123", "", "", "", ""},
		"a code of 0":                       {"+0 20 7946 0123", "", "", "", ""},
		"words":                             {"call me", "", "GB", "", ""},
		"empty":                             {"", "", "GB", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := identity.Digest(event.Identity{Phone: tt.phone, PhoneSHA256: tt.hash, Address: event.Address{Country: tt.address}}, tt.site)
			var e164 string
			if tt.want != "" {
				e164 = "+" + tt.want
			}
			if s.PhoneE164 != sha(e164) || s.PhoneDigits != sha(tt.want) {
				t.Errorf("%s and %s, want those of %q", s.PhoneE164, s.PhoneDigits, tt.want)
			}
		})
	}
	for name, in := range map[string]event.Identity{
		"ready":                     {PhoneSHA256: strings.ToUpper(ready)},
		"ready in the wrong field":  {Phone: ready},
		"ready where plain is none": {Phone: "call me", PhoneSHA256: ready},
	} {
		t.Run(name, func(t *testing.T) {
			if s := identity.Digest(in, "GB"); s.PhoneE164 != ready || s.PhoneDigits != "" {
				t.Errorf("%s and %s, want %s for E.164 alone", s.PhoneE164, s.PhoneDigits, ready)
			}
		})
	}
}

func TestAddress(t *testing.T) {
	s := identity.Digest(event.Identity{Address: event.Address{
		FirstName: " Mary-Jane ", LastName: "O'Neil", Street: "123 Main St.", City: "São Paulo",
		Region: "...", PostalCode: "H0H 0H0", Country: "ca",
	}}, "")
	for _, f := range []struct{ name, got, of string }{
		{"first name", s.FirstName, "maryjane"}, {"last name", s.LastName, "oneil"}, {"street", s.Street, "123mainst"},
		{"city", s.City, "sãopaulo"}, {"region", s.Region, ""}, {"postal code", s.PostalCode, "h0h0h0"},
	} {
		if f.got != sha(f.of) {
			t.Errorf("%s is %q, want the digest of %q", f.name, f.got, f.of)
		}
	}
	for _, f := range []struct{ name, got, of string }{
		{"first name", s.FirstNameGoogle, "mary-jane"}, {"last name", s.LastNameGoogle, ""}, {"street", s.StreetGoogle, "123 main st."},
	} {
		if f.got != sha(f.of) {
			t.Errorf("%s by Google's rule is %q, want the digest of %q", f.name, f.got, f.of)
		}
	}
	if want := (event.Locality{City: "São Paulo", Region: "...", PostalCode: "H0H 0H0"}); s.Locality != want {
		t.Errorf("place %+v", s.Locality)
	}
	if s := identity.Digest(event.Identity{Address: event.Address{LastName: "O'Neil", PostalCode: "H0H 0H0", City: "Paris", Country: "FR"}}, ""); s.Locality != (event.Locality{}) {
		t.Errorf("a place without a name: %+v", s.Locality)
	}
	if s.Country != "CA" {
		t.Errorf("country %q", s.Country)
	}
	if s := identity.Digest(event.Identity{Address: event.Address{FirstName: sha("mary"), Country: "USA"}}, ""); s.FirstName != sha("mary") || s.Country != "" {
		t.Errorf("a ready first name gave %q, USA gave %q", s.FirstName, s.Country)
	}
}

func TestNoPlainValueIsKept(t *testing.T) {
	s := identity.Digest(event.Identity{
		AnonymousID: "anon-1", UserID: "Buyer@example.com", Email: "buyer@example.com", Phone: "+442079460123",
		Address: event.Address{FirstName: "mary", LastName: "smith", Street: "high street", City: "london", Region: "london", PostalCode: "n1"},
	}, "GB")
	if s.UserID != sha("buyer@example.com") {
		t.Errorf("a user id that is an address is kept as %q", s.UserID)
	}
	if s.AnonymousID != "anon-1" {
		t.Errorf("anonymous id %q", s.AnonymousID)
	}
	if s := identity.Digest(event.Identity{UserID: " 42 "}, ""); s.UserID != "42" {
		t.Errorf("user id %q", s.UserID)
	}
	for _, v := range []string{s.UserID, s.Email, s.EmailGoogle, s.PhoneE164, s.PhoneDigits, s.FirstName, s.LastName, s.Street, s.City, s.Region, s.PostalCode} {
		if len(v) != 64 {
			t.Errorf("%q is no digest", v)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	in := event.Identity{AnonymousID: "7d1f2c3b-9a4e-4c58-b6d7-000000000001"}
	b.Run("anonymous", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			identity.Digest(in, "GB")
		}
	})
	in.Email, in.Phone = "buyer@example.com", "+44 20 7946 0123"
	b.Run("e-mail and phone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			identity.Digest(in, "GB")
		}
	})
}
