// Package enrich finds out what an event does not say itself but its user
// agent, its address, its page's address and its referrer do: device, browser,
// place, network, campaign, click ids, where the visitor came from, whether it is a
// machine, and what an order is worth in the currency that all are compared in.
//
// Everything here is a function of the event, the kept lists and the files of package
// geo; the user agents are cached, since a site sees few different ones. What may be
// kept goes by consent: with full consent all of a place, with partial consent the
// country alone, looked up by what is left of the address once its end is cut off.
package enrich

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/maypok86/otter/v2"
	"github.com/mileusna/useragent"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/geo"
	"github.com/miq/pixel/modules/stopwatch"
)

// userAgents is how many user agents are remembered, about 10 MB.
const userAgents = 20_000

// The enrichments, as settings.EnrichmentKinds names them.
const (
	ofDevice     = "device"
	ofBot        = "bot"
	ofDatacenter = "datacenter"
	ofGeo        = "geo"
	ofNetwork    = "network"
	ofReferrer   = "referrer"
	ofCampaign   = "campaign"
	ofClicks     = "click_ids"
	ofCurrency   = "currency"
)

// enrichments are those that are made here; clocks are set right by the collector, and the
// worker has a step for sessions.
var enrichments = [...]string{ofDevice, ofBot, ofDatacenter, ofGeo, ofNetwork, ofReferrer, ofCampaign, ofClicks, ofCurrency}

// Enricher fills in the Enrichment of events. It is safe for concurrent use.
type Enricher struct {
	agents   *otter.Cache[string, agent]
	crawlers *crawlers
	sources  *sources
	rates    *rates
	geo      *geo.Files
	metrics  *metrics
}

// agent is what a user agent says by itself.
type agent struct {
	device event.Device
	bot    string
}

// Options are what an enricher may be given; the zero value knows no places and no
// rates.
type Options struct {
	Geo      *geo.Files
	Currency config.Currency
	Metrics  prometheus.Registerer
}

// New returns an enricher with an empty cache.
func New(o Options) (*Enricher, error) {
	c, err := otter.New(&otter.Options[string, agent]{MaximumSize: userAgents})
	if err != nil {
		return nil, err
	}
	n := &Enricher{agents: c, geo: o.Geo}
	if n.crawlers, err = readCrawlers(); err != nil {
		return nil, err
	}
	if n.sources, err = readSources(); err != nil {
		return nil, err
	}
	if n.rates, err = readRates(o.Currency); err != nil {
		return nil, err
	}
	n.metrics, err = newMetrics(o.Metrics)
	return n, err
}

// Site is what an event's site says about its enrichment.
type Site struct {
	// Domains are the site's own, whose pages refer to each other internally.
	Domains []string
	// Off are the enrichments that are not made.
	Off []string
}

func (s *Site) does(kind string) bool { return len(s.Off) == 0 || !slices.Contains(s.Off, kind) }

// Enrich fills in e.Enrichment, and, with full consent, the click ids that the
// page's address holds and e.Subject lacks. Session, Skew and Cleaned are not its
// matter and stay. Doing it twice changes nothing.
func (n *Enricher) Enrich(e *event.Event, site Site) {
	w := n.metrics.seconds.Start()
	x := &e.Enrichment
	*x = event.Enrichment{Session: x.Session, Skew: x.Skew, Cleaned: x.Cleaned}

	n.client(e, site, &w)
	n.where(e, site, &w)

	page := parse(e.Context.Page.URL)
	if site.does(ofCampaign) {
		x.Campaign = campaign(page.query)
		w.Done(ofCampaign)
	}
	if site.does(ofReferrer) {
		x.Referrer = n.sources.referrer(e.Context.Page.Referrer, page.host, site.Domains, x.Campaign, page.paid())
		w.Done(ofReferrer)
	}
	if e.Verdict.State == event.Full && site.does(ofClicks) {
		clickIDs(e, page.query)
		w.Done(ofClicks)
	}
	if site.does(ofCurrency) {
		x.Value = n.rates.value(&e.Order, e.Time)
		if x.Value.Missing != "" {
			n.metrics.missing.WithLabelValues(x.Value.Missing).Inc()
		}
		w.Done(ofCurrency)
	}
	if x.Bot != "" {
		by, _, _ := strings.Cut(x.Bot, ":")
		n.metrics.bots.WithLabelValues(by).Inc()
	}
	w.End()
}

// client reads what the visitor's browser says of itself.
func (n *Enricher) client(e *event.Event, site Site, w *stopwatch.Watch) {
	if !site.does(ofDevice) && !site.does(ofBot) {
		return
	}
	a := n.agent(e.Context.UserAgent, w)
	device, bot := hinted(a.device, a.bot, e.Context.ClientHints)
	// A server that reports for its visitor speaks with a program's user agent.
	if e.Source == "server" && (bot == byLibrary || bot == byCommand) {
		bot, device = "", event.Device{Class: other}
	}
	if site.does(ofDevice) {
		e.Enrichment.Device = device
		w.Done(ofDevice)
	}
	if site.does(ofBot) {
		e.Enrichment.Bot, e.Enrichment.Automated = bot, automated(bot)
		w.Done(ofBot)
	}
}

// where finds out where the visitor is and by whose network: by the edge's word, or
// else by the address.
func (n *Enricher) where(e *event.Event, site Site, w *stopwatch.Watch) {
	p := e.Context.Place
	full := e.Verdict.State == event.Full
	var address netip.Addr
	if e.Context.IP != "" {
		if a, err := netip.ParseAddr(e.Context.IP); err == nil {
			address = a.Unmap()
		}
	}
	if site.does(ofGeo) {
		if p.Country == "" && address.IsValid() {
			asn, who := p.ASN, p.Network
			p = n.geo.Place(address)
			p.ASN, p.Network = asn, who
		}
		w.Done(ofGeo)
	} else {
		p = event.Place{ASN: p.ASN, Network: p.Network}
	}
	if p.ASN == 0 && address.IsValid() && (site.does(ofNetwork) || site.does(ofDatacenter)) {
		p.ASN, p.Network = n.geo.Network(address)
		w.Done(ofNetwork)
	}
	if x := &e.Enrichment; x.Bot == "" && site.does(ofDatacenter) {
		who := n.geo.Datacenter(address)
		if who == "" {
			who = datacenters[p.ASN]
		}
		if who != "" {
			x.Bot, x.Automated = byNetwork+" ("+who+")", true
		}
		w.Done(ofDatacenter)
	}
	if !site.does(ofNetwork) {
		p.ASN, p.Network = 0, ""
	}
	if !full {
		p = event.Place{Country: p.Country}
	}
	e.Enrichment.Place = p
}

// agent reads a user agent, or remembers having done so.
func (n *Enricher) agent(ua string, w *stopwatch.Watch) agent {
	if a, ok := n.agents.GetIfPresent(ua); ok {
		return a
	}
	var a agent
	var parsed useragent.UserAgent
	a.device, parsed = readDevice(ua)
	w.Done(ofDevice)
	if ua != "" {
		a.bot = n.crawlers.botReason(cutAgent(ua), parsed)
	}
	if a.bot != "" {
		a.device.Class = machine
	}
	w.Done(ofBot)
	// A hostile header must not weigh as much in the cache as many honest ones.
	if len(ua) <= 512 {
		n.agents.Set(strings.Clone(ua), a)
	}
	return a
}
