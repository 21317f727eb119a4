package admin

import (
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// overHTTP is for tests in which a cookie has to come back: secure cookies are not sent over the
// test's HTTP.
func overHTTP(o *Options) { o.Config.PublicURL = "http://console.example.com" }

func TestSigningInByTheProvider(t *testing.T) {
	p := newProvider(t)
	b := p.console(overHTTP)
	w := b.browser()
	if got := w.get("/login?next=/pixels"); !strings.Contains(got.body, `href="/login/sso?next=%2fpixels"`) || !strings.Contains(got.body, "Sign in with Example") {
		t.Errorf("no button: %s", got.body)
	}
	got := w.by(p, "/pixels?page=2")
	if got.status != http.StatusSeeOther || got.header.Get("Location") != "/pixels?page=2" {
		t.Fatalf("back: %d %s", got.status, got.body)
	}
	if got := w.get("/pixels/new"); got.status != 200 {
		t.Errorf("a marketer's page: %d", got.status)
	}
	if got := w.get("/people"); got.status != http.StatusForbidden {
		t.Errorf("an admin's page: %d", got.status)
	}
	u, _, ok, err := b.people.users.get(t.Context(), userID("ada@example.com"))
	must(t, err)
	if !ok || u.Role != Marketer || u.Subject != "sub-ada" || u.Issuer != p.server.URL || u.Password != "" {
		t.Errorf("made %+v", u)
	}
	log, err := b.audit.list(t.Context())
	must(t, err)
	if len(log) != 1 || log[0].Action != "user.create" || log[0].Actor.ID != u.ID {
		t.Errorf("audit: %+v", log)
	}
	if got := w.post("/logout", nil); got.status != http.StatusSeeOther || w.get("/pixels").status != http.StatusSeeOther {
		t.Errorf("still in after signing out: %d", got.status)
	}
	// The second time nobody is made.
	if got := w.by(p, "/"); got.status != http.StatusSeeOther {
		t.Errorf("again: %d %s", got.status, got.body)
	}
	if list, _ := b.people.list(t.Context()); len(list) != 1 {
		t.Errorf("%d users", len(list))
	}
}

func TestWhereSomebodyIsSentBackToIsOurs(t *testing.T) {
	p := newProvider(t)
	b := p.console(overHTTP)
	for _, next := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "javascript:alert(1)", "", "/" + strings.Repeat("x", 5000)} {
		if got := b.browser().by(p, next); got.header.Get("Location") != "/" {
			t.Errorf("%.40q leads to %q", next, got.header.Get("Location"))
		}
	}
}

func TestATokenThatIsNotWhatItMustBeLetsNobodyIn(t *testing.T) {
	p := newProvider(t)
	b := p.console(overHTTP)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	public := p.public()
	for name, c := range map[string]struct {
		says  map[string]any
		forge func(*provider, map[string]any) string
	}{
		"another nonce":     {says: map[string]any{"nonce": "another"}},
		"no nonce":          {says: map[string]any{"nonce": nil}},
		"another audience":  {says: map[string]any{"aud": "somebody else"}},
		"made for another":  {says: map[string]any{"aud": []string{clientID, "other"}, "azp": "other"}},
		"another issuer":    {says: map[string]any{"iss": "https://evil.example"}},
		"expired":           {says: map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}},
		"without end":       {says: map[string]any{"exp": nil}},
		"not yet":           {says: map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}},
		"of nobody":         {says: map[string]any{"sub": ""}},
		"of another access": {says: map[string]any{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}},
		"alg none": {forge: func(_ *provider, c map[string]any) string {
			return unsigned(map[string]any{"alg": "none"}, c) + "."
		}},
		"HS256 by the public key": {forge: func(_ *provider, c map[string]any) string { return hmacBy(public, c) }},
		"HS256 by the secret":     {forge: func(_ *provider, c map[string]any) string { return hmacBy([]byte(clientSecret), c) }},
		"another's key":           {forge: func(_ *provider, c map[string]any) string { return signedBy(other, c) }},
		"a changed claim": {forge: func(p *provider, c map[string]any) string {
			good := strings.Split(p.sign(c), ".")
			c["groups"] = []string{"cn=admins,dc=example"}
			return strings.Split(p.sign(c), ".")[0] + "." + strings.Split(unsigned(nil, c), ".")[1] + "." + good[2]
		}},
		"no token": {forge: func(*provider, map[string]any) string { return "" }},
		"rubbish":  {forge: func(*provider, map[string]any) string { return "a.b.c" }},
	} {
		t.Run(name, func(t *testing.T) {
			p.mu.Lock()
			p.says, p.forge = c.says, c.forge
			p.mu.Unlock()
			w := b.browser()
			got := w.by(p, "/")
			if got.status != http.StatusUnauthorized || !strings.Contains(got.body, "did not hold") {
				t.Errorf("%d %.300s", got.status, got.body)
			}
			if got := w.get("/pixels"); got.status != http.StatusSeeOther {
				t.Errorf("is in: %d", got.status)
			}
		})
	}
	if list, _ := b.people.list(t.Context()); len(list) != 0 {
		t.Errorf("made %d users", len(list))
	}
	p.says, p.forge = nil, nil
	if got := b.browser().by(p, "/"); got.status != http.StatusSeeOther {
		t.Errorf("a right one: %d", got.status)
	}
}

func TestAWayBackIsOneBrowsersAndGoodOnceAndForTenMinutes(t *testing.T) {
	p := newProvider(t)
	now := time.Now()
	b := p.console(overHTTP, func(o *Options) { o.Now = func() time.Time { return now } })
	refused := func(what string, got answer) {
		t.Helper()
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, "Sign in again") {
			t.Errorf("%s: %d %.300s", what, got.status, got.body)
		}
	}
	w := b.browser()
	refused("out of nothing", w.get("/login/sso/back?code=x&state=y"))
	refused("with nothing", w.get("/login/sso/back"))

	back := p.back(w.away("/"))
	refused("in another browser", b.browser().get(back))
	elsewhere := b.browser()
	elsewhere.away("/")
	refused("in another browser that is on its way too", elsewhere.get(back))

	home, err := url.Parse(b.server.URL + ssoBack)
	must(t, err)
	kept := w.client.Jar.Cookies(home)
	if got := w.get(back); got.status != http.StatusSeeOther {
		t.Fatalf("in its own: %d %s", got.status, got.body)
	}
	if got := w.get(back); got.status != http.StatusSeeOther || got.header.Get("Location") != "/" {
		t.Errorf("a page back, once in: %d %s", got.status, got.body)
	}
	w.post("/logout", nil)
	refused("again", w.get(back))
	copied := b.browser()
	copied.client.Jar.SetCookies(home, kept)
	refused("again, with a copy of the cookie", copied.get(back))

	w = b.browser()
	back = p.back(w.away("/"))
	now = now.Add(ssoTime)
	refused("after ten minutes", w.get(back))

	w = b.browser()
	back = p.back(w.away("/"))
	cookies := w.client.Jar.Cookies(home)
	cookies[0].Value = cookies[0].Value[:len(cookies[0].Value)-4] + "AAAA"
	w.client.Jar.SetCookies(home, cookies)
	refused("with a changed cookie", w.get(back))
}

// A code that somebody caught on its way is no good in their own browser: it is for the
// verifier that the first one keeps.
func TestACodeFromElsewhereIsNotRedeemed(t *testing.T) {
	p := newProvider(t)
	b := p.console(overHTTP)
	caught, err := url.Parse(p.back(b.browser().away("/")))
	must(t, err)
	thief := b.browser()
	own, err := url.Parse(p.back(thief.away("/")))
	must(t, err)
	q := own.Query()
	q.Set("code", caught.Query().Get("code"))
	if got := thief.get(own.Path + "?" + q.Encode()); got.status != http.StatusUnauthorized {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestWhoTheProviderKnowsButNothingLetsIn(t *testing.T) {
	for name, c := range map[string]struct {
		says, info map[string]any
		change     func(*Options)
		status     int
		want       string
	}{
		"no group that counts":  {says: map[string]any{"groups": []string{"everybody"}}, status: 403, want: "nothing gives you a role"},
		"no groups":             {says: map[string]any{"groups": nil}, info: map[string]any{"sub": "sub-ada"}, status: 403, want: "nothing gives you a role"},
		"groups of other kinds": {says: map[string]any{"groups": []any{1, nil, map[string]any{"media": true}}}, info: map[string]any{"sub": "sub-ada"}, status: 403, want: "nothing gives you a role"},
		"an address that nobody verified": {says: map[string]any{"email_verified": false}, info: map[string]any{"sub": "sub-ada", "email": "ada@example.com"},
			status: 403, want: "verified"},
		"an address of which nothing is said": {says: map[string]any{"email_verified": nil}, info: map[string]any{"sub": "sub-ada"}, status: 403, want: "verified"},
		// The token's own address stays unverified whatever is said of another.
		"no address":                 {says: map[string]any{"email": nil}, info: map[string]any{"sub": "sub-ada"}, status: 403, want: "did not say who you are"},
		"somebody else's user info":  {says: map[string]any{"groups": nil}, info: map[string]any{"sub": "sub-eve", "groups": []string{"media"}}, status: 401, want: "did not hold"},
		"a user info that says no":   {says: map[string]any{"groups": nil}, status: 503, want: "cannot be reached"},
		"no advertiser":              {change: func(o *Options) { o.Config.OIDC.AdvertiserClaim = "clients" }, info: map[string]any{"sub": "sub-ada"}, status: 403, want: "no advertiser is named"},
		"a name that is too long":    {says: map[string]any{"email": strings.Repeat("a", 100) + "@example.com"}, status: 403, want: "must be 1 to 100 characters"},
		"a role in another's realms": {change: func(o *Options) { o.Config.OIDC.RoleClaim = "realm.groups" }, info: map[string]any{"sub": "sub-ada"}, status: 403, want: "nothing gives you a role"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.says, p.info = c.says, c.info
			b := p.console(overHTTP, func(o *Options) {
				if c.change != nil {
					c.change(o)
				}
			})
			w := b.browser()
			if got := w.by(p, "/"); got.status != c.status || !strings.Contains(got.body, c.want) {
				t.Errorf("%d %.1500s", got.status, got.body)
			}
			if got := w.get("/pixels"); got.status != http.StatusSeeOther {
				t.Errorf("is in: %d", got.status)
			}
		})
	}
}

func TestWhatTheProviderSaysIsTakenAnewAtEachSignIn(t *testing.T) {
	p := newProvider(t)
	b := p.console(overHTTP, func(o *Options) {
		o.Config.OIDC.AdvertiserClaim, o.Config.OIDC.RoleClaim = "pixel.clients", "pixel.groups"
	})
	inside := func(groups, clients any) map[string]any {
		return map[string]any{"pixel": map[string]any{"groups": groups, "clients": clients}}
	}
	who := func() user {
		u, _, _, err := b.people.users.get(t.Context(), userID("ada@example.com"))
		must(t, err)
		return u
	}
	for _, c := range []struct {
		groups, clients any
		role            Role
		advertisers     string
	}{
		{"readers", "Fell & Fleet", Viewer, "Fell & Fleet"},
		{[]string{"readers", "media"}, []string{"Shop", "Fell & Fleet"}, Marketer, "Fell & Fleet,Shop"},
		{[]string{"cn=admins,dc=example", "readers"}, "Shop", Administrator, ""},
		{[]string{"readers"}, "*", Viewer, ""}, // the last administrator, too
	} {
		p.says = inside(c.groups, c.clients)
		w := b.browser()
		if got := w.by(p, "/"); got.status != http.StatusSeeOther || w.get("/pixels").status != 200 {
			t.Fatalf("%v: %d %s", c.groups, got.status, got.body)
		}
		if u := who(); u.Role != c.role || strings.Join(u.Advertisers, ",") != c.advertisers {
			t.Errorf("%v of %v is %s of %v", c.groups, c.clients, u.Role, u.Advertisers)
		}
	}
	// Another address of the same person makes nobody new.
	p.says = inside("readers", "*")
	p.says["email"] = "ada.lovelace@example.com"
	w := b.browser()
	if got := w.by(p, "/"); got.status != http.StatusSeeOther {
		t.Errorf("by another address: %d", got.status)
	}
	if list, _ := b.people.list(t.Context()); len(list) != 1 {
		t.Errorf("%d users", len(list))
	}
	// Who lost the role is out, in every browser.
	p.says, p.info = inside("nobody", "*"), map[string]any{"sub": "sub-ada"}
	if got := b.browser().by(p, "/"); got.status != http.StatusForbidden {
		t.Errorf("without a role: %d", got.status)
	}
	if got := w.get("/pixels"); got.status != http.StatusSeeOther {
		t.Errorf("an older session goes on: %d", got.status)
	}
}

func TestGroupsAndAddressMayComeFromTheUserInfo(t *testing.T) {
	p := newProvider(t)
	p.says = map[string]any{"groups": nil, "email": nil, "email_verified": nil}
	p.info = map[string]any{"sub": "sub-ada", "email": "ada@example.com", "email_verified": "true", "groups": "media"}
	b := p.console(overHTTP)
	if got := b.browser().by(p, "/"); got.status != http.StatusSeeOther {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestTheProviderTakesNobodysPlace(t *testing.T) {
	p := newProvider(t)
	b := p.console(overHTTP)
	b.person("ada@example.com", Administrator)
	if got := b.browser().by(p, "/"); got.status != http.StatusConflict || !strings.Contains(got.body, "somebody else of your name") {
		t.Errorf("of a local admin: %d %s", got.status, got.body)
	}
	w := b.browser()
	if got := w.post("/login", url.Values{"login": {"ada@example.com"}, "password": {goodPassword}}); got.status != http.StatusSeeOther || w.get("/people").status != 200 {
		t.Errorf("the local admin by password: %d", got.status)
	}
	p.says = map[string]any{"email": "grace@example.com"}
	if got := b.browser().by(p, "/"); got.status != http.StatusSeeOther {
		t.Fatalf("grace: %d", got.status)
	}
	p.says["sub"] = "sub-of-a-later-grace"
	if got := b.browser().by(p, "/"); got.status != http.StatusConflict {
		t.Errorf("of who had the address before: %d", got.status)
	}
}

func TestWhoComesByTheProviderHasNoPasswordHere(t *testing.T) {
	p := newProvider(t)
	b := p.console(overHTTP)
	w := b.browser()
	w.by(p, "/")
	id := userID("ada@example.com")
	if got := w.get("/account"); got.status != 200 || strings.Contains(got.body, `action="/account/password"`) || !strings.Contains(got.body, "identity provider") {
		t.Errorf("the account's page: %d %s", got.status, got.body)
	}
	for path, form := range map[string]url.Values{
		"/account/password": {"password": {goodPassword}, "again": {goodPassword}},
		"/account/factor":   {},
	} {
		if got := w.post(path, form); got.status != http.StatusConflict {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	admin := b.as(Administrator)
	if got := admin.get("/people"); !strings.Contains(got.body, "single sign-on") || strings.Contains(got.body, "/people/"+id+"/link") || strings.Contains(got.body, "/people/"+id+"/role") {
		t.Errorf("the page of people: %s", got.body)
	}
	admin.post("/people/"+id+"/link", nil)
	if got := admin.post("/people/"+id+"/role", url.Values{"role": {"admin"}}); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a role from here: %d", got.status)
	}
	// Nor by a link that was made for somebody of that name before.
	secret, err := b.links.make(t.Context(), setPassword, id)
	must(t, err)
	if got := b.browser().post("/setup", url.Values{"token": {secret}, "password": {goodPassword}, "again": {goodPassword}}); got.status != http.StatusGone {
		t.Errorf("by a link: %d", got.status)
	}
	u, _, _, err := b.people.users.get(t.Context(), id)
	must(t, err)
	if u.Password != "" || u.Factor != nil || u.Role != Marketer {
		t.Errorf("%+v", u)
	}
	v := ask[struct {
		Items []userView `json:"items"`
	}](b, "GET", "/api/v1/users", nil, 200)
	for _, x := range v.Items {
		if x.SingleSignOn != (x.ID == id) {
			t.Errorf("%+v", x)
		}
	}
}

func TestTheConsoleStartsWhileTheProviderIsAway(t *testing.T) {
	p := newProvider(t)
	p.away.Store(true)
	now := time.Now()
	b := p.console(overHTTP, func(o *Options) { o.Now = func() time.Time { return now } })
	b.person("grace", Viewer)
	w := b.browser()
	if got := w.get("/login/sso"); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "cannot be reached") {
		t.Errorf("while it is away: %d %s", got.status, got.body)
	}
	if got := b.browser().post("/login", url.Values{"login": {"grace"}, "password": {goodPassword}}); got.status != http.StatusSeeOther {
		t.Errorf("by password: %d", got.status)
	}
	p.away.Store(false)
	now = now.Add(unaskedFor)
	back := p.back(w.away("/"))
	p.away.Store(true)
	if got := w.get(back); got.status != http.StatusServiceUnavailable {
		t.Errorf("away again before the code is redeemed: %d %s", got.status, got.body)
	}
	p.away.Store(false)
	if got := w.by(p, "/"); got.status != http.StatusSeeOther {
		t.Errorf("once it is back: %d %s", got.status, got.body)
	}
}

func TestWhatTheProviderComplainsOfIsShownAsText(t *testing.T) {
	p := newProvider(t)
	b := p.console(overHTTP)
	for why, want := range map[string]string{"access_denied": "did not let you in", "<script>x</script>": "is registered there", "": "sent no code"} {
		w := b.browser()
		at, err := url.Parse(w.away("/"))
		must(t, err)
		got := w.get("/login/sso/back?" + url.Values{"state": {at.Query().Get("state")}, "error": {why}}.Encode())
		if got.status < 400 || !strings.Contains(got.body, want) || strings.Contains(got.body, "<script>x") {
			t.Errorf("%q: %d %s", why, got.status, got.body)
		}
	}
}

func TestTheWayToTheProviderIsLimitedAndHonestPeopleAreNot(t *testing.T) {
	p := newProvider(t)
	b := p.console(overHTTP)
	for range triesPerPlace + 5 {
		if got := b.browser().by(p, "/"); got.status != http.StatusSeeOther {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	w := b.browser()
	for range triesPerPlace {
		w.away("/")
	}
	if got := w.get("/login/sso"); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("%d", got.status)
	}
}

func TestTheCookiesOfSingleSignOn(t *testing.T) {
	p := newProvider(t)
	b := p.console()
	got := b.browser().get("/login/sso")
	for _, want := range []string{"pixel_sso=", "; Path=/login/sso", "; Max-Age=600", "; HttpOnly", "; Secure", "; SameSite=Lax"} {
		contains(t, got.header.Get("Set-Cookie"), want)
	}
	if to := got.header.Get("Location"); !strings.Contains(to, "redirect_uri=https%3A%2F%2Fconsole.example.com%2Flogin%2Fsso%2Fback") {
		t.Errorf("sent to %s", to)
	}
}

func TestWithoutAProviderThereIsNoSingleSignOn(t *testing.T) {
	b := open(t)
	for _, path := range []string{"/login/sso", "/login/sso/back?state=x&code=y"} {
		if got := b.browser().get(path); got.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if got := b.browser().get("/login"); strings.Contains(got.body, "/login/sso") {
		t.Error("there is a button")
	}
}
