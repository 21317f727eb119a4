package admin

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// someone is a person with a password and perhaps an authenticator app.
type someone struct {
	b        *bench
	secret   string
	recovery []string
	now      time.Time
}

const somePassword = "correct horse battery"

// withApp opens a console at a clock that stands, makes a user and sets the second
// factor up as a browser would.
func withApp(t *testing.T) *someone {
	p := &someone{now: time.Now()}
	p.b = open(t, func(o *Options) { o.Now = func() time.Time { return p.now } })
	hash, err := p.b.hasher.hash(t.Context(), somePassword)
	must(t, err)
	_, err = p.b.people.add(t.Context(), user{Login: "ada", Role: Viewer, Password: hash})
	must(t, err)
	w := p.b.browser()
	if got := p.password(w); got.header.Get("Location") != "/" {
		t.Fatalf("sign in before: %d %s", got.status, got.body)
	}
	got := w.post("/account/factor", url.Values{"current": {somePassword}})
	contains(t, got.body, `<svg class="qr"`)
	p.secret = regexp.MustCompile(`<code class="break">([A-Z2-7]+)</code>`).FindStringSubmatch(got.body)[1]
	got = w.post("/account/factor/prove", url.Values{"code": {p.code(t)}})
	if p.recovery = regexp.MustCompile(`[A-Z2-7]{4}(-[A-Z2-7]{4}){3}`).FindAllString(got.body, -1); len(p.recovery) != recoveryCodes {
		t.Fatalf("recovery codes: %v in %d %s", p.recovery, got.status, got.body)
	}
	if got := w.get("/account"); got.status != 200 || !strings.Contains(got.body, "10 recovery codes") {
		t.Fatalf("the session that set it up: %d", got.status)
	}
	p.later(period)
	return p
}

func (p *someone) later(seconds int) { p.now = p.now.Add(time.Duration(seconds) * time.Second) }

func (p *someone) code(t *testing.T) string {
	c, err := totp.GenerateCode(p.secret, p.now)
	must(t, err)
	return c
}

// password enters the password alone.
func (p *someone) password(w *browser) answer {
	return w.post("/login", url.Values{"login": {"ada"}, "password": {somePassword}})
}

// enter enters a code after the password.
func (p *someone) enter(w *browser, code string) answer {
	p.b.t.Helper()
	got := p.password(w)
	ticket := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(got.body)
	if ticket == nil {
		p.b.t.Fatalf("no code is asked for: %d %s", got.status, got.body)
	}
	return w.post("/login/code", url.Values{"ticket": {ticket[1]}, "code": {code}})
}

func TestWithASecondFactorThePasswordAloneOpensNothing(t *testing.T) {
	p := withApp(t)
	w := p.b.browser()
	p.password(w)
	if got := w.get("/events"); got.status != http.StatusSeeOther {
		t.Errorf("by password alone: %d", got.status)
	}
	if got := p.enter(w, "000000"); got.status != http.StatusUnauthorized {
		t.Errorf("by a wrong code: %d", got.status)
	}
	if got := p.enter(w, p.code(t)); got.status != http.StatusSeeOther || w.get("/events").status != 200 {
		t.Errorf("by the code: %d %s", got.status, got.body)
	}
	u, _, _, err := p.b.people.users.get(t.Context(), userID("ada"))
	must(t, err)
	if strings.Contains(string(u.Factor.Sealed), p.secret) {
		t.Error("the secret is kept in clear")
	}
}

func TestACodeIsTakenOnce(t *testing.T) {
	p := withApp(t)
	code := p.code(t)
	if got := p.enter(p.b.browser(), code); got.status != http.StatusSeeOther {
		t.Fatalf("first: %d", got.status)
	}
	if got := p.enter(p.b.browser(), code); got.status != http.StatusUnauthorized {
		t.Errorf("again: %d", got.status)
	}
	// Nor is an older one, once a newer was taken.
	p.later(period)
	old := p.code(t)
	p.later(period)
	if got := p.enter(p.b.browser(), p.code(t)); got.status != http.StatusSeeOther {
		t.Errorf("a newer one: %d", got.status)
	}
	if got := p.enter(p.b.browser(), old); got.status != http.StatusUnauthorized {
		t.Errorf("an older one, not used before: %d", got.status)
	}
}

func TestOfOneCodeInTwoBrowsersAtOnceOneIsTaken(t *testing.T) {
	p := withApp(t)
	code, taken := p.code(t), make(chan bool)
	for range 8 {
		go func() {
			_, err := p.b.takeCode(t.Context(), userID("ada"), code)
			taken <- err == nil
		}()
	}
	n := 0
	for range 8 {
		if <-taken {
			n++
		}
	}
	if n != 1 {
		t.Errorf("it was taken %d times", n)
	}
}

func TestClocksMayDifferByHalfAMinute(t *testing.T) {
	for seconds, ok := range map[int]bool{-2 * period: false, -period: true, period: true, 2 * period: false} {
		p := withApp(t)
		p.later(2 * period) // so that none is older than the one that set it up
		c, err := totp.GenerateCode(p.secret, p.now.Add(time.Duration(seconds)*time.Second))
		must(t, err)
		if got := p.enter(p.b.browser(), c); (got.status == http.StatusSeeOther) != ok {
			t.Errorf("%d s away: %d", seconds, got.status)
		}
	}
}

func TestARecoveryCodeStandsForTheAppOnce(t *testing.T) {
	p := withApp(t)
	if got := p.enter(p.b.browser(), strings.ToLower(p.recovery[3])); got.status != http.StatusSeeOther {
		t.Fatalf("first: %d %s", got.status, got.body)
	}
	if got := p.enter(p.b.browser(), p.recovery[3]); got.status != http.StatusUnauthorized {
		t.Errorf("again: %d", got.status)
	}
	if got := p.enter(p.b.browser(), p.recovery[4]); got.status != http.StatusSeeOther {
		t.Errorf("another: %d", got.status)
	}
	u, _, _, err := p.b.people.users.get(t.Context(), userID("ada"))
	must(t, err)
	if len(u.Factor.Recovery) != recoveryCodes-2 || strings.Contains(strings.Join(u.Factor.Recovery, " "), p.recovery[0]) {
		t.Errorf("kept: %v", u.Factor.Recovery)
	}
}

func TestCodesCannotBeGuessedWithoutEnd(t *testing.T) {
	p := withApp(t)
	for range codeTries {
		_, err := p.b.takeCode(t.Context(), userID("ada"), "000000")
		if err == nil {
			t.Fatal("guessed")
		}
	}
	if _, err := p.b.takeCode(t.Context(), userID("ada"), p.code(t)); err == nil {
		t.Error("the right code is taken after too many wrong ones")
	}
}

func TestTheSecondFactorGoesByItsCodeOrByAnAdmin(t *testing.T) {
	p := withApp(t)
	w := p.b.browser()
	p.enter(w, p.code(t))
	if got := w.post("/account/factor/off", url.Values{"code": {"123456"}}); got.status != http.StatusUnprocessableEntity {
		t.Errorf("off by a wrong code: %d", got.status)
	}
	if got := p.b.as(Administrator).post("/people/"+userID("ada")+"/factor/off", nil); got.status != http.StatusSeeOther {
		t.Errorf("by an admin: %d %s", got.status, got.body)
	}
	if got := w.get("/events"); got.status != http.StatusSeeOther {
		t.Errorf("the sessions from before live on: %d", got.status)
	}
	if got := p.password(w); got.header.Get("Location") != "/" {
		t.Errorf("by password alone, after: %d", got.status)
	}
	list, err := p.b.audit.list(t.Context())
	must(t, err)
	if e := list[0]; e.Action != "user.second_factor" || e.Changes[0].After != "off" {
		t.Errorf("recorded: %+v", e)
	}
}

func TestSessionsAreListedAndEnded(t *testing.T) {
	b := open(t)
	first := b.as(Viewer)
	secret, err := b.links.make(t.Context(), signIn, userID("viewer@example.com"))
	must(t, err)
	second := b.browser()
	second.get("/welcome?token=" + secret)
	page := first.get("/account")
	ids := regexp.MustCompile(`/account/sessions/(\w+)/end`).FindAllStringSubmatch(page.body, -1)
	if len(ids) != 1 || !strings.Contains(page.body, "this one") {
		t.Fatalf("the other session is offered to end: %v", ids)
	}
	if got := b.as(Marketer).post("/account/sessions/"+ids[0][1]+"/end", nil); got.status != http.StatusNotFound {
		t.Errorf("somebody else ends it: %d", got.status)
	}
	if got := second.get("/events"); got.status != 200 {
		t.Fatalf("before: %d", got.status)
	}
	first.post("/account/sessions/"+ids[0][1]+"/end", nil)
	if got := second.get("/events"); got.status != http.StatusSeeOther {
		t.Errorf("ended: %d", got.status)
	}
	if got := first.get("/events"); got.status != 200 {
		t.Errorf("the one that ended it: %d", got.status)
	}
}

func TestASessionThatIsNotUsedIsOver(t *testing.T) {
	now := time.Now()
	b := open(t, func(o *Options) { o.Now = func() time.Time { return now } })
	w := b.as(Viewer)
	for range 2 {
		now = now.Add(idle - time.Minute)
		if got := w.get("/events"); got.status != 200 {
			t.Fatalf("used in time: %d", got.status)
		}
	}
	now = now.Add(idle)
	if got := w.get("/events"); got.status != http.StatusSeeOther {
		t.Errorf("unused for %s: %d", idle, got.status)
	}
}
