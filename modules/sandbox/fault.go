package sandbox

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/partner"
)

// Faults are what a partner's imitation does wrong. The zero value is a partner
// in good health. Shares are from 0 to 1, and drawn for each request alone.
type Faults struct {
	SlowMS     int     `json:"slow_ms"`     // each answer waits so long
	Drop       float64 `json:"drop"`        // share of connections that are cut without an answer
	DropAfter  float64 `json:"drop_after"`  // share that is taken, and then cut: the sender cannot know
	Limit      float64 `json:"limit"`       // share that is answered with 429
	Truncate   float64 `json:"truncate"`    // share that is taken, and answered with half of the JSON
	RetryAfter int     `json:"retry_after"` // seconds, with each 429; 0: no such header
	Fail       float64 `json:"fail"`        // share that is answered with FailStatus
	FailStatus int     `json:"fail_status"` // 500 unless set
	// RefuseGrant refuses every refresh token, as if access had been withdrawn.
	RefuseGrant bool `json:"refuse_grant"`
}

func (f Faults) check() string {
	for name, share := range map[string]float64{"drop": f.Drop, "drop_after": f.DropAfter, "limit": f.Limit, "fail": f.Fail, "truncate": f.Truncate} {
		if !(share >= 0 && share <= 1) {
			return name + " must be a share from 0 to 1"
		}
	}
	switch {
	case f.SlowMS < 0 || f.SlowMS > 600_000:
		return "slow_ms must be from 0 to 600000"
	case f.RetryAfter < 0 || f.RetryAfter > 86_400:
		return "retry_after must be from 0 to 86400"
	case f.FailStatus != 0 && (f.FailStatus < 400 || f.FailStatus > 599):
		return "fail_status must be from 400 to 599"
	}
	return ""
}

const (
	maxRequest = 32 << 20
	maxTokens  = 10_000
)

// imitation is a partner's sandbox with faults in front of it.
type imitation struct {
	spec      partner.Spec
	tokenPath string
	// authorizePath is where accounts are connected; empty where none are.
	authorizePath string
	next          http.Handler
	record        func(r partner.Received, fault string)

	codes codes

	mu      sync.Mutex
	faults  Faults
	tokens  map[string]bool // that were handed out or seen
	revoked map[string]bool
}

func (i *imitation) get() Faults {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.faults
}

func (i *imitation) set(f Faults) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.faults = f
}

// revoke makes every access token so far worthless; new ones work.
func (i *imitation) revoke() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for t := range i.tokens {
		i.revoked[t] = true
	}
	clear(i.tokens)
}

func (i *imitation) know(token string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if token == "" || i.revoked[token] {
		return
	}
	if len(i.tokens) >= maxTokens {
		clear(i.tokens)
	}
	i.tokens[token] = true
}

func (i *imitation) isRevoked(token string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.revoked[token]
}

// draw decides by a share.
func draw(share float64) bool { return share > 0 && rand.Float64() < share }

func (i *imitation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := i.get()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, "the request is too large or broke off", http.StatusRequestEntityTooLarge)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if f.SlowMS > 0 {
		t := time.NewTimer(time.Duration(f.SlowMS) * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			i.note(r, body, 0, "slow", "the client went away")
			return
		}
	}
	if i.authorizePath != "" && r.URL.Path == i.authorizePath && r.Method == http.MethodGet {
		i.authorize(w, r)
		return
	}
	if i.tokenPath != "" && r.URL.Path == i.tokenPath {
		i.serveToken(w, r, f)
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case draw(f.Drop):
		i.note(r, body, 0, "drop", "the connection was cut")
		panic(http.ErrAbortHandler)
	case draw(f.Limit):
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
		}
		i.refuse(w, r, body, http.StatusTooManyRequests, "limit", "TOO_MANY_REQUESTS")
		return
	case draw(f.Fail):
		status := f.FailStatus
		if status == 0 {
			status = http.StatusInternalServerError
		}
		i.refuse(w, r, body, status, "fail", "FAULT_SWITCHED_ON")
		return
	case token != "" && i.isRevoked(token):
		i.refuse(w, r, body, http.StatusUnauthorized, "revoked", "UNAUTHORIZED")
		return
	}
	i.know(token)
	if draw(f.DropAfter) {
		i.next.ServeHTTP(nowhere{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	}
	if draw(f.Truncate) {
		half := &whole{header: w.Header(), status: http.StatusOK}
		i.next.ServeHTTP(half, r)
		w.WriteHeader(half.status)
		_, _ = w.Write(half.body.Bytes()[:half.body.Len()/2])
		return
	}
	i.next.ServeHTTP(w, r)
}

// serveToken passes a token call on, and learns the token it gave. What is sent
// there is secret, so that it is not recorded.
func (i *imitation) serveToken(w http.ResponseWriter, r *http.Request, f Faults) {
	if f.RefuseGrant {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"the refresh token was revoked"}`))
		return
	}
	if i.spec.Connect != nil && i.exchangeCode(w, r) {
		return
	}
	c := &capture{ResponseWriter: w}
	i.next.ServeHTTP(c, r)
	var given struct {
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal(c.body.Bytes(), &given) == nil {
		i.know(given.AccessToken)
	}
}

func (i *imitation) refuse(w http.ResponseWriter, r *http.Request, body []byte, status int, fault, code string) {
	answer := `{"code":"` + code + `","message":"the sandbox was told to answer so"}`
	i.note(r, body, status, fault, answer)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer)
}

func (i *imitation) note(r *http.Request, body []byte, status int, fault, answer string) {
	v := jsontext.Value(body)
	if !v.IsValid() {
		v, _ = jsontext.AppendQuote(nil, strings.ToValidUTF8(string(body), "\uFFFD"))
	}
	i.record(partner.Received{Partner: i.spec.Name, At: time.Now(), Path: r.URL.Path, Status: status, Body: v, Answer: answer}, fault)
}

// capture keeps what it passes on.
type capture struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (c *capture) Write(b []byte) (int, error) {
	c.body.Write(b)
	return c.ResponseWriter.Write(b)
}

// whole keeps an answer instead of sending it.
type whole struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *whole) Header() http.Header         { return w.header }
func (w *whole) Write(b []byte) (int, error) { return w.body.Write(b) }
func (w *whole) WriteHeader(status int)      { w.status = status }

// nowhere takes an answer that nobody will see.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}
