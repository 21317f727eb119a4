package admin

import (
	"cmp"
	"crypto/rand"
	"errors"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/state"
)

// An account is connected by OAuth 2: the administrator is sent to the partner with
// a state that only we know, agrees there, and comes back with a code, for which
// the partner gives a refresh token. It goes straight into the sealed credentials.

var errNoConnect = errors.New("this partner's accounts are not connected in the console; set its credentials instead")

// connecting is what is remembered while the administrator is away.
type connecting struct {
	Partner  string `json:"partner"`
	Account  string `json:"account,omitempty"`
	Verifier string `json:"verifier"`
	Who      string `json:"who"`
}

// connectTime is how long the administrator may take.
const connectTime = 10 * time.Minute

// redirectURI is where the partner sends the administrator back to; it has to be
// registered there.
func (a *Admin) redirectURI() string { return a.URL() + "/connected" }

func connectKey(state string) string { return "connect:" + state }

// connectPage sends the administrator to the partner. It is a link and no form,
// since the page's policy lets no form go elsewhere.
func (a *Admin) connectPage(c *echo.Context) error {
	name, account := param(c, "name"), c.QueryParam("account")
	spec, ok := a.partners.specs[name]
	if !ok {
		return errNoPartner
	}
	if spec.Connect == nil {
		return errNoConnect
	}
	back := "/partners/" + name + "#credentials"
	credentials, err := a.o.Settings.Credentials(a.o.Settings.Partner(name), account)
	if err != nil || credentials[partner.ClientID] == "" || credentials[partner.ClientSecret] == "" {
		return a.done(c, back, "Save the client id and the client secret first: the account is connected for that application.")
	}
	address := cmp.Or(a.o.Partners[name].AuthorizeURL, spec.Connect.Regions[c.QueryParam("region")], spec.Connect.AuthorizeURL)
	key, verifier := rand.Text(), rand.Text()+rand.Text()
	to, err := delivery.AuthorizeURL(*spec.Connect, address, credentials[partner.ClientID], a.redirectURI(), key, verifier)
	if err != nil {
		return err
	}
	body, err := json.Marshal(connecting{name, account, verifier, me(c).ID})
	if err != nil {
		return err
	}
	if err := a.o.State.Set(c.Request().Context(), state.Entry{Key: connectKey(key), Value: body, TTL: connectTime}); err != nil {
		return err
	}
	return c.Redirect(303, to)
}

// connectedPage takes the administrator back.
func (a *Admin) connectedPage(c *echo.Context) error {
	ctx, key := c.Request().Context(), c.QueryParam("state")
	values, err := a.o.State.Get(ctx, connectKey(key))
	if err != nil {
		return err
	}
	var was connecting
	if key == "" || values[0] == nil || json.Unmarshal(values[0], &was) != nil || was.Who != me(c).ID {
		return a.done(c, "/partners", "Not connected: this way back is not known, was used already, or took longer than ten minutes. Connect again.")
	}
	// A state is good once.
	if err := a.o.State.Delete(ctx, connectKey(key)); err != nil {
		return err
	}
	back, title := "/partners/"+url.PathEscape(was.Partner), a.partners.title(was.Partner)
	switch why := c.QueryParam("error"); {
	case why == "access_denied":
		return a.done(c, back, "Not connected: access was refused at "+title+".")
	case why != "":
		return a.done(c, back, "Not connected: "+title+" says "+partner.Cut(why, 60)+". Check the client id and that "+a.redirectURI()+" is registered as a redirect address there.")
	case c.QueryParam("code") == "":
		return a.done(c, back, "Not connected: "+title+" sent no code.")
	}
	p := a.o.Settings.Partner(was.Partner)
	credentials, err := a.o.Settings.Credentials(p, was.Account)
	if err != nil {
		return a.done(c, back, "Not connected: "+err.Error())
	}
	spec := a.partners.specs[was.Partner]
	account := delivery.AccountOf(spec, a.o.Partners[was.Partner], p, credentials)
	refresh, err := a.senders[was.Partner].Connect(ctx, *spec.Connect, account, c.QueryParam("code"), a.redirectURI(), was.Verifier)
	if err != nil {
		return a.done(c, back, "Not connected: "+err.Error())
	}
	set := map[string]*string{partner.RefreshSecret: &refresh}
	in := partnerChange{Credentials: set}
	if was.Account != "" {
		in = partnerChange{Accounts: map[string]map[string]*string{was.Account: set}}
	}
	if err := a.changePartner(ctx, me(c), was.Partner, in); err != nil {
		return err
	}
	return a.done(c, back, title+" is connected. Send a test event to see that it works.")
}
