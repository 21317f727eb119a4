package delivery

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"github.com/miq/pixel/modules/partner"
)

// ask gets a new access token, in the way that the partner wants.
func (t *tokens) ask(ctx context.Context, a Account) (secret string, life time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	switch t.spec.Auth {
	case partner.Google:
		if a.Credentials[partner.ServiceAccount] != "" {
			return t.serviceAccount(ctx, a)
		}
	case partner.SignedAssertion:
		asserter, ok := t.adapter.(partner.Asserter)
		if !ok {
			return "", 0, fmt.Errorf("the adapter of %s makes no assertion", t.spec.Name)
		}
		return post(ctx, t.client, a.TokenURL, assertionForm(asserter.Assertion(a.Batch(t.now()), a.TokenURL), a, t.now()))
	}
	return post(ctx, t.client, a.TokenURL, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {a.Credentials[partner.RefreshSecret]},
		"client_id":     {a.Credentials[partner.ClientID]},
		"client_secret": {a.Credentials[partner.ClientSecret]},
	})
}

// serviceAccount asks for a token with an assertion that the key of a Google
// service account signs.
func (t *tokens) serviceAccount(ctx context.Context, a Account) (string, time.Duration, error) {
	key, err := ParseServiceAccount(a.Credentials[partner.ServiceAccount])
	if err != nil {
		return "", 0, &Disconnected{err.Error()}
	}
	c := jwt.Config{
		Email: key.Email, PrivateKey: []byte(key.PrivateKey), PrivateKeyID: key.KeyID,
		Scopes: t.spec.Scopes, TokenURL: a.TokenURL,
	}
	got, err := c.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, t.client)).Token()
	var refused *oauth2.RetrieveError
	switch {
	case err == nil && got.AccessToken == "":
		return "", 0, errors.New("the token server's answer holds no access token")
	case err == nil:
		life := tokenLife
		if !got.Expiry.IsZero() {
			life = min(max(time.Until(got.Expiry), time.Second), 24*time.Hour)
		}
		return got.AccessToken, life, nil
	case errors.As(err, &refused) && refused.Response != nil:
		code := refused.ErrorCode
		if code == "" {
			var body struct {
				Error string `json:"error"`
			}
			if json.Unmarshal(refused.Body, &body, jsontext.AllowDuplicateNames(true)) == nil {
				code = body.Error
			}
		}
		return "", 0, refusal(refused.Response.StatusCode, code, "the service account's key was revoked, or the account is disabled (invalid_grant): make a new key")
	}
	if u := bare(err); u != err {
		return "", 0, fmt.Errorf("ask for an access token: %w", u)
	}
	// The library quotes what it was given, perhaps the key.
	return "", 0, errors.New("ask for an access token: the service account's key cannot be used, or the answer cannot be read")
}

// Key is what is needed of a Google service account's key file.
type Key struct {
	Type       string `json:"type"`
	Email      string `json:"client_email"`
	KeyID      string `json:"private_key_id"`
	PrivateKey string `json:"private_key"`
}

// ParseServiceAccount reads a key file's JSON, and says what is wrong with it
// without repeating it.
func ParseServiceAccount(text string) (Key, error) {
	var k Key
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		return k, errors.New("the service account key is not the JSON of a key file, as Google's console downloads it")
	}
	if k.Type != "service_account" || k.Email == "" || !strings.Contains(k.PrivateKey, "PRIVATE KEY") {
		return k, errors.New("the service account key lacks type, client_email or private_key: paste the whole file")
	}
	return k, nil
}

// assertionForm is a client_credentials grant whose client signs with its own
// secret.
func assertionForm(s partner.Assertion, a Account, now time.Time) url.Values {
	life := s.Life
	if life <= 0 {
		life = 10 * time.Minute
	}
	claims, _ := json.Marshal(map[string]any{
		"iss": s.Client, "sub": s.Client, "aud": s.Audience, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(life).Unix(),
	}, json.Deterministic(true))
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode(claims)
	sum := hmac.New(sha256.New, []byte(a.Credentials[partner.ClientSecret]))
	sum.Write([]byte(signed))
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {signed + "." + encode(sum.Sum(nil))},
	}
	for name, value := range s.Form {
		if value != "" {
			form.Set(name, value)
		}
	}
	return form
}

// grantAnswer is what a token server says.
type grantAnswer struct {
	AccessToken  string         `json:"access_token"`
	RefreshToken string         `json:"refresh_token"`
	ExpiresIn    jsontext.Value `json:"expires_in"`
	Error        string         `json:"error"`
}

func post(ctx context.Context, client *http.Client, address string, form url.Values) (string, time.Duration, error) {
	answer, err := postForm(ctx, client, address, form)
	return answer.AccessToken, lifetime(answer.ExpiresIn), err
}

// postForm asks for a token. The call carries no Authorization header: Login with
// Amazon refuses it.
func postForm(ctx context.Context, client *http.Client, address string, form url.Values) (answer grantAnswer, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return answer, &Disconnected{"the address for tokens is no URL"}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return answer, fmt.Errorf("ask for an access token: %w", bare(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return answer, fmt.Errorf("read the access token: %w", err)
	}
	bad := json.Unmarshal(body, &answer, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	switch {
	case resp.StatusCode == http.StatusOK && bad == nil && answer.AccessToken != "":
		return answer, nil
	case resp.StatusCode == http.StatusOK:
		return answer, errors.New("the token server's answer holds no access token")
	}
	return answer, refusal(resp.StatusCode, answer.Error, "")
}

// refusal says an OAuth error to people. What the server says itself is left
// out: it may repeat what it was sent.
func refusal(status int, code, grant string) error {
	if status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500 {
		return fmt.Errorf("the token server answered HTTP %d", status)
	}
	switch code {
	case "invalid_grant":
		if grant == "" {
			grant = "the refresh token was revoked or has expired (invalid_grant): connect the account again"
		}
		return &Disconnected{grant}
	case "invalid_client", "unauthorized_client":
		return &Disconnected{"the client id or client secret is wrong (" + code + ")"}
	case "invalid_scope":
		return &Disconnected{"the account may not use the scope that is asked for (invalid_scope)"}
	}
	return &Disconnected{"the token server refused the credentials (HTTP " + strconv.Itoa(status) + ")"}
}

// lifetime reads seconds, as a number or a string.
func lifetime(v jsontext.Value) time.Duration {
	n, err := strconv.Atoi(strings.Trim(string(v), `"`))
	if err != nil || n <= 0 {
		return tokenLife
	}
	return min(time.Duration(n)*time.Second, 24*time.Hour)
}
