package admin

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/atrisk"
	"github.com/miq/pixel/modules/settings"
)

// need is something that a person should look at.
type need struct {
	Level string // bad, warn, info
	Text  string
	Link  string
	Do    string
}

const (
	slow  = 30 * time.Second // how old a waiting event may be before somebody should know
	quiet = 24 * time.Hour   // how long a pixel may be silent
	// expiring is how soon a dead conversion expires for somebody to be told.
	expiring = 24 * time.Hour
)

// needs says what is wrong, in sentences, the worst first.
func (a *Admin) needs(ctx context.Context, d *overviewData, queues []queueView, risk atrisk.Report) ([]need, error) {
	var out []need
	add := func(level, text, link, do string) { out = append(out, need{level, text, link, do}) }
	if n, wrong := a.ledgerNeed(); wrong && !whoOf(ctx).Confined() {
		out = append(out, n)
	}
	if d.Oldest > slow.Seconds() {
		add("bad", "Processing is behind: the oldest of "+count(d.Waiting, "event")+" has waited for "+age(d.Oldest)+".", "/queues", "See the queues")
	}
	routed := map[string]bool{}
	pixels := a.pixels(ctx)
	for _, p := range pixels {
		for _, r := range p.Routes {
			if p.Enabled && r.Enabled {
				routed[r.Partner] = true
			}
		}
	}
	for _, v := range d.Partners {
		link := "/partners/" + v.Name
		depth := v.Queue.Depth()
		switch {
		case v.Lane.Paused != "" && depth > 0:
			add("bad", sentence(v.Title+" is paused: "+v.Lane.Paused), link, "Put it right")
		case routed[v.Name] && v.Mode != settings.Off && len(v.Missing()) > 0:
			add("bad", v.Title+" cannot be sent anything: "+list(v.Missing())+" "+are(len(v.Missing()))+" not set.", link, "Set the credentials")
		case v.Lane.Open():
			add("bad", v.Title+" does not answer, so nothing is sent since "+ago(a.now(), v.Lane.Since)+". "+count(depth, "delivery")+" wait and will follow.", link, "See its answers")
		case v.Mode == settings.Hold && depth > 0:
			add("warn", v.Title+" is on hold: "+count(depth, "delivery")+" wait, the oldest for "+age(v.Queue.Oldest)+".", link, "Switch it on")
		case v.Mode == settings.Off && routed[v.Name]:
			add("warn", v.Title+" is off, though routes name it: events for it are not sent, and never will be.", link, "Open "+v.Title)
		case v.Queue.Oldest > 10*slow.Seconds():
			add("warn", "Deliveries to "+v.Title+" are behind: the oldest has waited for "+age(v.Queue.Oldest)+".", link, "See its answers")
		}
	}
	if !whoOf(ctx).Confined() {
		of, err := a.processNeeds(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, of...)
	}
	held, err := a.waitingFields(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range a.fieldNeeds(held) {
		add("warn", n, "/privacy/fields", "Decide")
	}
	for _, q := range queues {
		if q.Kind != "dead" || q.Depth == 0 || q.Short == "" {
			continue
		}
		if q.Short == validation {
			add("warn", "Refused at the door: "+count(q.Depth, "event")+" that "+were(q.Depth)+" not as events must be.", "/dead/validation", "See why")
		} else {
			add("warn", a.partners.title(q.Partner)+" will not take "+count(q.Depth, "delivery")+"; "+they(q.Depth)+" in the dead letters.", "/dead/"+q.Short, "See why")
		}
	}
	for _, s := range risk.Sums {
		if left := s.First.Sub(a.now()); s.State == "dead" && !s.First.IsZero() && left < expiring {
			add("bad", money(s.Value, s.Currency)+" of dead conversions wait for "+a.partners.title(s.Partner)+"; the first of them expires in "+age(left.Seconds())+".", "/at-risk", "See the money at risk")
		}
	}
	silent, err := a.silent(ctx, pixels)
	if err != nil {
		return nil, err
	}
	for _, p := range silent {
		add("info", cmp.Or(p.Name, p.ID)+" has sent nothing for a day.", "/pixels/"+p.ID, "Check the tag")
	}
	rank := map[string]int{"bad": 0, "warn": 1, "info": 2}
	slices.SortStableFunc(out, func(x, y need) int { return cmp.Compare(rank[x.Level], rank[y.Level]) })
	return out, nil
}

// processNeeds says what is wrong with the processes that run. Another build is none: fleets
// are upgraded.
func (a *Admin) processNeeds(ctx context.Context) (out []need, err error) {
	list, err := a.processViews(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		add := func(level, text, link, do string) { out = append(out, need{level, p.Instance + text, link, do}) }
		if p.Warns("secret_key") {
			add("bad", " runs with another secret_key than the other processes: it cannot read what they sealed, nor they what it signs.", "/processes", "See the processes")
		}
		if p.Warns("clock") {
			which := " ahead"
			if p.Ahead() < 0 {
				which = " behind"
			}
			add("warn", "’s clock is "+age(p.Ahead().Abs().Seconds())+which+", and with it the times of events.", "/processes", "See the processes")
		}
		if s := p.Spill; s != nil && s.Items > 0 {
			add("warn", " has "+count(s.Items, "event")+" on its disk, the oldest for "+age(s.Oldest)+": Redis is or was away.", "/queues", "See the queues")
		}
		if s := p.Spill; s != nil && s.Dead > 0 {
			add("bad", " has "+count(s.Dead, "event")+" on its disk that no queue takes.", "/queues", "See the queues")
		}
	}
	return out, nil
}

// silent are enabled pixels that nothing came from for a day.
func (a *Admin) silent(ctx context.Context, pixels []settings.Pixel) ([]settings.Pixel, error) {
	now := a.now()
	rows, err := a.o.Events.Top(ctx, analytics.TopQuery{Metric: analytics.MetricEvents, Dimension: "pixel_id", Since: now.Add(-quiet), Until: now.Add(time.Minute), Limit: 1000})
	if err != nil {
		return nil, err
	}
	heard := map[string]bool{}
	for _, r := range rows {
		heard[r.Group] = r.Value > 0
	}
	var out []settings.Pixel
	for _, p := range pixels {
		if p.Enabled && !heard[p.ID] && now.Sub(p.CreatedAt) > quiet {
			out = append(out, p)
		}
	}
	return out, nil
}
