package delivery

import (
	"bytes"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/secret"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

func sharedKeys(t *testing.T) *sqlitestate.Store {
	t.Helper()
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	keys, err := sqlitestate.New(db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	return keys
}

func vault(t *testing.T, keys state.Keys, fill byte) *Vault {
	t.Helper()
	box, err := secret.New(bytes.Repeat([]byte{fill}, secret.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return NewVault(keys, box)
}

func TestReplicasShareOneRenewalAndDropARefusedToken(t *testing.T) {
	server := &oauth{life: "3600"}
	srv := httptest.NewServer(server)
	defer srv.Close()
	keys := sharedKeys(t)
	var senders []*Sender
	for range 4 {
		s := New(acme{auth: partner.RefreshToken}, NewClient(10), vault(t, keys, 1), time.Now)
		defer s.Close()
		senders = append(senders, s)
	}
	send := func() {
		var all sync.WaitGroup
		for _, s := range senders {
			for range 5 {
				all.Go(func() {
					if x, err := s.Send(t.Context(), connected(srv.URL), some("1"), nil); err != nil || outcomes(x) != "1=accepted" {
						t.Errorf("%s, %v", outcomes(x), err)
					}
				})
			}
		}
		all.Wait()
	}
	send()
	if n, _ := server.count(); n != 1 {
		t.Errorf("%d tokens for four replicas, want 1", n)
	}
	stored, err := keys.Get(t.Context(), vaultKey("acme", fingerprintOf(connected(srv.URL))))
	if err != nil || len(stored[0]) == 0 || bytes.Contains(stored[0], []byte("access-token")) {
		t.Errorf("the shared token lies there as %q, %v", stored[0], err)
	}
	// The partner forgets it: whoever notices first gets the next one for all.
	server.mu.Lock()
	server.good = nil
	server.mu.Unlock()
	for _, s := range senders {
		if x, err := s.Send(t.Context(), connected(srv.URL), some("1"), nil); err != nil || outcomes(x) != "1=accepted" {
			t.Errorf("%s, %v", outcomes(x), err)
		}
	}
	if n, _ := server.count(); n != 2 {
		t.Errorf("%d tokens after one was refused, want 2", n)
	}
}

func TestAReplicaThatDiesWhileItRenewsHoldsNobodyUpForLong(t *testing.T) {
	server := &oauth{life: "3600"}
	srv := httptest.NewServer(server)
	defer srv.Close()
	keys := sharedKeys(t)
	a := connected(srv.URL)
	if _, err := keys.Claim(t.Context(), state.Entry{Key: vaultKey("acme", fingerprintOf(a)) + ":renewing", Value: []byte("dead"), TTL: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	s := New(acme{auth: partner.RefreshToken}, NewClient(10), vault(t, keys, 1), time.Now)
	defer s.Close()
	if x, err := s.Send(t.Context(), a, some("1"), nil); err != nil || outcomes(x) != "1=accepted" {
		t.Errorf("%s, %v", outcomes(x), err)
	}
}

func TestATokenSealedWithAnotherKeyOrAStateThatIsAwayCostsARenewalOnly(t *testing.T) {
	server := &oauth{life: "3600"}
	srv := httptest.NewServer(server)
	defer srv.Close()
	keys := sharedKeys(t)
	for i, v := range []*Vault{vault(t, keys, 1), vault(t, keys, 2), vault(t, away{}, 1)} {
		s := New(acme{auth: partner.RefreshToken}, NewClient(10), v, time.Now)
		defer s.Close()
		if x, err := s.Send(t.Context(), connected(srv.URL), some("1"), nil); err != nil || outcomes(x) != "1=accepted" {
			t.Errorf("%d: %s, %v", i, outcomes(x), err)
		}
	}
	if n, _ := server.count(); n != 3 {
		t.Errorf("%d tokens, want 3", n)
	}
}

// away is a state that does not answer.
type away struct{ state.Keys }

var errAway = errors.New("connection refused")

func (away) Get(context.Context, ...string) ([][]byte, error)        { return nil, errAway }
func (away) Claim(context.Context, ...state.Entry) ([][]byte, error) { return nil, errAway }
func (away) Delete(context.Context, ...string) error                 { return errAway }

// google is acme with Google's way of authorising.
type google struct{ acme }

func (google) Spec() partner.Spec {
	return partner.Spec{Name: "acme", Title: "Acme", Auth: partner.Google, Scopes: []string{"https://scope.example/a", "https://scope.example/b"}}
}

// yahoo is acme with a signed assertion.
type yahoo struct{ acme }

func (yahoo) Spec() partner.Spec {
	return partner.Spec{Name: "acme", Title: "Acme", Auth: partner.SignedAssertion}
}

func (yahoo) Assertion(b partner.Batch, tokenURL string) partner.Assertion {
	return partner.Assertion{Client: "idb2b." + b.Credentials["client_id"], Audience: tokenURL + "?realm=dsp", Life: time.Hour, Form: map[string]string{"scope": "s1", "realm": ""}}
}

// claims checks an assertion's signature and returns what it says.
func claims(t *testing.T, jwt string, verify func(signed string, signature []byte) bool) (header, body map[string]any) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("assertion of %d parts", len(parts))
	}
	raw := make([][]byte, 3)
	for i, p := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			t.Fatalf("part %d is no unpadded base64url: %v", i, err)
		}
	}
	if !verify(parts[0]+"."+parts[1], raw[2]) {
		t.Error("the signature is wrong")
	}
	if err := errors.Join(json.Unmarshal(raw[0], &header), json.Unmarshal(raw[1], &body)); err != nil {
		t.Fatal(err)
	}
	return header, body
}

func TestAServiceAccountAndASignedAssertion(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "robot@project.example", "private_key_id": "k1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	var form url.Values
	refuse := ""
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/token" {
			if r.Header.Get("Authorization") != "Bearer fresh-token" {
				w.WriteHeader(401)
			}
			return
		}
		r.ParseForm()
		form = r.PostForm
		w.Header().Set("Content-Type", "application/json")
		if refuse != "" {
			w.WriteHeader(400)
			w.Write([]byte(`{"error":"` + refuse + `","error_description":"secret text"}`))
			return
		}
		w.Write([]byte(`{"access_token":"fresh-token","token_type":"Bearer","expires_in":599}`))
	})
	account := func(credentials map[string]string) Account {
		return Account{Endpoint: address, TokenURL: address + "/token", Credentials: credentials}
	}

	robot := sender(t, google{})
	x, err := robot.Send(t.Context(), account(map[string]string{"service_account": string(file)}), some("1"), nil)
	if err != nil || outcomes(x) != "1=accepted" {
		t.Fatalf("%s, %v", outcomes(x), err)
	}
	header, body := claims(t, form.Get("assertion"), func(signed string, sig []byte) bool {
		sum := sha256.Sum256([]byte(signed))
		return rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], sig) == nil
	})
	if form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || header["alg"] != "RS256" || header["kid"] != "k1" ||
		body["iss"] != "robot@project.example" || body["aud"] != address+"/token" || body["scope"] != "https://scope.example/a https://scope.example/b" {
		t.Errorf("form %v, header %v, claims %v", form.Get("grant_type"), header, body)
	}

	refuse = "invalid_grant"
	x, err = sender(t, google{}).Send(t.Context(), account(map[string]string{"service_account": string(file)}), some("1"), nil)
	if err != nil || !strings.Contains(x.Receipt.Pause, "make a new key") || strings.Contains(x.Receipt.Pause, "secret text") {
		t.Errorf("%q, %v", x.Receipt.Pause, err)
	}
	for name, credentials := range map[string]map[string]string{
		"needs a service account": {"client_id": "only-this"},
		"is not the JSON":         {"service_account": "not-a-file-at-all"},
		"lacks type":              {"service_account": `{"type":"authorized_user"}`},
	} {
		x, err := robot.Send(t.Context(), account(credentials), some("1"), nil)
		if err != nil || !strings.Contains(x.Receipt.Pause, name) || strings.Contains(x.Receipt.Pause, "not-a-file") {
			t.Errorf("%s: %q, %v", name, x.Receipt.Pause, err)
		}
	}

	refuse = ""
	x, err = sender(t, yahoo{}).Send(t.Context(), account(map[string]string{"client_id": "client-id", "client_secret": "client-secret"}), some("1"), nil)
	if err != nil || outcomes(x) != "1=accepted" {
		t.Fatalf("%s, %v", outcomes(x), err)
	}
	header, body = claims(t, form.Get("client_assertion"), func(signed string, sig []byte) bool {
		sum := hmac.New(sha256.New, []byte("client-secret"))
		sum.Write([]byte(signed))
		return hmac.Equal(sig, sum.Sum(nil))
	})
	_, realm := form["realm"]
	if form.Get("grant_type") != "client_credentials" || form.Get("scope") != "s1" || realm || header["alg"] != "HS256" ||
		body["iss"] != "idb2b.client-id" || body["sub"] != body["iss"] || body["aud"] != address+"/token?realm=dsp" || body["jti"] == "" ||
		body["exp"].(float64)-body["iat"].(float64) != 3600 {
		t.Errorf("form %v, header %v, claims %v", form, header, body)
	}
}

// anonymous is acme that needs no token for events called "never", which it refuses.
type anonymous struct{ yahoo }

func (anonymous) NeedsToken(b partner.Batch) bool { return b.Deliveries[0].Event.Name != "open" }

func TestATransportWithoutATokenNeedsNoCredentials(t *testing.T) {
	asked := 0
	address := serve(t, func(http.ResponseWriter, *http.Request) { asked++ })
	x, err := sender(t, anonymous{}).Send(t.Context(), Account{Endpoint: address, TokenURL: "http://127.0.0.1:1/none"}, []event.Delivery{{Event: event.Event{ID: "1", Name: "open"}}}, nil)
	if err != nil || outcomes(x) != "1=accepted" || asked != 1 {
		t.Errorf("%s, %v, %d requests", outcomes(x), err, asked)
	}
}

func TestConnecting(t *testing.T) {
	g := partner.Grant{Scopes: []string{"a", "b"}, Params: map[string]string{"access_type": "offline"}, PKCE: true}
	to, err := AuthorizeURL(g, "https://accounts.example/auth?x=1", "client", "https://console.example/connected", "state-1", "verifier-1")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("verifier-1"))
	want := url.Values{"x": {"1"}, "response_type": {"code"}, "client_id": {"client"}, "redirect_uri": {"https://console.example/connected"}, "scope": {"a b"},
		"state": {"state-1"}, "access_type": {"offline"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	if got := u.Query().Encode(); got != want.Encode() {
		t.Errorf("%s\n%s", got, want.Encode())
	}
	answer := `{"access_token":"at","refresh_token":"rt","expires_in":3600}`
	status := 200
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		if r.PostForm.Get("code") != "the-code" || r.PostForm.Get("code_verifier") != "verifier-1" || r.PostForm.Get("redirect_uri") != "https://console.example/connected" {
			t.Errorf("form %v", r.PostForm)
		}
		w.WriteHeader(status)
		w.Write([]byte(answer))
	})
	exchange := func() (string, error) {
		return ExchangeCode(t.Context(), http.DefaultClient, g, Account{TokenURL: address, Credentials: map[string]string{"client_id": "client", "client_secret": "s"}}, "the-code", "https://console.example/connected", "verifier-1")
	}
	if refresh, err := exchange(); refresh != "rt" || err != nil {
		t.Errorf("%q, %v", refresh, err)
	}
	answer = `{"access_token":"at"}`
	if _, err := exchange(); err == nil || !strings.Contains(err.Error(), "no refresh token") {
		t.Errorf("without a refresh token: %v", err)
	}
	status, answer = 400, `{"error":"invalid_grant"}`
	if _, err := exchange(); err == nil || !strings.Contains(err.Error(), "connect again") {
		t.Errorf("a used code: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}
