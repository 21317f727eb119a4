package admin

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const goodPassword = "correct horse battery"

func TestTheFirstStartPrintsALinkThatWorksOnce(t *testing.T) {
	b := open(t, func(o *Options) { o.Config.Token = "" })
	must(t, b.Start(t.Context()))
	defer b.Stop(t.Context())
	link := regexp.MustCompile(`http://127\.0\.0\.1:\d+(/setup\?token=\w+)`).FindStringSubmatch(b.out.String())
	if link == nil {
		t.Fatalf("printed %q", b.out)
	}
	_, token, _ := strings.Cut(link[1], "token=")
	w := b.browser()
	if got := w.get(link[1]); got.status != 200 {
		t.Fatalf("the form: %d", got.status)
	}
	bad := w.post("/setup", url.Values{"token": {token}, "login": {"ada"}, "password": {"short"}, "again": {"short"}})
	if bad.status != 422 || !strings.Contains(bad.body, "at least 10 characters") {
		t.Errorf("a short password: %d", bad.status)
	}
	form := url.Values{"token": {token}, "login": {"ada"}, "password": {goodPassword}, "again": {goodPassword}}
	if got := w.post("/setup", form); got.status != 303 {
		t.Fatalf("set: %d %s", got.status, got.body)
	}
	if got := w.get("/people"); got.status != 200 {
		t.Errorf("the first user is no administrator: %d", got.status)
	}
	again := b.browser()
	if got := again.post("/setup", url.Values{"token": {token}, "login": {"eve"}, "password": {goodPassword}, "again": {goodPassword}}); got.status != 410 {
		t.Errorf("the second time: %d", got.status)
	}
	if got := again.get(link[1]); got.status != 410 {
		t.Errorf("the form the second time: %d", got.status)
	}
	list, err := b.people.list(t.Context())
	must(t, err)
	if len(list) != 1 || list[0].Login != "ada" {
		t.Errorf("users: %v", list)
	}
}

func TestASecondSetupLinkIsWorthlessOnceThereIsAUser(t *testing.T) {
	b := open(t)
	link, err := b.SetupURL(t.Context())
	must(t, err)
	_, err = b.people.add(t.Context(), user{Login: "ada", Role: Administrator})
	must(t, err)
	if got := b.browser().get(link[len(b.URL()):]); got.status != 410 {
		t.Errorf("%d", got.status)
	}
}

func TestNothingIsPrintedWhereSomebodyCanSignIn(t *testing.T) {
	for name, prepare := range map[string]func(b *bench){
		"a token is set": func(b *bench) { b.o.Config.Token = "x" },
		"a user is there": func(b *bench) {
			_, err := b.people.add(b.t.Context(), user{Login: "ada", Role: Administrator})
			must(b.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, func(o *Options) { o.Config.Token = "" })
			prepare(b)
			must(t, b.Start(t.Context()))
			defer b.Stop(t.Context())
			if b.out.Len() > 0 {
				t.Errorf("printed %q", b.out)
			}
		})
	}
}

func TestOnlyOneOfManyGetsALink(t *testing.T) {
	b := open(t)
	secret, err := b.links.make(t.Context(), signIn, "usr_1")
	must(t, err)
	var mu sync.Mutex
	won := 0
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, ok, err := b.links.spend(t.Context(), secret, signIn)
			if err != nil {
				t.Error(err)
			}
			if ok {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

func TestALinkIsGoodForItsPurposeOnlyAndForADay(t *testing.T) {
	now := time.Now()
	b := open(t, func(o *Options) { o.Now = func() time.Time { return now } })
	u, err := b.people.add(t.Context(), user{Login: "ada", Role: Viewer})
	must(t, err)
	secret, err := b.links.make(t.Context(), setPassword, u.ID)
	must(t, err)
	if got := b.browser().get("/welcome?token=" + secret); got.status != 410 {
		t.Errorf("a password link signs in: %d", got.status)
	}
	if got := b.browser().get("/setup?token=" + secret); got.status != 200 {
		t.Errorf("the form: %d", got.status)
	}
	now = now.Add(25 * time.Hour)
	if got := b.browser().get("/setup?token=" + secret); got.status != 410 {
		t.Errorf("after a day: %d", got.status)
	}
}

// person makes a user who has a password.
func (b *bench) person(login string, role Role) user {
	b.t.Helper()
	hash, err := b.hasher.hash(b.t.Context(), goodPassword)
	must(b.t, err)
	u, err := b.people.add(b.t.Context(), user{Login: login, Role: role, Password: hash})
	must(b.t, err)
	return u
}

func TestSigningIn(t *testing.T) {
	b := open(t)
	b.person("Ada@example.com", Viewer)
	for _, c := range []struct {
		name, login, password string
		status                int
	}{
		{"right", "ada@example.com", goodPassword, 303},
		{"right, in capitals", " ADA@example.com ", goodPassword, 303},
		{"wrong password", "ada@example.com", "wrong horse battery", 401},
		{"no password", "ada@example.com", "", 401},
		{"unknown name", "eve@example.com", goodPassword, 401},
		{"a megabyte", "ada@example.com", strings.Repeat("x", 100_000), 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := b.browser()
			got := w.post("/login", url.Values{"login": {c.login}, "password": {c.password}, "next": {"/pixels"}})
			if got.status != c.status {
				t.Fatalf("%d", got.status)
			}
			if c.status == 303 {
				if got.header.Get("Location") != "/pixels" {
					t.Errorf("went to %s", got.header.Get("Location"))
				}
				cookie := got.header.Get("Set-Cookie")
				contains(t, cookie, "HttpOnly", "SameSite=Lax")
				if in := w.get("/pixels"); in.status != 200 {
					t.Errorf("signed in, but %d", in.status)
				}
				w.post("/logout", nil)
				if out := w.get("/pixels"); out.status != 303 {
					t.Errorf("signed out, but %d", out.status)
				}
			}
		})
	}
}

func TestAfterSigningInNobodyIsSentElsewhere(t *testing.T) {
	for address, want := range map[string]string{
		"/pixels?x=1": "/pixels?x=1", "": "/", "https://evil.example/": "/", "//evil.example": "/", `/\evil.example`: "/", "javascript:alert(1)": "/", "/\tx": "/",
	} {
		if got := local(address); got != want {
			t.Errorf("%q leads to %q", address, got)
		}
	}
}

func TestGuessingIsLimitedByAddressAndName(t *testing.T) {
	b := open(t)
	b.person("ada", Viewer)
	w := b.browser()
	try := func(login, password string) answer {
		return w.post("/login", url.Values{"login": {login}, "password": {password}})
	}
	for range triesPerUser {
		if got := try("ada", "wrong wrong wrong"); got.status != 401 {
			t.Fatalf("%d", got.status)
		}
	}
	got := try("ada", goodPassword)
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("the right password after too many wrong ones: %d", got.status)
	}
	if got := try("grace", "wrong wrong wrong"); got.status != 401 {
		t.Errorf("another name: %d", got.status)
	}
	refused := 0
	for i := range triesPerPlace {
		if try("user"+string(rune('a'+i)), "wrong wrong wrong").status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused == 0 {
		t.Error("an address may try any number of names")
	}
}

func TestManyTriesAtOnceAreCountedEach(t *testing.T) {
	b := open(t)
	var mu sync.Mutex
	admitted := 0
	var wg sync.WaitGroup
	for range triesPerPlace - 1 {
		wg.Go(func() {
			ok, err := b.limit.admit(t.Context(), "192.0.2.1", "ada")
			if err != nil {
				t.Error(err)
			}
			if ok {
				mu.Lock()
				admitted++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if admitted != triesPerUser {
		t.Errorf("%d admitted", admitted)
	}
}

func TestChangingOnesPassword(t *testing.T) {
	b := open(t)
	b.person("ada", Viewer)
	w, other := b.browser(), b.browser()
	for _, one := range []*browser{w, other} {
		one.post("/login", url.Values{"login": {"ada"}, "password": {goodPassword}})
	}
	fresh := "a new and longer one"
	if got := w.post("/account/password", url.Values{"current": {"not it at all"}, "password": {fresh}, "again": {fresh}}); got.status != 422 || !strings.Contains(got.body, "is not your password") {
		t.Errorf("without the current one: %d", got.status)
	}
	if got := w.post("/account/password", url.Values{"current": {goodPassword}, "password": {fresh}, "again": {fresh}}); got.status != 303 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := w.get("/account"); got.status != 200 {
		t.Errorf("this session: %d", got.status)
	}
	if got := other.get("/account"); got.status != 303 {
		t.Errorf("the other session goes on: %d", got.status)
	}
	if got := b.browser().post("/login", url.Values{"login": {"ada"}, "password": {goodPassword}}); got.status != 401 {
		t.Errorf("the old password: %d", got.status)
	}
}

func TestTheDemosLinkSignsIn(t *testing.T) {
	b := open(t)
	link, err := b.LoginLink(t.Context())
	must(t, err)
	path := link[len(b.URL()):]
	w := b.browser()
	if got := w.get(path); got.status != 303 || got.header.Get("Location") != "/" {
		t.Fatalf("%d", got.status)
	}
	if got := w.get("/people"); got.status != 200 {
		t.Errorf("%d", got.status)
	}
	if got := b.browser().get(path); got.status != 410 {
		t.Errorf("somebody else with the same link: %d", got.status)
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	b := open(t)
	ada := ask[userView](b, post, base+"/users", map[string]any{"login": "ada", "role": "admin"}, 201)
	ask[any](b, remove, base+"/users/"+ada.ID, nil, 409)
	ask[any](b, patch, base+"/users/"+ada.ID, map[string]any{"role": "viewer"}, 409)
	ask[userView](b, post, base+"/users", map[string]any{"login": "grace", "role": "admin"}, 201)
	ask[any](b, remove, base+"/users/"+ada.ID, nil, 204)
	ask[any](b, post, base+"/users", map[string]any{"login": " GRACE", "role": "viewer"}, 409)
}
