package admin

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// What the journeys in a browser are written in. Each waits for a condition, however
// long a busy machine takes.

// asEachRole takes a way as each role. What needs more than may allow it has to look at
// where the way ends for the role.
func asEachRole(t *testing.T, need Role, way func(t *testing.T, role Role, may bool)) {
	t.Helper()
	for _, role := range []Role{Viewer, Marketer, Administrator} {
		t.Run(string(role), func(t *testing.T) { way(t, role, role.Allows(need)) })
	}
}

// arrive is a browser in which somebody with a role has signed in to a console that has data.
func arrive(t *testing.T, role Role) (*bench, context.Context) {
	t.Helper()
	b := open(t, allPartners)
	seed(t, b, time.Now())
	ctx := chromium(t)
	b.enter(ctx, role)
	return b, ctx
}

// ends looks at where a way ends for a role: the page says what is needed, or it has nothing
// of what leads on.
func (b *bench) ends(ctx context.Context, role, need Role, page, control string) {
	b.t.Helper()
	drive(b.t, ctx, chromedp.Navigate(b.server.URL+page))
	until(b.t, ctx, `document.readyState == "complete"`)
	b.refuses(b.t, ctx, move{page: page, control: control, need: need}, role)
}

// enter signs a browser in as a new user with a role.
func (b *bench) enter(ctx context.Context, role Role) {
	b.t.Helper()
	b.enterAs(ctx, user{Login: fmt.Sprintf("%s-%p@example.com", role, ctx), Role: role})
}

// enterAs signs a browser in as a new user.
func (b *bench) enterAs(ctx context.Context, who user) {
	b.t.Helper()
	u, err := b.people.add(b.t.Context(), who)
	must(b.t, err)
	secret, err := b.links.make(b.t.Context(), signIn, u.ID)
	must(b.t, err)
	drive(b.t, ctx, chromedp.EmulateViewport(1440, 900), chromedp.Navigate(b.server.URL+"/welcome?token="+secret))
}

// instead signs a browser out, and in as a new user with another role.
func (b *bench) instead(ctx context.Context, role Role) {
	b.t.Helper()
	press(b.t, ctx, `.side form[action="/logout"] button`)
	until(b.t, ctx, `location.pathname == "/login" && document.getElementById("login")`)
	b.enter(ctx, role)
	until(b.t, ctx, fmt.Sprintf(`document.querySelector(".side .me-role").textContent == %q`, role))
}

// until waits for a condition on the page that is open, or on the next: one that cannot
// be asked yet does not hold.
func until(t *testing.T, ctx context.Context, js string) {
	t.Helper()
	tab := ctx
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	asked := fmt.Sprintf(`(() => { try { return !!(%s); } catch { return false; } })()`, js)
	for {
		err := chromedp.Do(ctx, chromedp.Poll[chromedp.Void](asked))
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("never became true: %s\nThe page says: %s", js, onScreen(tab))
		}
		// The page that was looked at made way for the next; look at that.
	}
}

// onScreen is what a page shows, for whoever has to find out why a test failed.
func onScreen(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.pathname + location.search + " " + (document.querySelector("main") || document.body).innerText.replace(/\s+/g, " ").slice(0, 700)`))
	if err != nil {
		return err.Error()
	}
	return v
}

// press clicks what a selector names, once it is there.
func press(t *testing.T, ctx context.Context, selector string) {
	t.Helper()
	until(t, ctx, fmt.Sprintf(`document.querySelector(%q) != null`, selector))
	eval[bool](t, ctx, fmt.Sprintf(`document.querySelector(%q).click(), true`, selector))
}

// fill types into a field, as far as the page can tell.
func fill(t *testing.T, ctx context.Context, selector, text string) {
	t.Helper()
	until(t, ctx, fmt.Sprintf(`document.querySelector(%q) != null`, selector))
	eval[bool](t, ctx, fmt.Sprintf(`(() => { const f = document.querySelector(%q); f.value = %q; f.dispatchEvent(new Event("input", {bubbles: true})); f.dispatchEvent(new Event("change", {bubbles: true})); return true; })()`, selector, text))
}
