// Package delivery makes one request to a partner, sends it and reads the
// answer: what the dispatcher does all day, and the console for a test event.
// It knows no queue, no retries and no breaker; whoever calls it does.
//
// It promises that every delivery given to Send has a result afterwards,
// whatever happened; that an answer is read to at most 1 MiB; that no redirect
// takes a request elsewhere; and that nothing in an Exchange holds a secret.
package delivery

import (
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/settings"
)

// Account is what a partner's requests need beside the events.
type Account struct {
	Endpoint    string // empty: the partner's own
	TokenURL    string
	Settings    jsontext.Value
	Credentials map[string]string
	Test        bool // use the partner's test flag; see partner.Spec.Test
}

// AccountOf puts together what the configuration and the administrators say of
// a partner.
func AccountOf(spec partner.Spec, c config.Partner, p settings.Partner, credentials map[string]string) Account {
	a := Account{Endpoint: c.Endpoint, TokenURL: c.TokenURL, Settings: p.Settings, Credentials: credentials}
	if a.TokenURL == "" {
		a.TokenURL = spec.TokenURL
	}
	return a
}

// Batch is the account as adapters want it, without deliveries.
func (a Account) Batch(now time.Time) partner.Batch {
	return partner.Batch{Endpoint: a.Endpoint, Settings: a.Settings, Credentials: a.Credentials, Now: now}
}

// Missing says which credentials are needed but not there, "" if none.
func (a Account) Missing(spec partner.Spec) string {
	for _, c := range spec.Credentials {
		if !c.Optional && a.Credentials[c.Name] == "" {
			return fmt.Sprintf("%s needs the credential %q: set it in the console", spec.Title, c.Title)
		}
	}
	if spec.Auth == partner.Google && a.Credentials[partner.ServiceAccount] == "" {
		for _, name := range []string{partner.ClientID, partner.ClientSecret, partner.RefreshSecret} {
			if a.Credentials[name] == "" {
				return spec.Title + " needs a service account's key, or an account that is connected by client id, client secret and refresh token: set one in the console"
			}
		}
	}
	return ""
}

// missing is Missing where the batch's request needs a token.
func (a Account) missing(adapter partner.Adapter, spec partner.Spec, b partner.Batch) string {
	if _, ok := adapter.(partner.Tokenless); ok && !partner.NeedsToken(adapter, b) {
		return ""
	}
	return a.Missing(spec)
}

// Exchange is a request and what came of it. Secrets in it are masked.
type Exchange struct {
	// Method is empty if no request was made: Receipt says why.
	Method        string
	URL           string
	RequestHeader http.Header
	RequestBody   []byte
	Payload       string // SHA-256 of the body that was sent, hex
	Status        int    // 0 if no answer came
	AnswerHeader  http.Header
	Answer        []byte
	Latency       time.Duration
	At            time.Time
	Receipt       partner.Receipt
	// Refused are the events that the adapter left out of the request.
	Refused        map[string]bool
	TooLargeToSend bool // the body is over the partner's limit, so it was not sent
	// Unsure is set where the request left and no answer came: the partner may have
	// taken it or not.
	Unsure bool

	authorised bool // by a token
}

// Sent reports whether a request went out.
func (x Exchange) Sent() bool { return x.Method != "" && !x.TooLargeToSend }
