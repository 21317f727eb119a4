package partner

import "time"

// Auth is how requests are authorised.
type Auth string

// The kinds of Auth. All but NoAuth put an access token from TokenURL into
// Authorization: Bearer.
const (
	// NoAuth: ids in the body say whose event it is.
	NoAuth Auth = "none"
	// RefreshToken: OAuth 2 refresh_token grant with the credentials client_id,
	// client_secret and refresh_token.
	RefreshToken Auth = "refresh_token"
	// Google: with the credential service_account, the JSON of a key file, an
	// assertion signed with its key (RFC 7523) for Spec.Scopes; without it as
	// RefreshToken. All four credentials are optional, one way is needed.
	Google Auth = "google"
	// SignedAssertion: OAuth 2 client_credentials grant, the client proving itself
	// by a JWT that it signs with its own secret (HS256). The credentials are
	// client_id and client_secret; the adapter is an Asserter.
	SignedAssertion Auth = "signed_assertion"
)

// The credentials that the kinds of Auth read.
const (
	ClientID       = "client_id"
	ClientSecret   = "client_secret"
	RefreshSecret  = "refresh_token"
	ServiceAccount = "service_account"
)

// Grant is how an administrator connects an account in the console, by OAuth 2's
// authorisation code, instead of pasting a refresh token.
type Grant struct {
	AuthorizeURL string
	// Regions are other addresses by name, where they depend on the account's
	// region; the administrator chooses.
	Regions map[string]string
	Scopes  []string
	// Params are what the address takes beside OAuth's own, such as
	// access_type=offline.
	Params map[string]string
	// PKCE is set where the server takes a code challenge (S256).
	PKCE bool
}

// Assertion is what goes into a client's signed assertion beside what every one
// holds.
type Assertion struct {
	Client   string // iss and sub
	Audience string
	Life     time.Duration
	// Form is sent beside the assertion, such as scope.
	Form map[string]string
}

// Asserter is an Adapter whose Auth is SignedAssertion.
type Asserter interface {
	Adapter
	// Assertion says it by the settings and credentials; the batch needs no
	// deliveries, and TokenURL is where the assertion goes.
	Assertion(b Batch, tokenURL string) Assertion
}

// Tokenless is an Adapter that can do without a token under some settings.
type Tokenless interface {
	Adapter
	// NeedsToken reports whether a batch's request does; its deliveries are of one
	// group.
	NeedsToken(Batch) bool
}

// NeedsToken reports whether a batch's request needs an access token.
func NeedsToken(a Adapter, b Batch) bool {
	if auth := a.Spec().Auth; auth == NoAuth || auth == "" {
		return false
	}
	t, ok := a.(Tokenless)
	return !ok || t.NeedsToken(b)
}
