// Package enrich finds out what an event does not say itself but its user
// agent, its page's address and its referrer do: device, browser, campaign,
// click ids, where the visitor came from, and whether it is a machine.
//
// Everything here is a pure function of the event; only the user agents are
// cached, since a site sees few different ones.
package enrich

import (
	"fmt"

	"github.com/maypok86/otter/v2"

	"github.com/miq/pixel/modules/event"
)

// userAgents is how many user agents are remembered, about 10 MB.
const userAgents = 20_000

// Enricher fills in the Enrichment of events. It is safe for concurrent use.
type Enricher struct {
	agents *otter.Cache[string, agent]
}

// agent is what a user agent says by itself.
type agent struct {
	device event.Device
	bot    string
}

// New returns an enricher with an empty cache.
func New() (*Enricher, error) {
	c, err := otter.New(&otter.Options[string, agent]{MaximumSize: userAgents})
	if err != nil {
		return nil, fmt.Errorf("make the cache of user agents: %w", err)
	}
	return &Enricher{agents: c}, nil
}

// Enrich fills in e.Enrichment, and, with full consent, the click ids that the
// page's address holds and e.Subject lacks. Domains are the site's own, whose
// pages refer to each other internally. Doing it twice changes nothing.
func (n *Enricher) Enrich(e *event.Event, domains ...string) {
	a := n.agent(e.Context.UserAgent)
	device, bot := hinted(a.device, a.bot, e.Context.ClientHints)
	// A server that reports for its visitor speaks with a program's user agent.
	if e.Source == "server" && (bot == byLibrary || bot == byCommand) {
		bot, device = "", event.Device{Class: other}
	}

	page := parse(e.Context.Page.URL)
	campaign := Campaign(page.query)
	e.Enrichment = event.Enrichment{
		Device:    device,
		Bot:       bot,
		Automated: automated(bot),
		Campaign:  campaign,
		Referrer:  Referrer(e.Context.Page.Referrer, page.host, domains, campaign, page.paid()),
	}
	if e.Verdict.State == event.Full {
		clickIDs(e, page.query)
	}
}

// agent reads a user agent, or remembers having done so.
func (n *Enricher) agent(ua string) agent {
	if a, ok := n.agents.GetIfPresent(ua); ok {
		return a
	}
	var a agent
	a.device, a.bot = Device(ua)
	// A hostile header must not weigh as much in the cache as many honest ones.
	if len(ua) <= 512 {
		n.agents.Set(ua, a)
	}
	return a
}
