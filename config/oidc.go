package config

import (
	"net"
	"net/url"
	"slices"
	"strings"
)

// OIDC is the identity provider that people may sign in to the console by.
type OIDC struct {
	// Issuer is its address, exactly as it calls itself; empty: passwords alone.
	Issuer       string   `koanf:"issuer"`
	ClientID     string   `koanf:"client_id"`
	ClientSecret string   `koanf:"client_secret" secret:"true"`
	Scopes       []string `koanf:"scopes"`
	LoginClaim   string   `koanf:"login_claim"`
	RoleClaim    string   `koanf:"role_claim"`
	// Roles say which value of the role claim gives which role, such as "pixel-admins=admin".
	Roles           []string `koanf:"roles"`
	AdvertiserClaim string   `koanf:"advertiser_claim"`
	Label           string   `koanf:"label"`
}

// RoleOf reads a line of Roles. A value may itself have an equals sign, as names of
// directories do; a role has none.
func (OIDC) RoleOf(line string) (value, role string, ok bool) {
	i := strings.LastIndexByte(line, '=')
	if i < 0 {
		return "", "", false
	}
	value, role = strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+1:])
	return value, role, value != "" && slices.Contains([]string{"viewer", "marketer", "admin"}, role)
}

func (c Config) checkOIDC(bad *Invalid) {
	o := c.Admin.OIDC
	if o.Issuer == "" {
		if o.ClientID != "" || o.ClientSecret != "" || len(o.Roles) > 0 || o.AdvertiserClaim != "" {
			bad.add("admin.oidc.issuer", "must be set too, where other settings of admin.oidc are: the address of the identity provider, such as https://login.example.com")
		}
		return
	}
	// What comes over plain HTTP could be anybody's word.
	if u, err := url.Parse(o.Issuer); err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		bad.add("admin.oidc.issuer", "must be an https address such as https://login.example.com, as the provider calls itself, not %q", o.Issuer)
	}
	if c.Admin.PublicURL == "" {
		bad.add("admin.public_url", "must be set with admin.oidc.issuer: the provider sends people back to it")
	}
	if o.ClientID == "" {
		bad.add("admin.oidc.client_id", "must be set: the id under which the console is registered at the provider")
	}
	if !slices.Contains(o.Scopes, "openid") {
		bad.add("admin.oidc.scopes", "must have openid among them")
	}
	for key, claim := range map[string]string{"login": o.LoginClaim, "role": o.RoleClaim} {
		if claim == "" {
			bad.add("admin.oidc."+key+"_claim", "must name the claim that holds the %s", key)
		}
	}
	if len(o.Roles) == 0 {
		bad.add("admin.oidc.roles", "must say who gets which role, such as pixel-admins=admin; without it nobody could sign in")
	}
	for _, line := range o.Roles {
		if _, _, ok := o.RoleOf(line); !ok {
			bad.add("admin.oidc.roles", "must be lines such as pixel-admins=admin, with viewer, marketer or admin behind the equals sign, not %q", line)
		}
	}
	if o.Label == "" || len([]rune(o.Label)) > 60 {
		bad.add("admin.oidc.label", "must be 1 to 60 characters: what stands on the button")
	}
}

func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
