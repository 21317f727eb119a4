package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/settings"
)

// outcome is what became of an event at one partner.
type outcome struct {
	Partner string `json:"partner"`
	Title   string `json:"title"`
	// Outcome is the last attempt's, or "waiting" where there was none.
	Outcome event.Outcome `json:"outcome"`
	// Sentence says it to people.
	Sentence string       `json:"sentence"`
	Attempts []event.Sync `json:"attempts"`
	// Link is where to do something about it, and Do what.
	Link string `json:"-"`
	Do   string `json:"-"`
	// Match is how well the partner could match the event when it was routed; nil
	// where it was not.
	Match *match `json:"match,omitempty"`
}

// match is an event.Match for people.
type match struct {
	Grade   event.Grade `json:"grade"`
	Keys    []string    `json:"keys"`
	Missing []string    `json:"missing"`
	// Has and Lacks are the same in the partner's words.
	Has   []string `json:"-"`
	Lacks []string `json:"-"`
}

// matchOf puts a match into the words of its partner's keys.
func (a *Admin) matchOf(m event.Match) *match {
	titles := map[string]string{}
	for _, k := range a.partners.specs[m.Partner].Keys {
		titles[k.Name] = k.Title
	}
	out := &match{Grade: m.Grade, Keys: m.Keys, Missing: m.Missing}
	for _, k := range m.Keys {
		out.Has = append(out.Has, cmp.Or(titles[k], k))
	}
	for _, k := range m.Missing {
		out.Lacks = append(out.Lacks, cmp.Or(titles[k], k))
	}
	return out
}

const waiting event.Outcome = "waiting"

// patience is how long a routed event may go without a trace at its partner
// before nothing more is expected.
const patience = 2 * time.Minute

// deliveries sorts the sync log by partner, and adds the partners that the event was
// routed to, or that a route of today names, and that have not been heard of.
func (a *Admin) deliveries(e event.Event, found analytics.Story, lanes []lanestatus.Status) []outcome {
	by := map[string][]event.Sync{}
	for _, s := range found.Syncs {
		by[s.Partner] = append(by[s.Partner], s)
	}
	var out []outcome
	for name, list := range by {
		slices.SortFunc(list, func(x, y event.Sync) int {
			return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Attempt, y.Attempt))
		})
		last := list[len(list)-1]
		o := outcome{Partner: name, Title: a.partners.title(name), Outcome: last.Outcome, Sentence: a.sentence(last), Attempts: list}
		o.Link, o.Do = remedy(last)
		out = append(out, o)
	}
	young := a.now().Sub(e.ReceivedAt) < patience
	silent := func(partner string) {
		if _, heard := by[partner]; heard || slices.ContainsFunc(out, func(d outcome) bool { return d.Partner == partner }) {
			return
		}
		o := outcome{Partner: partner, Title: a.partners.title(partner), Outcome: waiting, Sentence: a.why(partner, laneOf(lanes, partner)), Attempts: []event.Sync{}}
		if o.told() == heldBack {
			o.Link, o.Do = "/partners/"+partner, "Open "+o.Title
		} else if !young {
			o.Sentence = "Handed over for " + o.Title + ", and not tried yet: its queue is behind, or it was emptied."
			o.Link, o.Do = "/queues", "See the queues"
		}
		out = append(out, o)
	}
	p, ok := a.o.Settings.Pixel(e.PixelID)
	if days := p.Retention.SyncsDays; days == 0 || a.now().Sub(e.ReceivedAt) < time.Duration(days)*24*time.Hour {
		// One match is kept of each partner that it was routed to, and the log would know more.
		for _, m := range found.Matches {
			silent(m.Partner)
		}
	}
	if ok && young && p.Processing.Forwards(&e.Enrichment) {
		for _, r := range p.Routes {
			if r.Enabled && (r.Event == e.Name || r.Event == "*") {
				silent(r.Partner)
			}
		}
	}
	slices.SortFunc(out, func(x, y outcome) int { return cmp.Compare(x.Title, y.Title) })
	return out
}

// sentence says how an attempt ended. What was not sent says so in the words of
// whoever decided it.
func (a *Admin) sentence(s event.Sync) string {
	title := a.partners.title(s.Partner)
	switch s.Outcome {
	case event.Accepted:
		if s.Latency > 0 {
			return title + " accepted it in " + milliseconds(s.Latency) + "."
		}
		return title + " accepted it."
	case event.NotSent:
		return cmp.Or(s.Message, "not sent: "+s.Code)
	case event.Rejected:
		return sentence(title + " will not take it: " + cmp.Or(s.Message, s.Code, "no reason was given"))
	case event.Retry:
		return sentence("It will be tried again: " + cmp.Or(s.Message, s.Code, "no reason was given"))
	}
	return s.Message
}

// heldBack is of a delivery that waits for more than its turn.
const heldBack event.Outcome = "held"

// told is a delivery's outcome for a sentence: one that waits is on its way, or held.
func (d outcome) told() event.Outcome {
	if d.Outcome == waiting && !strings.HasPrefix(d.Sentence, onItsWay) {
		return heldBack
	}
	return d.Outcome
}

const onItsWay = "On its way to "

// fieldsAwaited says of deliveries that wait for a decision upon their fields that they do.
func (a *Admin) fieldsAwaited(ctx context.Context, e event.Event, list []outcome) error {
	for i, d := range list {
		if d.Outcome != waiting && d.Outcome != event.Retry {
			continue
		}
		paths, err := a.waitsFor(ctx, e.PixelID, d.Partner, e.ID)
		if err != nil {
			return err
		}
		if len(paths) == 0 {
			continue
		}
		words := make([]string, len(paths))
		for n, p := range paths {
			words[n] = fieldWords(p)
		}
		list[i].Sentence = sentence("Waiting for an admin to approve what " + d.Title + " was never told before: " + strings.Join(words, "; "))
		list[i].Link, list[i].Do = "/privacy/fields", "See what waits"
	}
	return nil
}

// why says what a delivery waits for.
func (a *Admin) why(name string, lane laneView) string {
	title := a.partners.title(name)
	switch {
	case a.o.Settings.Partner(name).Mode == settings.Hold:
		return "Waiting: " + title + " is on hold."
	case lane.Paused != "":
		return sentence("Waiting until somebody acts: " + lane.Paused)
	case lane.Open():
		return "Waiting: " + title + " does not answer just now."
	}
	return onItsWay + title + "."
}

// unsent says why an event went to no partner at all.
func (a *Admin) unsent(e event.Event) string {
	p, ok := a.o.Settings.Pixel(e.PixelID)
	switch {
	case !p.Processing.Forwards(&e.Enrichment):
		return "Not sent to anybody: it was taken for a machine (" + e.Enrichment.Bot + ")."
	case !e.Verdict.State.Allows(event.Full):
		return "Not sent to anybody: consent allows our own analytics only."
	case !ok:
		return "Not sent to anybody: its pixel has been deleted."
	}
	return fmt.Sprintf("Not sent to anybody: no route of %s takes %s.", cmp.Or(p.Name, p.ID), e.Name)
}
