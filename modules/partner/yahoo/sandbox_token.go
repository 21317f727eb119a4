package yahoo

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/partner"
)

const (
	sandboxClient = "sandbox-client"
	tokenLife     = time.Hour
)

// client shows the client that the sandbox knows.
func (s *sandbox) client(w http.ResponseWriter, _ *http.Request) {
	partner.Hand(w, http.StatusOK, map[string]string{"client_id": sandboxClient, "client_secret": s.known()})
}

func (s *sandbox) known() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret == "" {
		s.secret = rand.Text()
	}
	return s.secret
}

// token answers a form of Yahoo's token endpoint.
func (s *sandbox) token(r *http.Request) (answer any, code, text string) {
	f := r.PostForm
	switch {
	case r.Header.Get("Authorization") != "" || f.Get("client_secret") != "":
		return nil, "invalid_request", "the client authenticates by its assertion alone; its secret is never sent"
	case f.Get("grant_type") != "client_credentials":
		return nil, "unsupported_grant_type", "grant_type must be client_credentials"
	case f.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
		return nil, "invalid_client", "client_assertion_type must be that of a JWT"
	}
	if code, text = s.assertion(f.Get("client_assertion"), f.Get("scope"), f.Get("realm")); code != "" {
		return nil, code, text
	}
	token := "eyJ." + rand.Text()
	s.mu.Lock()
	now := time.Now()
	for t, expires := range s.tokens {
		if now.After(expires) {
			delete(s.tokens, t)
		}
	}
	s.tokens[token] = now.Add(tokenLife)
	s.mu.Unlock()
	// Yahoo has been seen to write the number as a string.
	return map[string]string{"access_token": token, "token_type": "Bearer", "scope": f.Get("scope"), "expires_in": strconv.Itoa(int(tokenLife.Seconds()) - 1)}, "", ""
}

// assertion checks a client's JWT, in the form of DataX or in that of the DSP API,
// and says what is wrong with it.
func (s *sandbox) assertion(jwt, scope, realm string) (code, text string) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return "invalid_client", "the assertion must have three parts"
	}
	var raw [3][]byte
	for i, p := range parts {
		b, err := base64.RawURLEncoding.DecodeString(p)
		if err != nil {
			return "invalid_client", "the assertion must be base64url without padding"
		}
		raw[i] = b
	}
	var header struct {
		Alg string `json:"alg"`
		Typ string `json:"typ"`
	}
	var c struct {
		Iss string `json:"iss"`
		Sub string `json:"sub"`
		Aud string `json:"aud"`
		Jti string `json:"jti"`
		Iat int64  `json:"iat"`
		Exp int64  `json:"exp"`
	}
	if json.Unmarshal(raw[0], &header) != nil || json.Unmarshal(raw[1], &c, json.RejectUnknownMembers(true)) != nil {
		return "invalid_client", "the assertion's header or claims cannot be read"
	}
	dsp := realm == "dsp"
	prefix, audience, longest := "idb2b.dsp.datax.", "https://id.b2b.yahooincapis.com/zts/v1", int64(3600)
	scopes := []string{"idb2b.dsp.datax:role.online.writer", "idb2b.dsp.datax:role.batch.writer"}
	if dsp {
		prefix, audience, longest, scopes = "", tokenURL+"?realm=dsp", 600, []string{"dsp-api-access"}
	}
	now := time.Now().Unix()
	switch {
	case header.Alg != "HS256":
		return "invalid_client", "alg must be HS256"
	case c.Iss == "" || c.Iss != c.Sub || !strings.HasPrefix(c.Iss, prefix) || strings.Contains(c.Iss, "revoked"):
		return "invalid_client", "iss and sub must be the client id"
	case c.Aud != audience:
		return "invalid_client", "aud must be " + audience
	case c.Exp <= now || c.Iat > now+60 || c.Exp > c.Iat+longest:
		return "invalid_client", "the assertion is expired, not valid yet, or valid for too long"
	case c.Jti == "":
		return "invalid_client", "jti is missing"
	case !slices.Contains(scopes, scope):
		return "invalid_scope", "the client may not have this scope"
	case len(raw[2]) != sha256.Size:
		return "invalid_client", "the signature is none of HS256"
	}
	if strings.TrimPrefix(c.Iss, prefix) == sandboxClient {
		sign := hmac.New(sha256.New, []byte(s.known()))
		sign.Write([]byte(parts[0] + "." + parts[1]))
		if !hmac.Equal(sign.Sum(nil), raw[2]) {
			return "invalid_client", "the signature is not by the client's secret"
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, until := range s.jtis {
		if until.Unix() < now {
			delete(s.jtis, id)
		}
	}
	if _, used := s.jtis[c.Jti]; used {
		return "invalid_client", "the jti was used before"
	}
	s.jtis[c.Jti] = time.Unix(c.Exp, 0)
	return "", ""
}
