package dv360

import (
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/partner"
)

const (
	sandboxBytes = 16 << 20
	remembered   = 100_000
)

// Sandbox imitates Google's token server and both APIs. Its service account's key
// file is at GET /service-account.json, made anew for each sandbox; no other
// account can sign in. A refresh token that begins with "revoked" is refused, one
// that holds "cm360-only" or "datamanager-only" is for that API alone. The user
// profile 403 has no rights; an activity that begins with 404 is not there; a
// gclid or dclid that begins with "unknown" is one that Google does not know, and
// a match id that begins with "tag" was recorded by a tag on the site.
func (Adapter) Sandbox(record func(partner.Received)) http.Handler {
	s := &sandbox{tokens: map[string]grant{}, seen: map[string]bool{}, stored: map[string]time.Time{}, requests: map[string]ingestion{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", partner.Grants(http.StatusUnauthorized, s.token))
	mux.HandleFunc("GET /service-account.json", s.keyFile)
	mux.Handle("POST /dfareporting/v5/userprofiles/{profile}/conversions/{call}", partner.Imitate("dv360", sandboxBytes, record, s.conversions))
	mux.Handle("POST "+ingestPath, partner.Imitate("dv360", sandboxBytes, record, s.ingest))
	mux.Handle("GET "+statusPath, partner.Imitate("dv360", 1, record, s.status))
	return mux
}

type sandbox struct {
	mu     sync.Mutex
	key    signer
	tokens map[string]grant

	seen     map[string]bool      // what repeats are known by
	stored   map[string]time.Time // conversions, by what an update finds them by
	requests map[string]ingestion // of the Data Manager API, by request id
}

type grant struct {
	scopes  string
	expires time.Time
}

// refuse is an answer in the form of Google's APIs.
func refuse(status int, code, message string, more ...map[string]any) partner.Imitation {
	e := map[string]any{"code": status, "message": message, "status": code}
	var details []map[string]any
	for _, m := range more {
		if _, reason := m["domain"]; reason {
			e["errors"] = []map[string]any{{"message": message, "domain": "global", "reason": m["reason"]}}
		}
		details = append(details, m)
	}
	if len(details) > 0 {
		e["details"] = details
	}
	return partner.Imitation{Status: status, Body: map[string]any{"error": e}}
}

func errorInfo(reason string) map[string]any {
	return map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
}

// allowed checks the bearer token; the answer's Status is 0 where it may pass.
func (s *sandbox) allowed(r *http.Request, scope string) partner.Imitation {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	g, known := s.tokens[token]
	switch {
	case !bearer || token == "":
		return refuse(http.StatusUnauthorized, "UNAUTHENTICATED", "Request is missing required authentication credential.", errorInfo("CREDENTIALS_MISSING"))
	case !known || time.Now().After(g.expires):
		return refuse(http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials.", errorInfo("ACCESS_TOKEN_EXPIRED"))
	case !strings.Contains(" "+g.scopes+" ", " "+scope+" "):
		return refuse(http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes.", errorInfo("ACCESS_TOKEN_SCOPE_INSUFFICIENT"))
	}
	return partner.Imitation{}
}

func isJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// again reports whether a key came before, and remembers it.
func (s *sandbox) again(key string) bool {
	if s.seen[key] {
		return true
	}
	if len(s.seen) >= remembered {
		clear(s.seen)
	}
	s.seen[key] = true
	return false
}

func strict(raw []byte, into any) error {
	return json.Unmarshal(raw, into, json.RejectUnknownMembers(true))
}
