package attribution

import "testing"

func TestWhoseClickAnAddressTellsOf(t *testing.T) {
	for query, want := range map[string]string{
		"gclid=EAI":              "google",
		"utm_source=x&GCLID=EAI": "google",
		"x=1&amp;msclkid=1f":     "bing",
		"gad_source=1":           "google",
		"gad_source=1&dclid=CJ":  "google display",
		"gad_source=&x=1":        "",
		"gclid=":                 "",
		"fbclid=IwAR":            "",
		"":                       "",
	} {
		n, ok := clicked(query)
		got := n.source
		if n.channel == "display" {
			got += " display"
		}
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q (%t), want %q", query, got, ok, want)
		}
	}
}
