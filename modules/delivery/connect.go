package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/miq/pixel/modules/partner"
)

// AuthorizeURL is where an administrator is sent to connect an account. The
// verifier is PKCE's; it goes along where the partner takes it.
func AuthorizeURL(g partner.Grant, address, clientID, redirect, state, verifier string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("the address to authorise at is no URL")
	}
	q := u.Query()
	q.Set("response_type", "code")
	q.Set("client_id", clientID)
	q.Set("redirect_uri", redirect)
	q.Set("scope", strings.Join(g.Scopes, " "))
	q.Set("state", state)
	for name, value := range g.Params {
		q.Set(name, value)
	}
	if g.PKCE {
		sum := sha256.Sum256([]byte(verifier))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		q.Set("code_challenge_method", "S256")
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// ExchangeCode turns a code that came back into a refresh token. Its errors are for
// people.
func ExchangeCode(ctx context.Context, client *http.Client, g partner.Grant, a Account, code, redirect, verifier string) (refresh string, err error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	form := url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {redirect},
		"client_id":     {a.Credentials[partner.ClientID]},
		"client_secret": {a.Credentials[partner.ClientSecret]},
	}
	if g.PKCE {
		form.Set("code_verifier", verifier)
	}
	answer, err := postForm(ctx, client, a.TokenURL, form)
	switch {
	case err != nil && answer.Error == "invalid_grant":
		return "", errors.New("the code was used already, has expired, or was made for another address (invalid_grant): connect again")
	case err != nil:
		return "", err
	case answer.RefreshToken == "":
		return "", errors.New("the partner gave an access token but no refresh token: remove this application's access in the account there, then connect again")
	}
	return answer.RefreshToken, nil
}

// Connect is ExchangeCode over the sender's own connections.
func (s *Sender) Connect(ctx context.Context, g partner.Grant, a Account, code, redirect, verifier string) (string, error) {
	return ExchangeCode(ctx, s.client, g, a, code, redirect, verifier)
}
