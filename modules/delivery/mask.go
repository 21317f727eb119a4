package delivery

import (
	"net/http"
	"strings"
)

const dots = "••••••"

// mask replaces secrets wherever they stand.
type mask struct{ r *strings.Replacer }

func newMask(credentials map[string]string, token string) mask {
	var pairs []string
	add := func(secret string) {
		// A shorter one would tear holes into everything, and is no secret.
		if len(secret) >= 8 {
			pairs = append(pairs, secret, dots)
		}
	}
	add(token)
	for _, c := range credentials {
		add(c)
	}
	return mask{strings.NewReplacer(pairs...)}
}

func (m mask) text(s string) string { return m.r.Replace(s) }

func (m mask) bytes(b []byte) []byte { return []byte(m.r.Replace(string(b))) }

func (m mask) header(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		for _, v := range values {
			switch name {
			case "Authorization", "Ttd-Auth", "Ttdsignature", "Cookie", "Set-Cookie", "Proxy-Authorization":
				scheme, rest, ok := strings.Cut(v, " ")
				v = dots
				if ok && rest != "" {
					v = scheme + " " + dots
				}
			default:
				v = m.text(v)
			}
			out.Add(name, v)
		}
	}
	return out
}
