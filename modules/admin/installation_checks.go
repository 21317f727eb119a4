package admin

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

// checks looks at everything, in the order in which it can go wrong.
func (h heard) checks() []check {
	out := []check{h.isOn(), h.arrived()}
	if len(h.refusals) > 0 {
		out = append(out, h.refused()...)
	}
	if len(h.events) == 0 {
		if h.suppressed > 0 {
			out = append(out, h.withheld())
		}
		return out
	}
	return append(out, h.domain(), h.consent(), h.visitor(), h.cookie(), h.clock(), h.people(), h.partners())
}

func (h heard) path(part string) string { return "/pixels/" + h.pixel.ID + part }

func (h heard) isOn() check {
	if !h.pixel.Enabled {
		return check{"pixel", wrong, "The pixel is off", "What its tag sends is refused until it is switched on.", h.path("#settings"), "Switch it on"}
	}
	return check{"pixel", good, "The pixel is on", "The collector takes what its tag sends, at " + h.origin + ".", "", ""}
}

func (h heard) arrived() check {
	if len(h.events) == 0 {
		text := "Open a page of the site that carries the tag, in another tab, and answer its consent banner. The event shows up here within seconds."
		if h.suppressed+len(h.refusals) > 0 {
			text = "Something came, but nothing that could be stored: see below."
		}
		return check{"event", pending, "Waiting for the first event", text, "", ""}
	}
	e := h.events[0]
	doors := map[string]string{"web": "the tag", "pixel": "the image", "server": "the server API"}
	text := fmt.Sprintf("%s came through %s, %s.", e.Name, doors[e.Source], ago(h.now, e.ReceivedAt))
	if e.Context.SDK.Version != "" {
		text = fmt.Sprintf("%s came through %s (version %s), %s.", e.Name, doors[e.Source], short(e.Context.SDK.Version, 20), ago(h.now, e.ReceivedAt))
	}
	c := check{"event", good, "Events arrive", text, "/events/" + url.PathEscape(e.ID) + asQuery("pixel_id", e.PixelID), "See its story"}
	if e.Source == "pixel" && !slices.ContainsFunc(h.events, func(e event.Event) bool { return e.Source != "pixel" }) {
		c.Status, c.Text = careful, c.Text+" Only the image came: the script was blocked, or its address on the page is wrong."
		c.Link, c.Do = h.path("#install"), "Compare the tag"
	}
	return c
}

// refused says what was turned away and what would be right, each cause once.
func (h heard) refused() []check {
	var out []check
	seen := map[string]bool{}
	for _, r := range h.refusals {
		key := r.Code + r.Pointer
		if r.Code == "origin_not_allowed" {
			key += r.Message
		}
		if seen[key] || len(out) == 4 {
			continue
		}
		seen[key] = true
		n := 0
		for _, x := range h.refusals {
			if x.Code == r.Code && x.Pointer == r.Pointer {
				n++
			}
		}
		if r.Code == "origin_not_allowed" {
			_, host, _ := strings.Cut(r.Message, "domains: ")
			title, text := "A site that is not in the pixel's list sent an event", "Its address is hidden, as in a sandboxed frame such as Shopify's checkout: only a pixel without a list of domains takes those."
			if host = strings.TrimSpace(host); host != "" {
				title, text = host+" is not among the pixel's domains", "What is sent from there is refused. If the site is the advertiser's, add it to the list; else somebody copied the tag."
			}
			out = append(out, check{"domain", wrong, title, text, h.path("#domains"), "Change the domains"})
			continue
		}
		out = append(out, check{"refused", wrong, count(n, "event") + " " + were(n) + " refused",
			sentence(strings.TrimSpace(r.Pointer + " " + r.Message)), "/dead/validation", "See what was refused"})
	}
	return out
}

// withheld is for a site where all that came was stopped by consent.
func (h heard) withheld() check {
	return check{"consent", wrong, "Consent allowed none of " + count(h.suppressed, "event") + " in this hour to be stored", h.wiring(), h.path("#consent"), "Change where consent comes from"}
}

// wiring is what has to be on the page for consent to arrive, by the pixel's mode.
func (h heard) wiring() string {
	switch h.pixel.ConsentMode {
	case settings.CMP:
		return "The tag asks the page's consent platform by __tcfapi, __gpp or __uspapi. Accept its banner; if the site has a banner that speaks none of these, choose “Site's own banner”."
	case settings.GCM:
		return `The tag reads Google Consent Mode's updates, or the site calls miq("consent", {state: "full"}) when the visitor agrees. Accept the site's banner and look whether it does either.`
	case settings.Banner:
		return "Our banner asks on the page: accept it. If it does not show, the site hides it, or the page was answered “refuse” in this tab before."
	}
	return "The pixel vouches that no opt-in law applies, but this visitor is somewhere where one does, or opted out."
}

func (h heard) domain() check {
	hosts := hostsOf(h.events)
	switch {
	case len(hosts) == 0:
		return check{"domain", careful, "The events do not say on which page they happened", "That is usual for servers; a page's tag says so by itself.", "", ""}
	case len(h.pixel.Domains) == 0:
		return check{"domain", careful, "Seen on " + list(hosts), "The pixel may be used on any site. List the advertiser's domains, so that nobody else can send events in its name.", h.path("#domains"), "List the domains"}
	}
	return check{"domain", good, "Seen on " + list(hosts), "All of it is among the pixel's domains.", "", ""}
}

func hostsOf(events []event.Event) []string {
	var out []string
	for _, e := range events {
		if u, err := url.Parse(e.Context.Page.URL); err == nil && u.Hostname() != "" && len(out) < 5 && !slices.Contains(out, u.Hostname()) {
			out = append(out, u.Hostname())
		}
	}
	return out
}

// signalled reports whether any word on consent came with an event.
func signalled(s event.Consent) bool {
	return s.TCF != "" || s.GPP != "" || s.USPrivacy != "" || s.State != "" || s.GCM != event.ConsentMode{}
}

func (h heard) consent() check {
	e := h.events[0]
	c := check{"consent", good, "Consent arrives: " + string(e.Verdict.State), sentence("Rule " + e.Verdict.Rule + ": " + short(e.Verdict.Reason, 200)), "", ""}
	if !slices.ContainsFunc(h.events, func(e event.Event) bool { return signalled(e.Consent) }) {
		c.Status, c.Title = careful, "No consent signal came"
		if h.pixel.ConsentMode == settings.Implied {
			c.Status, c.Text = good, "None is needed: you vouch that no opt-in law applies. "+c.Text
			return c
		}
		c.Text, c.Link, c.Do = h.wiring(), h.path("#consent"), "Change where consent comes from"
	} else if e.Verdict.State == event.Partial {
		c.Status, c.Title = careful, "Consent allows our own analytics only"
		c.Text += " Such events go to no partner; accept everything on the page to see one that does."
	}
	return c
}

func (h heard) visitor() check {
	if slices.ContainsFunc(h.events, func(e event.Event) bool { return e.Subject.AnonymousID != "" || e.Subject.VisitorID != "" }) {
		return check{"visitor", good, "The visitor is known again", "Events carry an id that stays with the browser.", "", ""}
	}
	if h.pixel.Tag.Storage == "none" {
		return check{"visitor", careful, "Nothing is kept in the browser", "The pixel's settings say so; visits are counted, people are not.", h.path("#settings"), "Change it"}
	}
	return check{"visitor", careful, "No id came with the events", "The browser keeps nothing, as in a sandboxed frame or with strict blocking; or consent does not allow it.", "", ""}
}

// cookie compares the sites of page and collector: a browser keeps the server's cookie
// only where they are the same.
func (h heard) cookie() check {
	hosts := hostsOf(h.events)
	u, err := url.Parse(h.origin)
	if err != nil || len(hosts) == 0 {
		return check{"cookie", careful, "The cookie cannot be judged", "The events name no page.", "", ""}
	}
	for _, host := range hosts {
		if siteOf(host) != siteOf(u.Hostname()) {
			return check{"cookie", careful, "The cookie is a third party's on " + host,
				"Browsers drop or shorten it, so visitors are forgotten within days in some. Give the collector a host of the site's own, such as px." + siteOf(host) + ", and set it as collector.public_url.", "", ""}
		}
	}
	if u.Scheme != "https" && !loopback(u.Hostname()) {
		return check{"cookie", wrong, "The cookie needs https", "It is marked Secure, and browsers keep such a cookie only from an address that begins with https.", "", ""}
	}
	return check{"cookie", good, "The cookie is first-party", u.Hostname() + " and " + list(hosts) + " are one site, so the visitor's id lasts for 13 months.", "", ""}
}

// siteOf is what browsers take for one site: the domain that somebody registered.
func siteOf(host string) string {
	if site, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil && net.ParseIP(host) == nil {
		return site
	}
	return host
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

func (h heard) clock() check {
	for _, e := range h.events {
		if text := skewFact(e.Enrichment.Skew); text != "" {
			return check{"clock", careful, "A visitor's clock is wrong", "It is " + text + ". Nothing needs to be done, unless it is your own or a server's.", "", ""}
		}
	}
	return check{"clock", good, "The clocks agree", "No visitor's clock is more than a minute off.", "", ""}
}

func (h heard) people() check {
	for _, e := range h.events {
		if e.Enrichment.Bot != "" && !h.pixel.Processing.Forwards(&e.Enrichment) {
			return check{"people", careful, "Some events come from programs", "Taken for a machine: " + short(e.Enrichment.Bot, 100) + ". Those are stored and marked, and go to no partner; an automated browser that tests the site is one.", h.path("#settings"), "Change what is sent of them"}
		}
	}
	return check{"people", good, "People, not programs", "None of the newest events looks like a machine's.", "", ""}
}

func (h heard) partners() check {
	on := 0
	for _, r := range h.pixel.Routes {
		if r.Enabled {
			on++
		}
	}
	switch {
	case h.pixel.Dry:
		return check{"partners", careful, "Test mode: the pixel is in a dry run", "What would be sent to partners is shown in each event's story, and nothing is sent.", h.path("#settings"), "End the dry run"}
	case on == 0:
		return check{"partners", careful, "Events go to no partner yet", "They are kept for your own reports. A route sends one kind of event to one partner.", h.path("/routes/new"), "Add a route"}
	case len(h.off) > 0:
		return check{"partners", careful, list(h.off) + " " + are(len(h.off)) + " switched off or on hold", "Routes name " + list(h.off) + ", but nothing is sent there now.", "/partners", "See the partners"}
	}
	return check{"partners", good, count(on, "route") + " " + are(on) + " on", "Events go on to partners where consent allows.", h.path("#routes"), "See the routes"}
}
