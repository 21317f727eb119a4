package admin

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/sdk"
)

// tag is what goes onto a page.
type tag struct {
	Origin string `json:"origin"`
	HTML   string `json:"html"`
	// Pinned takes one version of the script and no other.
	Pinned    string `json:"pinned"`
	Version   string `json:"version"`
	Integrity string `json:"integrity"`
	Image     string `json:"image"`
	CSP       string `json:"csp"`
	// For shops and apps.
	Shopify     string `json:"shopify"`
	WooCommerce string `json:"woocommerce"`
	Module      string `json:"module"`
}

// tag is made for the collector as browsers reach it: as configured, or else on
// the host that this request came to.
func (a *Admin) tag(c *echo.Context, pixelID string) tag {
	origin := strings.TrimRight(a.o.Collector.PublicURL, "/")
	if origin == "" {
		host := c.Request().Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		origin = c.Scheme() + "://" + host
		if _, port, err := net.SplitHostPort(a.o.Collector.Addr); err == nil {
			origin = c.Scheme() + "://" + net.JoinHostPort(host, port)
		}
	}
	image := origin + "/pixel.gif?pid=" + url.QueryEscape(pixelID) + "&e=page_view"
	return tag{
		Origin: origin, HTML: sdk.Snippet(origin, pixelID),
		Pinned: sdk.Pinned(origin, pixelID), Version: sdk.Version, Integrity: sdk.Integrity(),
		Image:   `<img src="` + strings.ReplaceAll(image, "&", "&amp;") + `" width="1" height="1" alt="">`,
		CSP:     sdk.CSP(origin, pixelID),
		Shopify: sdk.Shopify(origin, pixelID), WooCommerce: sdk.WooCommerce(origin, pixelID), Module: sdk.ESModule(origin, pixelID),
	}
}

// health is what was heard of a pixel lately.
type pixelHealth struct {
	Last    time.Time
	Domains []string
	Day     int  // events in 24 hours
	Consent bool // any signal came
}

// Fresh reports whether the pixel is alive just now.
func (h pixelHealth) Fresh(now time.Time) bool { return now.Sub(h.Last) < 10*time.Minute }

// healthSample is how many of the newest events are looked at.
const healthSample = 50

func (a *Admin) health(ctx context.Context, id string, day int) (pixelHealth, error) {
	h := pixelHealth{Day: day}
	p, err := a.o.Events.Events(ctx, analytics.EventFilter{PixelID: id, Limit: healthSample})
	if err != nil {
		return h, err
	}
	for i, e := range p.Events {
		if i == 0 {
			h.Last = e.ReceivedAt
		}
		h.Consent = h.Consent || signalled(e.Consent)
	}
	h.Domains = hostsOf(p.Events)
	return h, nil
}

// dayCounts are the events of each pixel in 24 hours.
func (a *Admin) dayCounts(ctx context.Context) (map[string]int, error) {
	now := a.now()
	rows, err := a.o.Events.Top(ctx, analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "pixel_id", Since: now.Add(-24 * time.Hour), Until: now.Add(time.Minute), Limit: 1000})
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, r := range rows {
		out[r.Group] = int(r.Value)
	}
	return out, nil
}

type pixelRow struct {
	settings.Pixel
	Health   pixelHealth
	Alive    bool
	Partners []string
}

func (a *Admin) pixelsPage(c *echo.Context) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	counts, err := a.dayCounts(ctx)
	if err != nil {
		return err
	}
	var rows []pixelRow
	for _, p := range a.pixels(ctx) {
		r := pixelRow{Pixel: p}
		if r.Health, err = a.health(ctx, p.ID, counts[p.ID]); err != nil {
			return err
		}
		r.Alive = r.Health.Fresh(a.now())
		for _, route := range p.Routes {
			if title := a.partners.title(route.Partner); route.Enabled && !slices.Contains(r.Partners, title) {
				r.Partners = append(r.Partners, title)
			}
		}
		rows = append(rows, r)
	}
	return a.show(c, http.StatusOK, "pixels", view{Title: "Pixels", Nav: "pixels", Data: rows})
}

type pixelFormData struct {
	Pixel   settings.Pixel
	Domains string
	Texts   string
	// Categories are those of Segment's clients, a line each.
	Categories string
	Errors     map[string]string
	Modes      []modeChoice
}

type modeChoice struct {
	Mode        settings.ConsentMode
	Title, Help string
}

var consentModes = []modeChoice{
	{settings.CMP, "Consent platform", "The site has a consent platform that speaks TCF, GPP or US Privacy. Choose this when in doubt."},
	{settings.GCM, "Site's own banner", `Google Consent Mode, or the site calls miq("consent", …) itself.`},
	{settings.Banner, "Our banner", "The tag shows a small banner and asks. Nothing is sent before the answer."},
	{settings.Implied, "No opt-in needed", "You vouch that no opt-in law applies to the site's visitors. Opt-outs still count."},
}

func (a *Admin) newPixelPage(c *echo.Context) error {
	d := formOf(settings.Pixel{ConsentMode: settings.CMP, Enabled: true}, nil)
	return a.show(c, http.StatusOK, "pixel_new", view{Title: "New pixel", Nav: "pixels", Data: d})
}

// pixelFrom reads the fields of a pixel's form over what was there.
func pixelFrom(c *echo.Context, p settings.Pixel) (settings.Pixel, error) {
	f, err := c.FormValues()
	if err != nil {
		return p, err
	}
	p.Name, p.Advertiser = f.Get("name"), f.Get("advertiser")
	p.Domains = strings.FieldsFunc(f.Get("domains"), func(r rune) bool { return r == '\n' || r == ',' || r == ' ' || r == '\r' })
	p.ConsentMode = settings.ConsentMode(f.Get("consent_mode"))
	p.Tag.SPA, p.Tag.Storage, p.Tag.DataLayer = f.Get("spa"), f.Get("storage"), strings.TrimSpace(f.Get("data_layer"))
	p.Tag.Autotrack, p.Tag.Ecommerce = f["autotrack"], f.Get("ecommerce") == "true"
	p.Tag.CrossDomain = f.Get("cross_domain") == "true"
	p.Tag.ClickIDs = strings.FieldsFunc(f.Get("click_ids"), func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' })
	p.Banner.Language, p.Banner.HideReopen = strings.ToLower(strings.TrimSpace(f.Get("banner_language"))), f.Get("hide_reopen") == "true"
	if p.Banner.Texts, err = bannerTexts(f.Get("banner_texts")); err != nil {
		return p, err
	}
	if p.Consent.Categories, err = categoriesOf(f.Get("segment_categories")); err != nil {
		return p, err
	}
	if f.Get("processing") != "" { // a form with this part in it
		processingFrom(f, &p, me(c).Name)
	}
	if err := keepsFrom(f, &p.Retention); err != nil {
		return p, err
	}
	if err := owedFrom(f, &p.Attribution); err != nil {
		return p, err
	}
	p.PrivacyURL, p.Country = strings.TrimSpace(f.Get("privacy_url")), strings.ToUpper(strings.TrimSpace(f.Get("country")))
	return p, nil
}

func (a *Admin) createPixelForm(c *echo.Context) error {
	p, err := pixelFrom(c, settings.Pixel{ID: strings.TrimSpace(c.FormValue("id")), Enabled: true})
	saved := p
	if err == nil {
		saved, err = a.addPixel(c.Request().Context(), me(c), p)
	}
	if bad, ok := fieldErrors(err, ""); err != nil && ok {
		if bad[""] != "" {
			bad["id"] = bad[""]
		}
		return a.show(c, http.StatusUnprocessableEntity, "pixel_new", view{Title: "New pixel", Nav: "pixels",
			Data: formOf(p, bad).typed(c)})
	}
	if err != nil {
		return err
	}
	return a.done(c, "/pixels/"+saved.ID+"#install", "The pixel is made. Put the tag on the site, then check the installation: it waits for the first event.")
}

// formOf is the form of a pixel with what is wrong in it. The errors of single
// domains, texts and keys are gathered beside the one field that they are entered in.
func formOf(p settings.Pixel, bad map[string]string) pixelFormData {
	for _, key := range sortedKeys(bad) {
		for prefix, field := range map[string]string{"domains/": "domains", "banner/texts": "banner_texts", "tag/click_ids": "click_ids", "processing/personal_keys": "personal_keys", "attribution/conversions": "conversions", "schemas/": "own_schema", "consent/segment_categories": "segment_categories"} {
			rest, ok := strings.CutPrefix(key, prefix)
			switch {
			case !ok:
			case field == "segment_categories":
				bad[field] = strings.TrimPrefix(rest, "/") + " " + bad[key]
			case field == "banner_texts":
				bad[field] = strings.ReplaceAll(strings.TrimPrefix(rest, "/"), "/", ".") + " " + bad[key]
			default:
				bad[field] = "one of them " + bad[key]
			}
		}
	}
	return pixelFormData{Pixel: p, Domains: strings.Join(p.Domains, "\n"), Texts: writeTexts(p.Banner.Texts), Categories: writeCategories(p.Consent.Categories), Errors: bad, Modes: consentModes}
}

// typed keeps the texts as they were typed, since they may not be readable.
func (d pixelFormData) typed(c *echo.Context) pixelFormData {
	d.Texts, d.Categories = c.FormValue("banner_texts"), c.FormValue("segment_categories")
	return d
}

// Words are the names of the banner's texts.
func (d pixelFormData) Words() []string { return settings.BannerWords[:] }

type autotrackChoice struct {
	Kind, Title, Help string
	On                bool
}

// Autotrack are the kinds of events that the tag can report by itself.
func (d pixelFormData) Autotrack() []autotrackChoice {
	all := []autotrackChoice{
		{Kind: "clicks", Title: "Clicks", Help: "On buttons and links: what they say and where they lead."},
		{Kind: "outbound", Title: "Links that lead away", Help: "To other sites."},
		{Kind: "downloads", Title: "Downloads", Help: "Documents, archives, media."},
		{Kind: "forms", Title: "Forms", Help: "That one was sent, by its name; never what is in its fields."},
		{Kind: "scroll", Title: "Scrolling", Help: "At a quarter, half, three quarters, nine tenths and the end."},
	}
	for i := range all {
		all[i].On = slices.Contains(d.Pixel.Tag.Autotrack, all[i].Kind)
	}
	return all
}

// bannerTexts reads lines of language.text = words.
func bannerTexts(lines string) (map[string]map[string]string, error) {
	var texts map[string]map[string]string
	for i, line := range strings.Split(lines, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, words, ok := strings.Cut(line, "=")
		code, word, dot := strings.Cut(strings.ToLower(strings.TrimSpace(name)), ".")
		if !ok || !dot {
			return nil, settings.Invalid{{Field: "banner_texts", Message: fmt.Sprintf("must be lines such as de.title = Wir fragen zuerst; line %d is not", i+1)}}
		}
		if texts == nil {
			texts = map[string]map[string]string{}
		}
		if texts[code] == nil {
			texts[code] = map[string]string{}
		}
		texts[code][word] = strings.TrimSpace(words)
	}
	return texts, nil
}

func writeTexts(texts map[string]map[string]string) string {
	var b strings.Builder
	for _, code := range sortedKeys(texts) {
		for _, word := range sortedKeys(texts[code]) {
			fmt.Fprintf(&b, "%s.%s = %s\n", code, word, texts[code][word])
		}
	}
	return b.String()
}

type pixelData struct {
	pixelFormData
	Health pixelHealth
	Alive  bool
	Tag    tag
	Routes []routeRow
	// Receipts say on which processes the last change is in force.
	Receipts []receiptView
}

// Applied counts the processes where it is.
func (d pixelData) Applied() int { return applied(d.Receipts) }

type routeRow struct {
	settings.Route
	N      int
	Title  string
	Params []fact
	Off    string // why nothing goes this way although the route is on
}

func (a *Admin) pixelPage(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	return a.pixelView(c, http.StatusOK, formOf(p, nil))
}

func (a *Admin) pixelView(c *echo.Context, status int, form pixelFormData) error {
	ctx, cancel := a.bounded(c)
	defer cancel()
	d := pixelData{pixelFormData: form, Tag: a.tag(c, form.Pixel.ID)}
	counts, err := a.dayCounts(ctx)
	if err != nil {
		return err
	}
	if d.Health, err = a.health(ctx, form.Pixel.ID, counts[form.Pixel.ID]); err != nil {
		return err
	}
	d.Alive = d.Health.Fresh(a.now())
	if stored, ok := a.seen(ctx, form.Pixel.ID); ok {
		if d.Receipts, err = a.inForce(ctx, stored); err != nil {
			return err
		}
	}
	for i, r := range form.Pixel.Routes {
		row := routeRow{Route: r, N: i, Title: a.partners.title(r.Partner)}
		if f := a.forms.params[r.Partner]; f != nil {
			for _, e := range f.filled(r.Params) {
				row.Params = append(row.Params, facts(e.Title, e.Value)...)
			}
		}
		switch a.o.Settings.Partner(r.Partner).Mode {
		case settings.Off:
			row.Off = row.Title + " is switched off"
		case settings.Hold:
			row.Off = row.Title + " is on hold"
		}
		d.Routes = append(d.Routes, row)
	}
	return a.show(c, status, "pixel", view{Title: cmp.Or(form.Pixel.Name, form.Pixel.ID), Nav: "pixels", Data: d})
}

func (a *Admin) updatePixelForm(c *echo.Context) error {
	before, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	p, wrong := pixelFrom(c, before)
	p.Enabled = c.FormValue("enabled") == "true"
	p.Dry = c.FormValue("dry") == "true"
	p.ConsentApproval = c.FormValue("consent_approval") == "true"
	p.Consent.TrustGDPR0 = c.FormValue("trust_gdpr_0") == "true"
	p.Consent.PartialWithoutSignal = c.FormValue("us_partial_without_signal") == "true"
	p.Consent.LimitedUse = c.FormValue("us_limited_use") == "true"
	p.Consent.IgnoreGPCInGDPR = c.FormValue("ignore_gpc_in_gdpr") == "true"
	p.Revision = revision(c)
	if err = wrong; err == nil {
		_, err = a.changePixel(c.Request().Context(), me(c), "pixel.update", p)
	}
	if err != nil {
		if bad, ok := fieldErrors(err, ""); ok {
			return a.pixelView(c, http.StatusUnprocessableEntity, formOf(p, bad).typed(c))
		}
		return a.pendingForm(c, err)
	}
	return a.done(c, "/pixels/"+p.ID, "Saved. Tags use it within a minute.")
}

func revision(c *echo.Context) int64 {
	n, err := strconv.ParseInt(c.FormValue("revision"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (a *Admin) deletePixelForm(c *echo.Context) error {
	p, err := a.pixel(c.Request().Context(), param(c, "id"))
	if err != nil {
		return err
	}
	if c.FormValue("confirm") != p.ID {
		return a.pixelView(c, http.StatusUnprocessableEntity, formOf(p, map[string]string{"confirm": "must be exactly " + p.ID}))
	}
	if err := a.removePixel(c.Request().Context(), me(c), p.ID); err != nil {
		return a.pendingForm(c, err)
	}
	return a.done(c, "/pixels", "The pixel is deleted. Tags that still name it are answered 404.")
}
