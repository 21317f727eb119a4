package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/chromedp/chromedp"
)

// wrongForm is a form with wrong values in it.
type wrongForm struct {
	page string
	open string // what is pressed first, where the form is what that leads to
	form string // empty: what is wrong stands in the address
	// typed are fields, by their ids, and what is typed into each.
	typed [][2]string
	// wrong are the fields that are marked for it, in the order of the page; none where what
	// is wrong is of no single field.
	wrong []string
	// said is part of what the first of them, or the form, says.
	said string
	send string // what sends it, where that is not its first button
}

// wrongForms are of every form whose fields can be refused. {linus} is a person's id.
var wrongForms = []wrongForm{
	{page: "/pixels/new", form: `form[action="/pixels"]`, said: "at most 200", typed: [][2]string{
		{"name", strings.Repeat("x", 201)}, {"domains", "shop example.com\nno_host!"}, {"country", "Britain"}, {"privacy_url", "shop.example.com/privacy"},
		{"cross_domain", "true"}, {"data_layer", "1layer"}, {"click_ids", "fine, no key!"}, {"timezone", "Mars/Base"}, {"personal_keys", "member_no, x"}, {"schema_event", "trial"}, {"schema_text", `{"type":"things"}`},
		{"conversions", "purchase, refund"}, {"click_days", "soon"}, {"first_percent", "101"}, {"events_days", "0"}, {"syncs_days", "soon"},
		{"segment_categories", "Marketing: ad_storage"}, {"banner_language", "plain English"}, {"banner_texts", "We ask first"}, {"id", "no spaces, please"},
	}, wrong: []string{"name", "domains", "country", "privacy_url", "data_layer", "click_ids", "timezone", "personal_keys", "schema_text", "conversions", "click_days", "first_percent", "events_days", "syncs_days", "segment_categories", "banner_language", "banner_texts", "id"}},
	{page: "/pixels/new", form: `form[action="/pixels"]`, said: "already", typed: [][2]string{{"name", "Again"}, {"id", "px_shop"}}, wrong: []string{"id"}},
	{page: "/pixels/new", form: `form[action="/pixels"]`, said: "two domains", typed: [][2]string{{"cross_domain", "true"}, {"schema_text", `{"required":["plan"]}`}}, wrong: []string{"cross_domain", "schema_event"}},
	{page: "/pixels/px_shop", form: `form[action="/pixels/px_shop"]`, said: "event's name", typed: [][2]string{{"archive_days", "-7"}, {"schema_event", "2fast"}}, wrong: []string{"schema_event", "archive_days"}},
	{page: "/pixels/px_shop", form: `form[action="/pixels/px_shop/delete"]`, said: "must be exactly px_shop", typed: [][2]string{{"confirm", "px_sho"}}, wrong: []string{"confirm"}},
	{page: "/pixels/px_shop/routes/new?partner=ttd", form: "#route-form", said: "1 to 64 letters, digits, _ or -", typed: [][2]string{{"event", "2fast"}, {"f-adv", "not an id"}, {"f-tracker_id", "trk9x2"}, {"when", "value >"}, {"sample", "many"}, {"map", "value: 7"}}, wrong: []string{"f-adv", "when", "sample", "map"}},
	{page: "/pixels/px_shop/routes/new?partner=ttd", form: "#route-form", said: "event's name", typed: [][2]string{{"event", "2fast"}, {"f-adv", "fellfleet"}, {"f-tracker_id", "trk9x2"}, {"sample", "101"}}, wrong: []string{"event", "sample"}},
	{page: "/pixels/px_shop/routes/new?partner=amazon", form: "#route-form", said: "required", typed: [][2]string{{"map", "value = value * 0.5"}}, wrong: []string{"f-account_id"}},
	{page: "/partners/ttd", form: "#settings form", said: "at least 1", typed: [][2]string{{"f-offline_age_days", "0"}}, wrong: []string{"f-offline_age_days"}},
	{page: "/partners/amazon", form: `#credentials details:last-of-type form`, said: "small letters", typed: [][2]string{{"account", "Brand EU!"}, {"new-client_id", "amzn1.example"}}, wrong: []string{"account"}},
	{page: "/partners/amazon", form: `#credentials details:last-of-type form`, said: "no credentials yet", typed: [][2]string{{"account", "brand-eu"}}, wrong: []string{"account"}},
	{page: "/people", form: `form[action="/people"]`, said: "already", typed: [][2]string{{"login", "linus@example.com"}, {"role", "marketer"}}, wrong: []string{"login"}},
	{page: "/people", form: `form[action="/people"]`, said: "1 to 100", typed: [][2]string{{"login", strings.Repeat("x", 101)}, {"role", "admin"}}, wrong: []string{"login"}},
	{page: "/people", form: `form[action="/people/tokens"]`, said: "1 to 100", typed: [][2]string{{"token-name", " "}, {"token-role", "admin"}, {"days", "365"}}, wrong: []string{"token-name"}},
	{page: "/people", form: `form[action="/people/{me}/role"]`, said: "admin", typed: [][2]string{{"role-{me}", "viewer"}}},
	{page: "/account", form: `form[action="/account/password"]`, said: "at least", typed: [][2]string{{"password", "short"}, {"again", "short"}}, wrong: []string{"password"}},
	{page: "/account", form: `form[action="/account/password"]`, said: "not the same", typed: [][2]string{{"password", goodPassword}, {"again", "another, by far"}}, wrong: []string{"again"}},
	{page: "/privacy/erasures", form: `form[action="/privacy/erasures"]`, said: "e-mail", typed: [][2]string{{"kind", "email"}, {"value", "nobody"}, {"note", strings.Repeat("x", 501)}}, wrong: []string{"value", "note"}},
	{page: "/backfills", form: `form[action="/backfills"]`, said: "number of events", typed: [][2]string{{"replay-events", "purchase"}, {"rate", "many"}}, wrong: []string{"rate"}},
	{page: "/backfills", form: `form[action="/backfills"]`, said: "", typed: [][2]string{{"replay-where", "value >"}, {"rate", "-1"}}, wrong: []string{"replay-where", "to", "rate"}},
	{page: "/backfills?form=rehearse&pixel_id=px_shop", form: `form[action="/rehearsals"]`, said: "country", typed: [][2]string{{"change", `{"country":"Britain"}`}, {"rehearse-events", "purchase"}}, wrong: []string{"change"}},
	{page: "/dead/ttd", open: `form[action="/dead/ttd/replay"] button`, form: "#replay form", said: "number from 1", typed: [][2]string{{"rate", "many"}, {"params", "[1]"}, {"event", `{"order":{"currency":"GBP"}`}}, wrong: []string{"rate", "params", "event"}, send: `button[name="confirm"]`},
	{page: "/reports?range=dates&from=2026-11-01&to=2026-11-14", form: "#filters", said: "after the last day", typed: [][2]string{{"from", "2026-11-20"}, {"to", "2026-11-14"}}, wrong: []string{"from"}, send: ".dates button"},
	{page: "/reports/consent?range=dates&from=2026-11-01&to=2026-11-14", form: "#filters", said: "time zone", typed: [][2]string{{"zone", "Mars/Base"}, {"from", "2020-01-01"}}, wrong: []string{"zone", "from"}, send: ".dates button"},
	{page: "/reports/funnel", form: `form.card[action="/reports/funnel"]`, said: "with conditions", typed: [][2]string{{"step-0", "page_view(page_path=/"}, {"step-1", "view_item(colour=red)"}, {"step-2", "purchase(country=GB)"}, {"window", "soon"}}, wrong: []string{"step-0", "step-1", "window"}},
	{page: "/reports/funnel", form: `form.card[action="/reports/funnel"]`, said: "2 to", typed: [][2]string{{"step-0", "purchase"}, {"step-1", ""}, {"step-2", ""}, {"step-3", ""}, {"window", "7d"}}, wrong: []string{"step-1"}},
	{page: "/reports?group_by=colour&where=shape&is=round&dimension=taste", said: "colour", typed: [][2]string{{"is", "round"}}, wrong: []string{"group_by", "where", "dimension"}},
	{page: "/reports?metric=colours", said: "colours", wrong: []string{"metric"}},
	{page: "/reports/latency?range=dates&from=yesterday&to=2026-11-14", said: "a day such as", wrong: []string{"from"}},
	{page: "/events?find=x&since=yesterday&name=purchase", said: "search", typed: [][2]string{{"name", "purchase"}}, wrong: []string{"q", "since"}},
	{page: "{invited}", form: `form[action="/setup"]`, said: "at least", typed: [][2]string{{"password", "short"}, {"again", "short"}}, wrong: []string{"password"}},
	{page: "{out}", form: `form[action="/login"]`, said: "do not go together", typed: [][2]string{{"login", "linus@example.com"}, {"password", "not it, by far"}}, wrong: []string{"login", "password"}},
}

// name is the form's in pictures.
func (r wrongForm) name() string {
	words := strings.FieldsFunc("refused "+r.page+" "+strings.Join(r.wrong[:min(1, len(r.wrong))], "")+" "+r.said, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
	return strings.Join(words, "-")
}

// try opens the form's page, types what is wrong and sends it, and waits for the answer.
func (r wrongForm) try(t *testing.T, ctx context.Context, server string, at func(string) string) {
	t.Helper()
	if r.page == "{invited}" { // the last ones are for who is not signed in
		eval[bool](t, ctx, `fetch("/logout", {method: "POST"}).then(() => true)`)
	}
	drive(t, ctx, chromedp.Navigate(server+at(r.page)))
	if r.open != "" {
		press(t, ctx, r.open)
	}
	if r.form == "" {
		until(t, ctx, `document.readyState == "complete"`)
		return
	}
	form := at(r.form)
	until(t, ctx, fmt.Sprintf(`document.readyState == "complete" && document.querySelector(%q)`, form))
	for _, f := range r.typed {
		eval[bool](t, ctx, fmt.Sprintf(`((e) => { if (e.type === "checkbox") e.checked = true; else e.value = %q; return true; })(document.getElementById(%q))`, f[1], at(f[0])))
	}
	// The browser itself would not send some of it; others than browsers would.
	eval[bool](t, ctx, fmt.Sprintf(`(window.here = true, document.querySelector(%q).noValidate = true)`, form))
	press(t, ctx, form+" "+cmp.Or(r.send, "button"))
	until(t, ctx, `!window.here && document.readyState == "complete"`)
}

// marked says what is missing at a field that was refused, or at one that was not; fields
// are the ids of the first.
const marked = `((fields) => {
	const out = [];
	for (const id of fields) {
		const e = document.getElementById(id) || document.querySelector('[aria-describedby~="e-' + id + '"]');
		if (!e) { out.push(id + " is not there"); continue; }
		if (e.getAttribute("aria-invalid") !== "true") { out.push(id + " is not marked"); continue; }
		const by = e.getAttribute("aria-describedby").split(" ").map((i) => document.getElementById(i));
		if (by.includes(null)) { out.push(id + " is tied to what is not there: " + e.getAttribute("aria-describedby")); continue; }
		const said = by.find((p) => p.matches(".field-error, .form-error"));
		if (!said || said.textContent.trim().length < 5) out.push(id + " says nothing");
		else if (!said.checkVisibility() || !e.checkVisibility()) out.push(id + " is folded away");
	}
	for (const e of document.querySelectorAll("[aria-invalid]"))
		if (!fields.some((id) => e.id === id || (e.getAttribute("aria-describedby") || "").split(" ").includes("e-" + id))) out.push(e.outerHTML.slice(0, 90) + " is marked");
	for (const e of document.querySelectorAll("[aria-describedby]"))
		for (const i of e.getAttribute("aria-describedby").split(" ")) if (!document.getElementById(i)) out.push((e.id || e.name) + " is described by " + i + ", which is not there");
	return out;
})`

// Whoever types something wrong into any form is told beside the field, by words that are
// tied to it, is led to the first, and finds what they typed.
func TestWhatAFormRefusesIsSaidBesideTheField(t *testing.T) {
	b := open(t, allPartners)
	seedPixels(t, b)
	seedQueues(t, b, time.Now())
	invited, err := b.invite(t.Context(), principal{Kind: "user", ID: "usr_1", Name: "ada@example.com", Role: Administrator}, "linus@example.com", Viewer, nil)
	must(t, err)
	link, err := url.Parse(invited.Link)
	must(t, err)
	axe, err := os.ReadFile("../../sdk/node_modules/axe-core/axe.min.js")
	if err != nil {
		t.Log("SKIPPED: axe is not installed (npm ci --prefix sdk), so refused forms are not shown to it")
	}
	ctx := chromium(t)
	ada := user{Login: "ada@example.com", Role: Administrator}
	b.enterAs(ctx, ada)
	at := strings.NewReplacer("{me}", userID(ada.Login), "{invited}", link.RequestURI(), "{out}", "/login").Replace
	for _, r := range wrongForms {
		t.Run(r.page+" "+r.said, func(t *testing.T) {
			r.try(t, ctx, b.server.URL, at)
			until(t, ctx, `document.activeElement !== document.body`)

			wrong := make([]string, len(r.wrong))
			for i, id := range r.wrong {
				wrong[i] = fmt.Sprintf("%q", at(id))
			}
			for _, said := range eval[[]string](t, ctx, marked+`([`+strings.Join(wrong, ",")+`])`) {
				t.Error(said)
			}
			first := `document.activeElement`
			if len(wrong) == 0 {
				if !eval[bool](t, ctx, `document.activeElement.matches(".form-error")`) {
					t.Errorf("the focus is not at what is wrong but at %s", eval[string](t, ctx, `document.activeElement.outerHTML.slice(0, 100)`))
				}
			} else if !eval[bool](t, ctx, `document.activeElement.getAttribute("aria-invalid") === "true" && document.querySelector("[aria-invalid]") === document.activeElement || document.activeElement.id === "password"`) {
				t.Errorf("the focus is not at the first wrong field but at %s", eval[string](t, ctx, `document.activeElement.outerHTML.slice(0, 100)`))
			}
			if got := eval[string](t, ctx, `(`+first+`.getAttribute("aria-describedby") || "").split(" ").map((i) => document.getElementById(i)?.textContent || "").join(" ") + `+first+`.textContent`); !strings.Contains(got, r.said) {
				t.Errorf("it says %q, not %q", got, r.said)
			}
			for _, f := range r.typed {
				got := eval[string](t, ctx, fmt.Sprintf(`((e) => !e ? "(no such field)" : e.type === "password" ? e.value && "(a secret, shown again)" : e.type === "checkbox" ? String(e.checked) : e.value)(document.getElementById(%q))`, at(f[0])))
				secret := strings.Contains(f[0], "password") || f[0] == "again" || f[0] == "new-client_id"
				if want := map[bool]string{true: "", false: f[1]}[secret]; got != want {
					t.Errorf("%s holds %.80q, and %.80q was typed", f[0], got, want)
				}
			}
			if len(axe) > 0 && len(r.wrong) > 2 {
				eval[bool](t, ctx, string(axe)+"; true")
				for _, f := range findings(t, ctx, axeForms) {
					t.Error(f)
				}
			}
			healthy(t, ctx, r.page)
		})
	}
}

// axeForms are the rules that a refused form could break where the form itself does not.
const axeForms = `{type: "rule", values: ["aria-allowed-attr", "aria-valid-attr", "aria-valid-attr-value", "aria-allowed-role", "label", "duplicate-id-aria", "color-contrast", "nested-interactive"]}`
