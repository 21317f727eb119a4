package admin

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/config"
)

const (
	clientID     = "pixel-console"
	clientSecret = "the secret of the client"
)

// provider is an identity provider: discovery, keys, codes that are good once and for
// one verifier, and tokens that it signs.
type provider struct {
	t      *testing.T
	server *httptest.Server
	key    *rsa.PrivateKey
	away   atomic.Bool

	mu    sync.Mutex
	codes map[string]url.Values // what was asked when the code was given
	// says are claims in place of the usual ones; nil values are left out.
	says map[string]any
	info map[string]any
	// forge, where set, signs in place of the provider.
	forge func(p *provider, claims map[string]any) string
}

func newProvider(t *testing.T) *provider {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	p := &provider{t: t, key: key, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, 200, map[string]any{
			"issuer": p.server.URL, "authorization_endpoint": p.server.URL + "/authorize", "token_endpoint": p.server.URL + "/token",
			"jwks_uri": p.server.URL + "/keys", "userinfo_endpoint": p.server.URL + "/userinfo",
			// It says that it would do with less, which must not be taken up.
			"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		p.answer(w, 200, map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k1", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer access" || p.info == nil {
			p.answer(w, 401, map[string]any{})
			return
		}
		p.answer(w, 200, p.info)
	})
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.server.Close)
	return p
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (p *provider) answer(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		p.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}

// authorize asks nobody anything, and sends the browser back with a code.
func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != clientID || q.Get("response_type") != "code" || !strings.Contains(q.Get("scope"), "openid") ||
		q.Get("code_challenge_method") != "S256" || len(q.Get("state")) < 20 || len(q.Get("nonce")) < 20 || q.Get("state") == q.Get("nonce") {
		p.t.Errorf("asked for %v", q)
		http.Error(w, "no", 400)
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = q
	p.mu.Unlock()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, secret, _ := r.BasicAuth()
	if id != clientID || secret != url.QueryEscape(clientSecret) {
		p.answer(w, 401, map[string]any{"error": "invalid_client"})
		return
	}
	asked, ok := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || b64(sum[:]) != asked.Get("code_challenge") || r.FormValue("redirect_uri") != asked.Get("redirect_uri") {
		p.answer(w, 400, map[string]any{"error": "invalid_grant"})
		return
	}
	now := time.Now()
	claims := map[string]any{
		"iss": p.server.URL, "sub": "sub-ada", "aud": clientID, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "nonce": asked.Get("nonce"),
		"email": "Ada@example.com", "email_verified": true, "groups": []string{"everybody", "media"},
	}
	maps.Copy(claims, p.says)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	sign := p.forge
	if sign == nil {
		sign = (*provider).sign
	}
	p.answer(w, 200, map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 60, "id_token": sign(p, claims)})
}

func unsigned(header, claims map[string]any) string {
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	return b64(h) + "." + b64(c)
}

func (p *provider) sign(claims map[string]any) string { return signedBy(p.key, claims) }

func signedBy(key *rsa.PrivateKey, claims map[string]any) string {
	text := unsigned(map[string]any{"alg": "RS256", "kid": "k1", "typ": "JWT"}, claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + b64(sig)
}

func hmacBy(key []byte, claims map[string]any) string {
	text := unsigned(map[string]any{"alg": "HS256", "kid": "k1", "typ": "JWT"}, claims)
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return text + "." + b64(m.Sum(nil))
}

func (p *provider) public() []byte {
	der, err := x509.MarshalPKIXPublicKey(&p.key.PublicKey)
	must(p.t, err)
	return der
}

// console is one that people may sign in to by the provider.
func (p *provider) console(change ...func(*Options)) *bench {
	return open(p.t, append([]func(*Options){func(o *Options) {
		o.Config.PublicURL = "https://console.example.com"
		o.Config.OIDC = config.OIDC{
			Issuer: p.server.URL, ClientID: clientID, ClientSecret: clientSecret, Scopes: []string{"openid", "email"},
			LoginClaim: "email", RoleClaim: "groups", Roles: []string{"media=marketer", "readers=viewer", "cn=admins,dc=example=admin"}, Label: "Sign in with Example",
		}
	}}, change...)...)
}

// back follows an address of the provider to where it sends the browser back.
func (p *provider) back(address string) string {
	p.t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(address)
	must(p.t, err)
	resp.Body.Close()
	u, err := url.Parse(resp.Header.Get("Location"))
	must(p.t, err)
	if resp.StatusCode != http.StatusFound || u.Host != "console.example.com" {
		p.t.Fatalf("the provider answered %d %s", resp.StatusCode, u)
	}
	return u.RequestURI()
}

// away is where a browser is sent to sign in.
func (w *browser) away(next string) string {
	w.b.t.Helper()
	got := w.get("/login/sso?next=" + url.QueryEscape(next))
	if got.status != http.StatusSeeOther {
		w.b.t.Fatalf("sent to the provider: %d %s", got.status, got.body)
	}
	return got.header.Get("Location")
}

// by signs in by the provider.
func (w *browser) by(p *provider, next string) answer { return w.get(p.back(w.away(next))) }
