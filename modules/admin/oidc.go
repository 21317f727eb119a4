package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/miq/pixel/config"
)

// sso is the identity provider that people may sign in by (OpenID Connect). It is asked
// for its addresses when somebody wants in, so that the console starts, and passwords
// work, while it is away.
type sso struct {
	o      config.OIDC
	roles  map[string]Role // by value of the role claim
	client *http.Client
	now    func() time.Time

	mu      sync.Mutex
	known   *oidc.Provider
	learnt  time.Time
	failed  time.Time
	failure error
}

const (
	// relearn is how long the provider's addresses are taken to be as they were. Its keys
	// are looked up as tokens name them.
	relearn = time.Hour
	// unaskedFor is how long a provider that is away is left alone, so that those who
	// click do not wait for one another.
	unaskedFor = 3 * time.Second
	ssoTimeout = 10 * time.Second
)

// errAway says that the provider does not answer, or not as one does.
var errAway = errors.New("the identity provider cannot be reached")

// newSSO returns nil where there is no provider.
func newSSO(o config.OIDC, now func() time.Time) *sso {
	if o.Issuer == "" {
		return nil
	}
	s := &sso{o: o, roles: map[string]Role{}, client: &http.Client{Timeout: ssoTimeout}, now: now}
	for _, line := range o.Roles {
		if value, role, ok := o.RoleOf(line); ok && Role(role).rank() > s.roles[value].rank() {
			s.roles[value] = Role(role)
		}
	}
	return s
}

func (s *sso) discover() (*oidc.Provider, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.known != nil && now.Sub(s.learnt) < relearn {
		return s.known, nil
	}
	if now.Sub(s.failed) >= unaskedFor {
		// Not the request's context: others wait for the same answer.
		p, err := oidc.NewProvider(oidc.ClientContext(context.Background(), s.client), s.o.Issuer)
		if err == nil {
			s.known, s.learnt = p, now
			return p, nil
		}
		s.failed, s.failure = now, fmt.Errorf("%w: %s", errAway, short(err.Error(), 300))
	}
	if s.known != nil { // as it was is better than not at all
		return s.known, nil
	}
	return nil, s.failure
}

func (s *sso) oauth(p *oidc.Provider, back string) *oauth2.Config {
	to := p.Endpoint()
	var says struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	_ = p.Claims(&says) // absent is basic, by the specification
	to.AuthStyle = oauth2.AuthStyleInHeader
	if s.o.ClientSecret == "" || len(says.Methods) > 0 && !slices.Contains(says.Methods, "client_secret_basic") {
		to.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{ClientID: s.o.ClientID, ClientSecret: s.o.ClientSecret, Endpoint: to, RedirectURL: back, Scopes: s.o.Scopes}
}

// address is where to send a browser for a code.
func (s *sso) address(back string, t trip) (string, error) {
	p, err := s.discover()
	if err != nil {
		return "", err
	}
	return s.oauth(p, back).AuthCodeURL(t.State, oidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier)), nil
}

// claims are what the provider says of somebody: the ID token's, and behind it the
// user info's, which some providers keep groups and addresses in.
type claims struct {
	Subject string
	parts   []map[string]any
}

// redeem gives the code back to the provider, for a token that is checked to be the
// provider's, for us, in time, and for this very trip.
func (s *sso) redeem(ctx context.Context, back, code string, t trip) (claims, error) {
	p, err := s.discover()
	if err != nil {
		return claims{}, err
	}
	ctx = oidc.ClientContext(ctx, s.client)
	token, err := s.oauth(p, back).Exchange(ctx, code, oauth2.VerifierOption(t.Verifier))
	if err != nil {
		// Its answer is not ours to log whole.
		if no, ok := errors.AsType[*oauth2.RetrieveError](err); ok && no.Response != nil && no.Response.StatusCode < 500 {
			return claims{}, fmt.Errorf("it did not take the code: %d %s", no.Response.StatusCode, short(no.ErrorCode, 60))
		}
		return claims{}, fmt.Errorf("%w: %s", errAway, short(err.Error(), 300))
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return claims{}, errors.New("it sent no ID token")
	}
	id, err := p.Verifier(&oidc.Config{ClientID: s.o.ClientID, Now: s.now}).Verify(ctx, raw)
	if err != nil {
		return claims{}, err
	}
	says := map[string]any{}
	if err := id.Claims(&says); err != nil {
		return claims{}, fmt.Errorf("claims: %w", err)
	}
	switch azp, there := says["azp"]; {
	case id.Nonce == "" || !same(id.Nonce, t.Nonce):
		return claims{}, errors.New("the nonce is another sign-in's")
	case id.Subject == "":
		return claims{}, errors.New("the token names nobody")
	case there && azp != s.o.ClientID:
		return claims{}, errors.New("the token was made for another application (azp)")
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return claims{}, err
		}
	}
	c := claims{id.Subject, []map[string]any{says}}
	if p.UserInfoEndpoint() == "" || s.enough(c) {
		return c, nil
	}
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return claims{}, fmt.Errorf("%w: user info: %s", errAway, short(err.Error(), 300))
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil || info.Subject != id.Subject {
		return claims{}, errors.Join(errors.New("the user info is somebody else's"), err)
	}
	c.parts = append(c.parts, more)
	return c, nil
}

// enough reports whether the token alone has all that is looked for.
func (s *sso) enough(c claims) bool {
	_, err := s.login(c)
	return err == nil && len(c.values(s.o.RoleClaim)) > 0 && (s.o.AdvertiserClaim == "" || len(c.values(s.o.AdvertiserClaim)) > 0)
}

// values are those of a claim, of one or many; of the first part that has any.
func (c claims) values(name string) []string {
	for _, part := range c.parts {
		if list := texts(at(part, name)); len(list) > 0 {
			return list
		}
	}
	return nil
}

// at is the claim of a name, which may hold dots, or lead by dots into a claim.
func at(part map[string]any, name string) any {
	if v, ok := part[name]; ok {
		return v
	}
	head, rest, _ := strings.Cut(name, ".")
	if inner, ok := part[head].(map[string]any); ok && rest != "" {
		return at(inner, rest)
	}
	return nil
}

func texts(v any) (out []string) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, x := range list {
		if s, ok := x.(string); ok && strings.TrimSpace(s) != "" {
			out = append(out, strings.TrimSpace(s))
		}
	}
	return out
}

// Why somebody whom the provider knows is turned away, for them to read.
var (
	errNoName       = turned{http.StatusForbidden, "The identity provider did not say who you are. Whoever runs the console should look at admin.oidc.login_claim and admin.oidc.scopes."}
	errUnverified   = turned{http.StatusForbidden, "The identity provider does not say that your e-mail address is verified. Verify it there, then try again; if it is, whoever runs the console should choose another admin.oidc.login_claim."}
	errNoRole       = turned{http.StatusForbidden, "You are known, but nothing gives you a role here. Ask whoever looks after accounts in your organisation for a group that may use the console."}
	errNoAdvertiser = turned{http.StatusForbidden, "You are known, but no advertiser is named for you. Ask whoever looks after accounts in your organisation which you may see."}
	errNameTaken    = turned{http.StatusConflict, "There is somebody else of your name here: with a password, or another account at the identity provider. Ask an admin of the console to remove that one on the page People, then try again."}
)

// turned is a reason to let somebody not in.
type turned struct {
	status  int
	message string
}

func (t turned) Error() string { return t.message }

// login is what somebody is called here. An address counts where the same source says
// that it was verified: anybody can claim to have one.
func (s *sso) login(c claims) (string, error) {
	if s.o.LoginClaim != "email" {
		if list := c.values(s.o.LoginClaim); len(list) > 0 {
			return list[0], nil
		}
		return "", errNoName
	}
	err := errNoName
	for _, part := range c.parts {
		address, _ := part["email"].(string)
		if strings.TrimSpace(address) == "" {
			continue
		}
		if ok := part["email_verified"]; ok == true || ok == "true" { // some write it as text
			return address, nil
		}
		err = errUnverified
	}
	return "", err
}

// grant is what somebody may do, by what the provider says of them.
func (s *sso) grant(c claims) (role Role, advertisers []string, err error) {
	for _, v := range c.values(s.o.RoleClaim) {
		if r := s.roles[v]; r.rank() > role.rank() {
			role = r
		}
	}
	if !role.valid() {
		return role, nil, errNoRole
	}
	if role == Administrator || s.o.AdvertiserClaim == "" {
		return role, nil, nil
	}
	advertisers = named(c.values(s.o.AdvertiserClaim))
	if len(advertisers) == 0 {
		return role, nil, errNoAdvertiser
	}
	if slices.Contains(advertisers, "*") {
		advertisers = nil
	}
	return role, advertisers, nil
}
