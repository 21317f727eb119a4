package sdk_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/evanw/esbuild/pkg/api"

	"github.com/miq/pixel/modules/settings"
)

// npm bundles a script with packages that `npm ci --prefix sdk` installs.
func npm(t *testing.T, source string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if _, err := os.Stat(filepath.Join("node_modules", name)); err != nil {
			t.Skipf("SKIPPED: %s is not installed: npm ci --prefix sdk", name)
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	r := api.Build(api.BuildOptions{
		Stdin: &api.StdinOptions{Contents: source, ResolveDir: dir}, Bundle: true, Format: api.FormatIIFE, LogLevel: api.LogLevelError,
		Loader: map[string]api.Loader{".css": api.LoaderEmpty},
	})
	if len(r.Errors) > 0 {
		t.Fatal(r.Errors[0].Text)
	}
	// Inline in a page, where no end of a script may stand.
	return "<script>" + strings.ReplaceAll(string(r.OutputFiles[0].Contents), "</script", `<\/script`) + "</script>"
}

func TestAPageWithTheIABsOwnTCFPlatform(t *testing.T) {
	platform := npm(t, `
		import stub from "@iabtechlabtcf/stub";
		import { CmpApi } from "@iabtechlabtcf/cmpapi";
		import { GVL, TCModel, TCString } from "@iabtechlabtcf/core";
		(stub.default || stub)();
		setTimeout(() => {
			const cmp = new CmpApi(31, 3, true);
			const purposes = Object.fromEntries([...Array(11).keys()].map(i => [i + 1, {id: i + 1, name: "p", description: "", illustrations: []}]));
			const vendors = Object.fromEntries([101, 755].map(id => [id, {id, name: "v" + id, purposes: [1, 2, 3, 4, 7, 9, 10], legIntPurposes: [], flexiblePurposes: [], specialPurposes: [], features: [], specialFeatures: [], policyUrl: ""}]));
			const gvl = new GVL({gvlSpecificationVersion: 3, vendorListVersion: 200, tcfPolicyVersion: 5, lastUpdated: "2026-01-01T00:00:00Z", purposes, vendors, specialPurposes: {}, features: {}, specialFeatures: {}, stacks: {}, dataCategories: {}});
			const encode = (asked, vendor) => {
				const model = new TCModel(gvl);
				model.cmpId = 31; model.cmpVersion = 3; model.isServiceSpecific = true; model.consentScreen = 1;
				model.purposeConsents.set(asked);
				if (vendor) model.vendorConsents.set([101, 755]);
				model.vendorsDisclosed.set([101, 755]);
				return TCString.encode(model);
			};
			cmp.update("", true);
			window.choose = (asked, vendor = true) => cmp.update(encode(asked, vendor), false);
			window.asking = () => cmp.update(encode([], false), true);
		}, 400)`, "@iabtechlabtcf/stub", "@iabtechlabtcf/cmpapi", "@iabtechlabtcf/core")
	ctx := browse(t)
	s := newSite(t, cmpMode, quick, shop()+platform)
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/?gclid=1"), chromedp.Poll[chromedp.Void](`window.choose`), ready)
	eval[any](t, ctx, `miq("track", "early"), `+settle+".then(() => 1)")
	s.silent(t)
	if got := eval[string](t, ctx, stored); got != `["","",""]` {
		t.Errorf("while the banner is open the browser keeps %s", got)
	}
	eval[any](t, ctx, `choose([1, 2, 3, 4, 7, 9, 10]), 1`)
	a := s.next(t)
	if a.names() != "page_view,early" || a.at("consent", "state") != "full" || a.at("consent", "gdpr_applies") != true || len(a.at("consent", "tcf").(string)) < 20 {
		t.Errorf("came %s with %v", a.names(), a.at("consent"))
	}
	// The server reads the same string and comes to the same end.
	if names, _ := s.stored(t); len(names) != 2 {
		t.Errorf("the collector keeps %v", names)
	}
	eval[any](t, ctx, `asking(), miq("track", "meanwhile"), `+settle+".then(() => 1)")
	if len(s.came) > 0 {
		t.Error("something left while the visitor was asked again")
	}
	eval[any](t, ctx, `choose([1, 7]), 1`)
	change, event := s.changeAndEvent(t)
	if change.Path != "/consent" || change.at("state") != "partial" {
		t.Errorf("of the lesser choice the collector hears %s %v", change.Path, change.at("state"))
	}
	if event.names() != "meanwhile" || event.at("consent", "state") != "partial" || event.at("identity", "click_ids") != "" {
		t.Errorf("came %s of %v under %v", event.names(), event.at("identity"), event.at("consent", "state"))
	}
	eval[any](t, ctx, `choose([], false), 1`)
	if a := s.next(t); a.Path != "/consent" || a.at("state") != "none" {
		t.Errorf("of the withdrawal the collector hears %s %v", a.Path, a.at("state"))
	}
	if got := eval[string](t, ctx, stored); got != `["","",""]` {
		t.Errorf("the browser keeps %s", got)
	}
}

func TestAFrameFindsThePlatformOfItsPage(t *testing.T) {
	ctx := browse(t)
	s := newSite(t, cmpMode, quick, shop())
	// The page around it has a locator and answers messages, in text and more than once.
	s.page["/around"] = `<!doctype html><iframe name="__tcfapiLocator" hidden></iframe><script>
		addEventListener("message", ({data, source}) => {
			const call = data.__tcfapiCall;
			if (!call) return;
			const answer = value => source.postMessage(JSON.stringify({__tcfapiReturn: {returnValue: value, success: true, callId: call.callId}}), "*");
			if (call.command != "addEventListener") return answer(true);
			answer({gdprApplies: true, cmpStatus: "loaded", eventStatus: "cmpuishown", listenerId: 1});
			window.choose = () => answer({gdprApplies: true, cmpStatus: "loaded", eventStatus: "useractioncomplete", tcString: "CPframe", listenerId: 1,
				purpose: {consents: {1: true, 2: true, 3: true, 4: true, 7: true, 9: true, 10: true}}, vendor: {consents: {101: true}}});
		});</script><iframe src="/inside" sandbox="allow-scripts allow-same-origin"></iframe>`
	do(t, ctx, chromedp.Navigate(s.Shop.URL+"/around"), chromedp.Poll[chromedp.Void](`window.choose`))
	eval[any](t, ctx, settle+".then(() => 1)")
	s.silent(t)
	eval[any](t, ctx, `choose(), 1`)
	if a := s.next(t); a.names() != "page_view" || a.at("consent", "tcf") != "CPframe" || !strings.HasSuffix(a.at("context", "page", "url").(string), "/inside") {
		t.Errorf("came %s with %v", a.names(), a.at("consent"))
	}
}

func TestAPageWithTheIABsOwnGPPPlatform(t *testing.T) {
	platform := npm(t, `
		import { CmpApi, CmpStatus, SignalStatus, CmpDisplayStatus } from "@iabgpp/cmpapi";
		// The stub of the standard: queues until the platform is there.
		window.__gpp = (...args) => {
			const [command, callback] = args;
			if (!args.length) return window.__gpp.queue;
			if (command == "ping") return callback({gppVersion: "1.1", cmpStatus: "stub", signalStatus: "not ready", applicableSections: []}, true);
			(window.__gpp.queue = window.__gpp.queue || []).push(args);
			if (command == "addEventListener") callback({eventName: "listenerRegistered", listenerId: 1, data: true, pingData: {gppVersion: "1.1", cmpStatus: "stub", signalStatus: "not ready"}}, true);
		};
		setTimeout(() => {
			const cmp = new CmpApi(31, 3);
			cmp.setCmpStatus(CmpStatus.LOADED);
			cmp.setSupportedAPIs(["7:usnat"]);
			window.choose = (field, value) => {
				cmp.setSignalStatus(SignalStatus.NOT_READY);
				cmp.setApplicableSections([7]);
				for (const [name, value] of Object.entries({SaleOptOut: 2, SharingOptOut: 2, TargetedAdvertisingOptOut: 2, SaleOptOutNotice: 1, SharingOptOutNotice: 1, TargetedAdvertisingOptOutNotice: 1, SharingNotice: 1, MspaCoveredTransaction: 2})) cmp.setFieldValue("usnat", name, value);
				if (field) cmp.setFieldValue("usnat", field, value);
				cmp.fireSectionChange("usnat");
				cmp.setSignalStatus(SignalStatus.READY);
			};
		}, 300)`, "@iabgpp/cmpapi")
	ctx := browse(t)
	s := newSite(t, cmpMode, quick, platform+shop())
	do(t, ctx, chromedp.Navigate(s.Shop.URL), chromedp.Poll[chromedp.Void](`window.choose`), ready)
	eval[any](t, ctx, settle+".then(() => 1)")
	s.silent(t)
	eval[any](t, ctx, `choose(), 1`)
	a := s.next(t)
	if a.names() != "page_view" || a.at("consent", "state") != "full" || !strings.HasPrefix(a.at("consent", "gpp").(string), "DBAB") {
		t.Errorf("came %s with %v", a.names(), a.at("consent"))
	}
	if sid, _ := a.at("consent", "gpp_sid").([]any); len(sid) != 1 || sid[0] != 7.0 {
		t.Errorf("the sections are %v", sid)
	}
	eval[any](t, ctx, `choose("SaleOptOut", 1), miq("track", "after"), 1`)
	change, event := s.changeAndEvent(t)
	if change.Path != "/consent" || change.at("state") != "partial" {
		t.Errorf("of the opt-out the collector hears %s %v", change.Path, change.at("state"))
	}
	if event.names() != "after" || event.at("consent", "state") != "partial" {
		t.Errorf("came %s under %v", event.names(), event.at("consent", "state"))
	}
}

func TestAPageWithACookieBannerThatSpeaksConsentMode(t *testing.T) {
	banner := npm(t, `
		import * as CookieConsent from "vanilla-cookieconsent";
		window.dataLayer = window.dataLayer || [];
		function gtag() { dataLayer.push(arguments); }
		gtag("consent", "default", {ad_storage: "denied", ad_user_data: "denied", ad_personalization: "denied", analytics_storage: "denied", wait_for_update: 500});
		const tell = () => {
			const yes = name => CookieConsent.acceptedCategory(name) ? "granted" : "denied";
			gtag("consent", "update", {ad_storage: yes("ads"), ad_user_data: yes("ads"), ad_personalization: yes("ads"), analytics_storage: yes("analytics")});
		};
		CookieConsent.run({
			categories: {necessary: {enabled: true, readOnly: true}, analytics: {}, ads: {}},
			onFirstConsent: tell, onConsent: tell, onChange: tell,
			language: {default: "en", translations: {en: {consentModal: {title: "?", acceptAllBtn: "All", acceptNecessaryBtn: "None"}, preferencesModal: {sections: []}}}},
		});
		window.choose = what => CookieConsent.acceptCategory(what);`, "vanilla-cookieconsent")
	for name, tt := range map[string]struct{ choice, state string }{"all": {`"all"`, "full"}, "analytics": {`["analytics"]`, "partial"}, "none": {`[]`, ""}} {
		t.Run(name, func(t *testing.T) {
			ctx := browse(t)
			s := newSite(t, settings.Pixel{Enabled: true, ConsentMode: settings.GCM}, quick, shop()+banner)
			do(t, ctx, chromedp.Navigate(s.Shop.URL), chromedp.Poll[chromedp.Void](`window.choose && window.miqParts && miqParts.gcm`))
			eval[any](t, ctx, settle+".then(() => 1)")
			s.silent(t)
			eval[any](t, ctx, `choose(`+tt.choice+`), `+settle+".then(() => 1)")
			if tt.state == "" {
				s.silent(t)
				return
			}
			a := s.next(t)
			if a.names() != "page_view" || a.at("consent", "state") != tt.state || a.at("consent", "gcm", "analytics_storage") != "granted" {
				t.Errorf("came %s with %v", a.names(), a.at("consent"))
			}
			if names, _ := s.stored(t); len(names) != 1 {
				t.Errorf("the collector keeps %v", names)
			}
		})
	}
}

func TestPlatformsThatSpeakTheirOwnLanguage(t *testing.T) {
	for name, script := range map[string]string{
		"OneTrust": `window.OneTrust = {IsAlertBoxClosed: () => window.closed_}; window.OnetrustActiveGroups = ",C0001,";
			window.choose = full => { window.closed_ = true; window.OnetrustActiveGroups = full ? ",C0001,C0002,C0004," : ",C0001,C0002,"; dispatchEvent(new Event("OneTrustGroupsUpdated")) }`,
		"Cookiebot": `window.Cookiebot = {hasResponse: false, consent: {}};
			window.choose = full => { Cookiebot.hasResponse = true; Cookiebot.consent = {statistics: true, marketing: full}; dispatchEvent(new Event("CookiebotOnAccept")) }`,
		"Usercentrics 2": `let open = true, full_; window.UC_UI = {isInitialized: () => true, isConsentRequired: () => open, getServicesBaseInfo: () => [{categorySlug: "functional", consent: {status: true}}, {categorySlug: "marketing", consent: {status: full_}}]};
			window.choose = full => { open = false; full_ = full; dispatchEvent(new CustomEvent("UC_UI_CMP_EVENT")) }`,
		"Usercentrics 3": `let details = {consent: {type: "IMPLICIT"}, categories: {}}; window.__ucCmp = {getConsentDetails: async () => details};
			window.choose = full => { details = {consent: {type: "EXPLICIT"}, categories: {functional: {state: "ALL_ACCEPTED"}, marketing: {state: full ? "ALL_ACCEPTED" : "ALL_DENIED"}}}; dispatchEvent(new CustomEvent("UC_CONSENT")) }`,
		"Didomi": `let open = true, heard, on = []; const api = {shouldUserStatusBeCollected: () => open, on: (name, fn) => heard = fn, getCurrentUserStatus: () => ({purposes: Object.fromEntries(on.map(id => [id, {id, enabled: true}]))})};
			setTimeout(() => { for (const fn of window.didomiOnReady || []) fn(api); window.didomiOnReady = {push: fn => fn(api)} }, 700);
			window.choose = full => { open = false; on = ["measure_ad_performance"].concat(full ? ["create_ads_profile", "select_personalized_ads"] : []); heard() }`,
	} {
		for _, full := range []string{"true", "false"} {
			t.Run(name+" "+map[string]string{"true": "full", "false": "partial"}[full], func(t *testing.T) {
				ctx := browse(t)
				s := newSite(t, gcmMode, quick, shop()+"<script>"+script+"</script>")
				do(t, ctx, chromedp.Navigate(s.Shop.URL), ready)
				eval[any](t, ctx, settle+".then(() => new Promise(done => setTimeout(done, 500))).then(() => 1)")
				s.silent(t)
				eval[any](t, ctx, `choose(`+full+`), 1`)
				want := map[string]string{"true": "full", "false": "partial"}[full]
				if a := s.next(t); a.at("consent", "state") != want {
					t.Errorf("came %s under %v, want %s", a.names(), a.at("consent", "state"), want)
				}
			})
		}
	}
}

// contrast and the rest of WCAG 2.2 AA, as axe sees them.
func TestTheBannerIsAccessible(t *testing.T) {
	axe := npm(t, `import axe from "axe-core"; window.axe = axe;`, "axe-core")
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{1440, 390} {
			ctx := browse(t)
			p := bannerMode
			p.PrivacyURL = "https://shop.example/privacy"
			s := newSite(t, p, quick, `<!doctype html><html lang="en"><title>Shop</title><body><main><h1>Shop</h1></main>`+axe+strings.TrimPrefix(shop(), "<!doctype html><title>Shop</title><body><h1>Shop</h1>"))
			check := func(what string) {
				t.Helper()
				eval[any](t, ctx, settle+".then(() => 1)")
				found := eval[[]string](t, ctx, `axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"], rules: {region: {enabled: false}}}).then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + " " + n.target.flat() + " " + n.failureSummary)))`)
				for _, one := range found {
					t.Errorf("%s, %s, %d: %s", what, scheme, width, one)
				}
				if eval[float64](t, ctx, `axe.run({runOnly: ["color-contrast"]}).then(r => r.passes.concat(r.violations).flatMap(v => v.nodes).filter(n => /miq-/.test(n.target.flat().join())).length)`) == 0 {
					t.Errorf("%s: axe did not look into the banner", what)
				}
			}
			do(t, ctx, emulate(width, scheme), chromedp.Navigate(s.Shop.URL))
			asked(t, ctx)
			check("the question")
			answer(t, ctx, more+1)
			check("the settings")
			do(t, ctx, chromedp.KeyEvent(" "+strings.Repeat("\t", 4)+"\r"))
			check("the button that brings it back")
		}
	}
}
