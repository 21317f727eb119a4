package dv360

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/miq/pixel/modules/partner"
)

const (
	accountEmail = "pixel@sandbox.iam.gserviceaccount.com"
	tokenLife    = time.Hour
)

// signer is the service account's key, made when it is first asked for.
type signer struct {
	once sync.Once
	key  *rsa.PrivateKey
	err  error
}

func (s *signer) get() (*rsa.PrivateKey, error) {
	s.once.Do(func() { s.key, s.err = rsa.GenerateKey(rand.Reader, 2048) })
	return s.key, s.err
}

// keyFile is what Google's console gives to download once.
func (s *sandbox) keyFile(w http.ResponseWriter, _ *http.Request) {
	key, err := s.key.get()
	if err != nil {
		http.Error(w, "no key could be made", http.StatusInternalServerError)
		return
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		http.Error(w, "no key could be made", http.StatusInternalServerError)
		return
	}
	partner.Hand(w, http.StatusOK, map[string]string{
		"type": "service_account", "project_id": "sandbox", "private_key_id": "sandbox-1",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": accountEmail, "client_id": "100000000000000000000", "token_uri": tokenURL,
	})
}

// token answers a form of Google's token endpoint.
func (s *sandbox) token(r *http.Request) (answer any, code, text string) {
	scopes := cm360Scope + " " + dataManagerScope
	switch f := r.PostForm; f.Get("grant_type") {
	case "refresh_token":
		token := f.Get("refresh_token")
		switch {
		case f.Get("client_id") == "" || f.Get("client_secret") == "":
			return nil, "invalid_client", "The OAuth client was not found."
		case token == "" || strings.HasPrefix(token, "revoked"):
			return nil, "invalid_grant", "Token has been expired or revoked."
		case strings.Contains(token, "cm360-only"):
			scopes = cm360Scope
		case strings.Contains(token, "datamanager-only"):
			scopes = dataManagerScope
		}
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		if scopes, code, text = s.assertion(f.Get("assertion"), r.Host); code != "" {
			return nil, code, text
		}
	default:
		return nil, "unsupported_grant_type", "Invalid grant_type: " + f.Get("grant_type")
	}
	token := "ya29." + rand.Text()
	s.mu.Lock()
	now := time.Now()
	for t, g := range s.tokens {
		if now.After(g.expires) {
			delete(s.tokens, t)
		}
	}
	s.tokens[token] = grant{scopes, now.Add(tokenLife)}
	s.mu.Unlock()
	return map[string]any{"access_token": token, "expires_in": int(tokenLife.Seconds()), "scope": scopes, "token_type": "Bearer"}, "", ""
}

// assertion checks a service account's JWT, and returns the scopes that it asks
// for or what is wrong with it.
func (s *sandbox) assertion(jwt, host string) (scopes, code, text string) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return "", "invalid_grant", "Invalid JWT: must have three parts."
	}
	var raw [3][]byte
	for i, p := range parts {
		b, err := base64.RawURLEncoding.DecodeString(p)
		if err != nil {
			return "", "invalid_grant", "Invalid JWT: must be base64url without padding."
		}
		raw[i] = b
	}
	var header struct {
		Alg string `json:"alg"`
		Typ string `json:"typ"`
		Kid string `json:"kid"`
	}
	var claims struct {
		Iss   string `json:"iss"`
		Scope string `json:"scope"`
		Aud   string `json:"aud"`
		Sub   string `json:"sub"`
		Jti   string `json:"jti"`
		Iat   int64  `json:"iat"`
		Exp   int64  `json:"exp"`
	}
	if strict(raw[0], &header) != nil || strict(raw[1], &claims) != nil {
		return "", "invalid_grant", "Invalid JWT: header or claims."
	}
	now := time.Now().Unix()
	for _, asked := range strings.Fields(claims.Scope) {
		if asked != cm360Scope && asked != dataManagerScope {
			return "", "invalid_scope", "Invalid OAuth scope or ID token audience provided."
		}
	}
	switch {
	case header.Alg != "RS256":
		return "", "invalid_grant", "Invalid JWT: alg must be RS256."
	case claims.Scope == "":
		return "", "invalid_scope", "scope is missing."
	case claims.Aud != tokenURL && !strings.HasSuffix(claims.Aud, "/token") || claims.Aud != tokenURL && !strings.Contains(claims.Aud, "://"+host+"/"):
		return "", "invalid_grant", "Invalid JWT: aud must be the token endpoint."
	case claims.Exp <= now || claims.Iat > now+60 || claims.Exp > claims.Iat+3600:
		return "", "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
	case claims.Iss != accountEmail:
		return "", "invalid_grant", "Invalid grant: account not found"
	}
	key, err := s.key.get()
	if err != nil {
		return "", "server_error", "no key"
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], raw[2]) != nil {
		return "", "invalid_grant", "Invalid JWT Signature."
	}
	return claims.Scope, "", ""
}
