package delivery

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	tokenTimeout = 10 * time.Second
	maxToken     = 64 << 10
	// tokenLife is for servers that do not say how long a token lives.
	tokenLife = 5 * time.Minute
)

// Disconnected says that the partner refused our credentials, so that nothing
// can be sent until a person acts.
type Disconnected struct{ Reason string }

func (d *Disconnected) Error() string { return d.Reason }

// tokens keeps the access token of one partner.
type tokens struct {
	client *http.Client
	now    func() time.Time

	renewing sync.Mutex // one renewal at a time; the others wait for its token

	mu      sync.Mutex
	account [sha256.Size]byte // whom the token is for
	token   string
	renewAt time.Time
	expires time.Time
}

// get returns a valid token, the one that stands unless it is old or refused.
func (t *tokens) get(ctx context.Context, a Account) (string, error) {
	if token, fresh := t.standing(a); fresh {
		return token, nil
	}
	t.renewing.Lock()
	defer t.renewing.Unlock()
	standing, fresh := t.standing(a)
	if fresh {
		return standing, nil
	}
	token, life, err := t.renew(ctx, a)
	if err != nil {
		var gone *Disconnected
		if standing != "" && !errors.As(err, &gone) {
			// Renewed early, so that a short outage of the token server costs nothing.
			return standing, nil
		}
		return "", err
	}
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.account, t.token = fingerprint(a), token
	t.expires = now.Add(life)
	t.renewAt = now.Add(life - min(life/5, 5*time.Minute))
	return token, nil
}

// standing is the token we have, if it still works, and whether it need not be
// renewed yet.
func (t *tokens) standing(a Account) (token string, fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if t.token == "" || t.account != fingerprint(a) || !now.Before(t.expires) {
		return "", false
	}
	return t.token, now.Before(t.renewAt)
}

// drop forgets a token that the partner refused.
func (t *tokens) drop(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token = ""
	}
}

func fingerprint(a Account) [sha256.Size]byte {
	return sha256.Sum256([]byte(strings.Join([]string{a.TokenURL, a.Credentials["client_id"], a.Credentials["client_secret"], a.Credentials["refresh_token"]}, "\x00")))
}

// renew asks for a token by the refresh_token grant. The call carries no
// Authorization header: Login with Amazon refuses it.
func (t *tokens) renew(ctx context.Context, a Account) (token string, life time.Duration, err error) {
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {a.Credentials["refresh_token"]},
		"client_id":     {a.Credentials["client_id"]},
		"client_secret": {a.Credentials["client_secret"]},
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, &Disconnected{"the address for tokens is no URL"}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := t.client.Do(req)
	if err != nil {
		return "", 0, fmt.Errorf("ask for an access token: %w", bare(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return "", 0, fmt.Errorf("read the access token: %w", err)
	}
	var answer struct {
		AccessToken string         `json:"access_token"`
		ExpiresIn   jsontext.Value `json:"expires_in"`
		Error       string         `json:"error"`
		Description string         `json:"error_description"`
	}
	bad := json.Unmarshal(body, &answer, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	switch s := resp.StatusCode; {
	case s == http.StatusOK && bad == nil && answer.AccessToken != "":
		return answer.AccessToken, lifetime(answer.ExpiresIn), nil
	case s == http.StatusOK:
		return "", 0, errors.New("the token server's answer holds no access token")
	case s == http.StatusTooManyRequests || s == http.StatusRequestTimeout || s >= 500:
		return "", 0, fmt.Errorf("the token server answered HTTP %d", s)
	}
	return "", 0, &Disconnected{refusal(resp.StatusCode, answer.Error)}
}

// refusal says an OAuth error to people. What the server says itself is left
// out: it may repeat what it was sent.
func refusal(status int, code string) string {
	switch code {
	case "invalid_grant":
		return "the refresh token was revoked or has expired (invalid_grant): connect the account again"
	case "invalid_client", "unauthorized_client":
		return "the client id or client secret is wrong (" + code + ")"
	}
	return "the token server refused the credentials (HTTP " + strconv.Itoa(status) + ")"
}

// lifetime reads seconds, as a number or a string.
func lifetime(v jsontext.Value) time.Duration {
	n, err := strconv.Atoi(strings.Trim(string(v), `"`))
	if err != nil || n <= 0 {
		return tokenLife
	}
	return min(time.Duration(n)*time.Second, 24*time.Hour)
}
