package partnertest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/partner"
)

// tokenForm is what is posted for an access token. It is made here once more and
// not by what makes it in earnest, so that a sandbox has something to compare.
func tokenForm(t *testing.T, a partner.Adapter, b partner.Batch) url.Values {
	t.Helper()
	form := url.Values{}
	as, signs := a.(partner.Asserter)
	if a.Spec().Auth != partner.SignedAssertion || !signs {
		form.Set("grant_type", "refresh_token")
		for k, v := range b.Credentials {
			form.Set(k, v)
		}
		return form
	}
	say := as.Assertion(b, a.Spec().TokenURL)
	claims, err := json.Marshal(map[string]any{
		"iss": say.Client, "sub": say.Client, "aud": say.Audience, "jti": "partnertest",
		"iat": b.Now.Unix(), "exp": b.Now.Add(min(say.Life, time.Hour)).Unix(),
	}, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	plain := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sign := hmac.New(sha256.New, []byte(b.Credentials[partner.ClientSecret]))
	sign.Write([]byte(plain))
	form.Set("grant_type", "client_credentials")
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", plain+"."+base64.RawURLEncoding.EncodeToString(sign.Sum(nil)))
	for k, v := range say.Form {
		form.Set(k, v)
	}
	return form
}
