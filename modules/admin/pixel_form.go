package admin

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/settings"
)

// pixelFormData is the form of a pixel: what is set, or what was typed and refused.
type pixelFormData struct {
	Pixel  settings.Pixel
	Errors map[string]string // by the fields' names; "" is of none of them
	Modes  []modeChoice

	typed url.Values // nil where nothing was refused
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

// formOf is the form of a pixel as it is set.
func formOf(p settings.Pixel) pixelFormData { return pixelFormData{Pixel: p, Modes: consentModes} }

// refusedForm is the form as it was filled in, with what is wrong beside its fields.
func refusedForm(p settings.Pixel, typed url.Values, bad map[string]string) pixelFormData {
	return pixelFormData{Pixel: p, Errors: besideFields(bad), Modes: consentModes, typed: typed}
}

// pixelTexts are the fields that take text, as they are written of what is set.
var pixelTexts = map[string]func(settings.Pixel) string{
	"id":                 func(p settings.Pixel) string { return p.ID },
	"name":               func(p settings.Pixel) string { return p.Name },
	"advertiser":         func(p settings.Pixel) string { return p.Advertiser },
	"domains":            func(p settings.Pixel) string { return strings.Join(p.Domains, "\n") },
	"country":            func(p settings.Pixel) string { return p.Country },
	"privacy_url":        func(p settings.Pixel) string { return p.PrivacyURL },
	"data_layer":         func(p settings.Pixel) string { return p.Tag.DataLayer },
	"click_ids":          func(p settings.Pixel) string { return strings.Join(p.Tag.ClickIDs, ", ") },
	"timezone":           func(p settings.Pixel) string { return p.Processing.Timezone },
	"personal_keys":      func(p settings.Pixel) string { return strings.Join(p.Processing.Keys, ", ") },
	"conversions":        func(p settings.Pixel) string { return strings.Join(p.Attribution.Conversions, ", ") },
	"segment_categories": func(p settings.Pixel) string { return writeCategories(p.Consent.Categories) },
	"banner_language":    func(p settings.Pixel) string { return p.Banner.Language },
	"banner_texts":       func(p settings.Pixel) string { return writeTexts(p.Banner.Texts) },
}

// Text is what stands in a field: what was typed, where that was refused, or what is set.
func (d pixelFormData) Text(field string) string {
	if d.typed.Has(field) {
		return d.typed.Get(field)
	}
	if write, ok := pixelTexts[field]; ok {
		return write(d.Pixel)
	}
	return ""
}

// number is Text of a field for a number, of which none is set.
func (d pixelFormData) number(field string, n int) string {
	switch {
	case d.typed.Has(field):
		return d.typed.Get(field)
	case n == 0:
		return ""
	}
	return fmt.Sprint(n)
}

// pixelFrom reads the fields of a pixel's form over what was there. All that cannot be
// read is said at once, and leaves what was there.
func pixelFrom(c *echo.Context, p settings.Pixel) (settings.Pixel, url.Values, error) {
	f, err := c.FormValues()
	if err != nil {
		return p, nil, err
	}
	var bad settings.Invalid
	note := func(err error) {
		if v, ok := errors.AsType[settings.Invalid](err); ok {
			bad = append(bad, v...)
		}
	}
	p.Name, p.Advertiser = f.Get("name"), f.Get("advertiser")
	p.Domains = listed(f.Get("domains"))
	p.ConsentMode = settings.ConsentMode(f.Get("consent_mode"))
	p.PrivacyURL, p.Country = strings.TrimSpace(f.Get("privacy_url")), strings.ToUpper(strings.TrimSpace(f.Get("country")))
	p.Tag.SPA, p.Tag.Storage, p.Tag.DataLayer = f.Get("spa"), f.Get("storage"), strings.TrimSpace(f.Get("data_layer"))
	p.Tag.Autotrack, p.Tag.Ecommerce = f["autotrack"], f.Get("ecommerce") == "true"
	p.Tag.CrossDomain = f.Get("cross_domain") == "true"
	p.Tag.ClickIDs = listed(f.Get("click_ids"))
	p.Banner.Language, p.Banner.HideReopen = strings.ToLower(strings.TrimSpace(f.Get("banner_language"))), f.Get("hide_reopen") == "true"
	if texts, err := bannerTexts(f.Get("banner_texts")); err != nil {
		note(err)
	} else {
		p.Banner.Texts = texts
	}
	if categories, err := categoriesOf(f.Get("segment_categories")); err != nil {
		note(err)
	} else {
		p.Consent.Categories = categories
	}
	if f.Get("processing") != "" { // a form with this part in it
		note(processingFrom(f, &p, me(c).Name))
	}
	note(keepsFrom(f, &p.Retention))
	note(owedFrom(f, &p.Attribution))
	if len(bad) > 0 {
		return p, f, bad
	}
	return p, f, nil
}

// unsaved is what is wrong with a pixel that was not saved, beside what could not be read
// of its form.
func (a *Admin) unsaved(p settings.Pixel, unread error) error {
	bad, ok := errors.AsType[settings.Invalid](unread)
	if !ok {
		return unread
	}
	p.ID, p.ConsentMode = cmp.Or(p.ID, "px_made"), cmp.Or(p.ConsentMode, settings.CMP) // as addPixel would
	normalize(&p)
	if v, ok := errors.AsType[settings.Invalid](a.checkPixel(p)); ok {
		bad = append(slices.Clone(bad), v...)
	}
	return bad
}

// pixelFields are the fields that what is wrong with a setting, or with something in it,
// is shown beside; each says it in its own way.
var pixelFields = []struct {
	setting, field string
	say            func(at, message string) string
}{
	{"id", "id", nil},
	{"name", "name", nil},
	{"advertiser", "advertiser", nil},
	{"domains", "domains", oneOfThem},
	{"consent_mode", "consent_mode", nil},
	{"country", "country", nil},
	{"privacy_url", "privacy_url", nil},
	{"tag/data_layer", "data_layer", nil},
	{"tag/click_ids", "click_ids", oneOfThem},
	{"tag/cross_domain", "cross_domain", nil},
	{"processing/timezone", "timezone", nil},
	{"processing/personal_keys", "personal_keys", oneOfThem},
	{"schema_event", "schema_event", nil},
	{"schemas", "schema_text", func(_, message string) string { return message }},
	{"attribution/conversions", "conversions", oneOfThem},
	{"attribution", "", nil},
	{"retention", "", nil},
	{"segment_categories", "segment_categories", nil},
	{"consent/segment_categories", "segment_categories", func(at, message string) string { return at + " " + message }},
	{"banner/language", "banner_language", nil},
	{"banner_texts", "banner_texts", nil},
	{"banner/texts", "banner_texts", func(at, message string) string { return strings.ReplaceAll(at, "/", ".") + " " + message }},
	{"confirm", "confirm", nil},
}

func oneOfThem(_, message string) string { return "one of them " + message }

// besideFields puts what is wrong with a pixel's settings beside the fields that they are
// entered in. What has none there stands above the form, by its setting's name.
func besideFields(bad map[string]string) map[string]string {
	out := map[string]string{}
	var others []string
	for _, key := range sortedKeys(bad) {
		message := bad[key]
		field := ""
		for _, f := range pixelFields {
			at, ok := strings.CutPrefix(key, f.setting)
			if !ok || at != "" && at[0] != '/' {
				continue
			}
			at = strings.TrimPrefix(at, "/")
			if field = f.field; field == "" {
				field = at // each has a field of its own name
			} else if at != "" && f.say != nil {
				message = f.say(at, message)
			}
			break
		}
		switch {
		case field != "":
			out[field] = message
		case key == "":
			others = append(others, message)
		default:
			others = append(others, key+" "+message)
		}
	}
	if len(others) > 0 {
		out[""] = strings.Join(others, "; ")
	}
	return out
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
