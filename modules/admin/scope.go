package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/miq/pixel/modules/settings"
)

// A token may be narrowed to scopes, "events:read": what part of the API, and whether
// it may change anything there. Its role still holds: a viewer's token with
// "pixels:write" changes nothing.

// scopeAreas are the parts of the API, by the first words of their addresses.
var scopeAreas = map[string]string{
	"pixels": "pixels", "partners": "partners", "events": "events", "syncs": "events",
	"queues": "queues", "dlq": "queues", "processes": "queues", "backfills": "backfills", "rehearsals": "backfills",
	"reports": "reports", "fields": "fields", "identities": "identities", "quarantine": "identities",
	"consent": "receipts", "erasures": "erasures", "audit": "audit", "approvals": "approvals", "users": "users", "tokens": "tokens",
}

// scopeOf is the scope that an operation of the API needs; "" for none.
func scopeOf(method, path string) string {
	rest, ok := strings.CutPrefix(path, base+"/")
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	area := scopeAreas[first]
	if area == "" {
		return ""
	}
	if method == http.MethodGet {
		return area + ":read"
	}
	return area + ":write"
}

// scopes are all there are, in the order of the alphabet.
func (a *Admin) scopes() []string {
	var out []string
	for _, r := range a.api() {
		if s := scopeOf(r.method, r.path); s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// may reports whether a token's scopes allow an operation. To write is not to read:
// a script that hands in erasures need not see whom others erased.
func (p principal) may(r route) bool {
	return len(p.Scopes) == 0 || r.path == "/api/openapi.yaml" || slices.Contains(p.Scopes, scopeOf(r.method, r.path))
}

// grant says what is wrong with giving out what a token may do. Whoever is narrowed
// can give no more than it has.
func (a *Admin) grant(who principal, t token) error {
	var v settings.Invalid
	all := a.scopes()
	for _, s := range t.Scopes {
		if !slices.Contains(all, s) {
			v = append(v, settings.Problem{Field: "scopes", Message: "knows no " + short(s, 40) + "; there are " + strings.Join(all, ", ")})
		} else if len(who.Scopes) > 0 && !slices.Contains(who.Scopes, s) {
			v = append(v, settings.Problem{Field: "scopes", Message: "cannot hold " + s + ", which the token that asks has not"})
		}
	}
	if len(who.Scopes) > 0 && len(t.Scopes) == 0 {
		v = append(v, settings.Problem{Field: "scopes", Message: "must be given, since the token that asks has scopes itself"})
	}
	if len(v) > 0 {
		return v
	}
	return nil
}

// scopeMissing tells whoever made a token what it lacks.
func scopeMissing(r route) string {
	if s := scopeOf(r.method, r.path); s != "" {
		return "this needs the scope " + s + ", which the token has not"
	}
	return "a token with scopes is for the API alone"
}
