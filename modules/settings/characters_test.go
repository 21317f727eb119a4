package settings

import (
	"errors"
	"strings"
	"testing"
)

// What people are told to count they can: letters, whatever an encoding makes of them.
func TestLengthsAreInCharacters(t *testing.T) {
	of := func(n int) string { return strings.Repeat("ж", n) }
	for _, c := range []struct {
		field string
		most  int
		with  func(*Pixel, string)
	}{
		{"name", 200, func(p *Pixel, s string) { p.Name = s }},
		{"a text of the banner", 1000, func(p *Pixel, s string) {
			p.Banner.Texts = map[string]map[string]string{"uk": {BannerWords[0]: s}}
		}},
		{"routes[0].when", 2000, func(p *Pixel, s string) { p.Routes = []Route{{Partner: "ttd", Event: "purchase", When: s}} }},
		{"routes[0].map.params.a", 2000, func(p *Pixel, s string) {
			p.Routes = []Route{{Partner: "ttd", Event: "purchase", Map: Mapping{Params: map[string]string{"a": s}}}}
		}},
		{"fields.approved.ttd", 1000, func(p *Pixel, s string) {
			p.Fields = Fields{Approved: map[string][]string{"ttd": {s}}}
		}},
	} {
		p := Pixel{ID: "px", ConsentMode: CMP}
		c.with(&p, of(c.most))
		if err := p.Validate(); err != nil {
			t.Errorf("%d characters of %s: %v", c.most, c.field, err)
		}
		c.with(&p, of(c.most+1))
		var bad Invalid
		if err := p.Validate(); !errors.As(err, &bad) || len(bad) != 1 || !strings.HasSuffix(bad[0].Message, " characters") {
			t.Errorf("%d characters of %s: %v", c.most+1, c.field, err)
		}
	}
}
