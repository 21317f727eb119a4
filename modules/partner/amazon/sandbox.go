package amazon

import (
	"crypto/rand"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

const (
	tokenPath     = "/auth/o2/token"
	sandboxBytes  = 4 << 20
	tokenLife     = time.Hour
	rememberedIDs = 100_000
)

// Sandbox imitates Login with Amazon's token call and the Events API. A refresh
// token that begins with "revoked" is refused, an account id that begins with
// "forbidden" is one without rights.
func (Adapter) Sandbox(record func(partner.Received)) http.Handler {
	s := &sandbox{tokens: map[string]grant{}, seen: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+tokenPath, partner.Grants(http.StatusBadRequest, s.token))
	mux.Handle("POST "+eventsPath, partner.Imitate("amazon", sandboxBytes, record, s.create))
	return mux
}

type sandbox struct {
	mu     sync.Mutex
	tokens map[string]grant
	seen   map[string]bool // event ids, by account
}

type grant struct {
	client  string
	expires time.Time
}

// token answers a form of Login with Amazon.
func (s *sandbox) token(r *http.Request) (answer any, code, text string) {
	switch {
	case r.Header.Get("Authorization") != "":
		return nil, "invalid_request", "the call takes no Authorization header"
	case r.PostForm.Get("grant_type") != "refresh_token":
		return nil, "unsupported_grant_type", "grant_type must be refresh_token"
	case r.PostForm.Get("client_id") == "" || r.PostForm.Get("client_secret") == "":
		return nil, "invalid_client", "client_id or client_secret is missing"
	case r.PostForm.Get("refresh_token") == "" || strings.HasPrefix(r.PostForm.Get("refresh_token"), "revoked"):
		return nil, "invalid_grant", "the refresh token is missing or revoked"
	default:
		token := "Atza|" + rand.Text()
		s.mu.Lock()
		now := time.Now()
		for t, g := range s.tokens {
			if now.After(g.expires) {
				delete(s.tokens, t)
			}
		}
		s.tokens[token] = grant{r.PostForm.Get("client_id"), now.Add(tokenLife)}
		s.mu.Unlock()
		return struct {
			AccessToken  string `json:"access_token"`
			RefreshToken string `json:"refresh_token"`
			TokenType    string `json:"token_type"`
			ExpiresIn    int    `json:"expires_in"`
		}{token, r.PostForm.Get("refresh_token"), "bearer", int(tokenLife.Seconds())}, "", ""
	}
}

func fault(status int, code, message string) partner.Imitation {
	return partner.Imitation{Status: status, Body: map[string]string{"code": code, "message": message}}
}

type (
	itemError struct {
		Code     string `json:"code"`
		Location string `json:"fieldLocation"`
		Message  string `json:"message"`
	}
	itemErrors struct {
		Index  int         `json:"index"`
		Errors []itemError `json:"errors"`
	}
	itemSuccess struct {
		Index int               `json:"index"`
		Event map[string]string `json:"event"`
	}
)

func (s *sandbox) create(r *http.Request, body []byte) partner.Imitation {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	client, account := r.Header.Get("Amazon-Ads-ClientId"), r.Header.Get("Amazon-Ads-AccountId")
	s.mu.Lock()
	defer s.mu.Unlock()
	g, known := s.tokens[token]
	switch {
	case !bearer || !known || time.Now().After(g.expires):
		return fault(http.StatusUnauthorized, "UNAUTHORIZED", "the access token is missing, unknown or expired")
	case client != g.client:
		return fault(http.StatusUnauthorized, "UNAUTHORIZED", "Amazon-Ads-ClientId is not the client of the token")
	case account == "":
		return fault(http.StatusBadRequest, "BAD_REQUEST", "Amazon-Ads-AccountId is missing")
	case strings.HasPrefix(account, "forbidden"):
		return fault(http.StatusForbidden, "FORBIDDEN", "no rights to this account")
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	var in struct {
		Events []jsontext.Value `json:"events"`
	}
	if kind != "application/json" || json.Unmarshal(body, &in, json.RejectUnknownMembers(true)) != nil || len(in.Events) == 0 {
		return fault(http.StatusBadRequest, "BAD_REQUEST", `the body must be {"events":[event, …]}`)
	}
	if len(in.Events) > maxEvents {
		return fault(http.StatusRequestEntityTooLarge, "CONTENT_TOO_LARGE", "more than 500 events")
	}
	a := partner.Imitation{Status: http.StatusMultiStatus, Header: http.Header{"X-Amzn-RequestId": {rand.Text()}}}
	out := struct {
		Success []itemSuccess `json:"success"`
		Error   []itemErrors  `json:"error"`
	}{[]itemSuccess{}, []itemErrors{}}
	here := map[string]bool{}
	for i, raw := range in.Events {
		var e anEvent
		bad := itemError{}
		if err := json.Unmarshal(raw, &e, json.RejectUnknownMembers(true)); err != nil {
			bad = itemError{"BAD_REQUEST", "", err.Error()}
		} else {
			bad = e.fault(time.Now())
		}
		if bad.Code == "" && e.ID != "" && here[e.ID] {
			bad = itemError{"DUPLICATE_FIELD_VALUE_FOUND", "eventId", "the request holds this eventId twice"}
		}
		if bad.Code != "" {
			bad.Location = strings.TrimSuffix("events["+strconv.Itoa(i)+"]."+bad.Location, ".")
			out.Error = append(out.Error, itemErrors{i, []itemError{bad}})
			continue
		}
		here[e.ID] = true
		out.Success = append(out.Success, itemSuccess{i, map[string]string{"eventId": e.ID}})
		a.EventIDs = append(a.EventIDs, e.ID)
		for _, c := range e.Custom {
			if c.Name == "orderId" {
				a.OrderIDs = append(a.OrderIDs, c.Value)
			}
		}
		if key := account + "/" + e.ID; s.seen[key] {
			a.Duplicates = append(a.Duplicates, e.ID)
		} else {
			if len(s.seen) >= rememberedIDs {
				clear(s.seen)
			}
			s.seen[key] = true
		}
	}
	a.Body = out
	return a
}
