package admin

import (
	"cmp"
	"context"
	"errors"

	"slices"
	"strings"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

var errNoQueue = errors.New("no such queue; there are validation and one for each partner")

// deadScan bounds how many dead letters one request looks at.
const deadScan = 10_000

// validation is the name of the queue for refused input.
const validation = "validation"

// deadQueue turns a name of the API into a queue's.
func (a *Admin) deadQueue(name string) (string, error) {
	if name == validation {
		return queue.Validation, nil
	}
	if _, ok := a.partners.specs[name]; ok {
		return queue.PartnerDead(name), nil
	}
	return "", errNoQueue
}

// selection says which dead letters are meant; it must say so.
type selection struct {
	IDs    []string `json:"ids"`
	Reason *string  `json:"reason"`
	All    bool     `json:"all"`
}

func (s selection) check() error {
	n := 0
	for _, is := range []bool{len(s.IDs) > 0, s.Reason != nil, s.All} {
		if is {
			n++
		}
	}
	if n != 1 {
		return settings.Invalid{{Field: "ids", Message: "give one of ids, reason or all"}}
	}
	return nil
}

func (s selection) takes(d queue.DeadLetter) bool {
	return s.All || s.Reason != nil && d.Reason == *s.Reason || slices.Contains(s.IDs, d.ID)
}

// moved is what became of a selection.
type moved struct {
	Selected int `json:"selected"`
	Moved    int `json:"moved"`
	// Stuck are letters that came from no queue, since they are input that was
	// refused: there is nowhere to put them back.
	Stuck   int    `json:"not_replayable"`
	More    bool   `json:"more"`
	Message string `json:"message"`
}

// selected finds the letters that are meant, among the newest deadScan.
func (a *Admin) selected(ctx context.Context, name string, s selection) (letters []queue.DeadLetter, more bool, err error) {
	err = s.check()
	cursor, seen := "", 0
	for err == nil {
		var page []queue.DeadLetter
		page, cursor, err = a.o.Queues.Dead(ctx, name, cursor, 500)
		for _, d := range page {
			if s.takes(d) {
				letters = append(letters, d)
			}
		}
		seen += len(page)
		if cursor == "" || len(s.IDs) > 0 && len(letters) == len(s.IDs) {
			return letters, false, err
		}
		if seen >= deadScan {
			return letters, true, err
		}
	}
	return nil, false, err
}

func (a *Admin) replay(ctx context.Context, who principal, short string, s selection) (moved, error) {
	name, err := a.deadQueue(short)
	if err != nil {
		return moved{}, err
	}
	letters, more, err := a.selected(ctx, name, s)
	if err != nil {
		return moved{}, err
	}
	m := moved{Selected: len(letters), More: more}
	var ids []string
	for _, d := range letters {
		if d.Origin == "" {
			m.Stuck++
			continue
		}
		ids = append(ids, d.ID)
	}
	if len(ids) > 0 {
		if m.Moved, err = a.o.Queues.Revive(ctx, name, ids...); err != nil {
			return m, err
		}
	}
	m.Message = replayed(m)
	if m.Moved == 0 {
		return m, nil
	}
	return m, a.audit.record(ctx, who, "dlq.replay", short, m.Message)
}

func replayed(m moved) string {
	text := "Put back into their queue: " + count(m.Moved, "message") + "."
	if m.Stuck > 0 {
		text += " Not replayable: " + count(m.Stuck, "message") + " that the collector refused; correct the cause at the source, which must send them again."
	}
	if m.More {
		text += " There are more; repeat to go on."
	}
	return text
}

func (a *Admin) drop(ctx context.Context, who principal, short string, s selection) (moved, error) {
	name, err := a.deadQueue(short)
	if err != nil {
		return moved{}, err
	}
	letters, more, err := a.selected(ctx, name, s)
	if err != nil {
		return moved{}, err
	}
	m := moved{Selected: len(letters), More: more}
	ids := make([]string, len(letters))
	for i, d := range letters {
		ids[i] = d.ID
	}
	if len(ids) > 0 {
		if m.Moved, err = a.o.Queues.Drop(ctx, name, ids...); err != nil {
			return m, err
		}
	}
	m.Message = "Deleted for good: " + count(m.Moved, "message") + "."
	if m.Moved == 0 {
		return m, nil
	}
	return m, a.audit.record(ctx, who, "dlq.drop", short, m.Message)
}

// cause counts the dead letters of one reason.
type cause struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
	// Stuck is set where none of them can be replayed.
	Stuck bool `json:"-"`
}

// causes groups the newest dead letters by reason, the most frequent first, and
// counts those that can be replayed.
func (a *Admin) causes(ctx context.Context, name string) (out []cause, movable int, more bool, err error) {
	letters, more, err := a.selected(ctx, name, selection{All: true})
	if err != nil {
		return nil, 0, false, err
	}
	by := map[string]*cause{}
	for _, d := range letters {
		c := by[d.Reason]
		if c == nil {
			c = &cause{Reason: d.Reason, Stuck: true}
			by[d.Reason] = c
		}
		c.Count++
		if d.Origin != "" {
			c.Stuck = false
			movable++
		}
	}
	for _, c := range by {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(x, y cause) int { return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Reason, y.Reason)) })
	return out, movable, more, nil
}

// queueView is a queue as the API and the console show it.
type queueView struct {
	Queue    string  `json:"queue"`
	Kind     string  `json:"kind"` // ingest, partner, dead
	Ready    int     `json:"ready"`
	InFlight int     `json:"in_flight"`
	Delayed  int     `json:"delayed"`
	Depth    int     `json:"depth"`
	Oldest   float64 `json:"oldest_seconds"`
	Partner  string  `json:"partner,omitempty"`
	// Short is a dead-letter queue's name in addresses.
	Short string `json:"-"`
}

// queueViews are all queues, those that nothing was put in yet too.
func (a *Admin) queueViews(ctx context.Context) ([]queueView, error) {
	stats, err := a.o.Queues.Stats(ctx)
	if err != nil {
		return nil, err
	}
	by := map[string]queue.Stats{}
	for _, s := range stats {
		by[s.Queue] = s
	}
	var out []queueView
	add := func(name, kind, partner, short string) {
		s := by[name]
		delete(by, name)
		out = append(out, queueView{name, kind, s.Ready, s.InFlight, s.Delayed, s.Ready + s.InFlight + s.Delayed, s.Oldest.Seconds(), partner, short})
	}
	for _, p := range event.Priorities {
		add(queue.Ingest(p), "ingest", "", "")
	}
	built := a.partners.built()
	for _, s := range built {
		add(queue.Partner(s.Name), "partner", s.Name, "")
	}
	add(queue.Validation, "dead", "", validation)
	for _, s := range built {
		add(queue.PartnerDead(s.Name), "dead", s.Name, s.Name)
	}
	// Queues of partners that are gone still hold what they hold.
	for _, name := range sortedKeys(by) {
		kind := "partner"
		if queue.IsDead(name) {
			kind = "dead"
		}
		add(name, kind, "", "")
	}
	return out, nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "y"); ok {
		return thousands(float64(n)) + " " + stem + "ies"
	}
	return thousands(float64(n)) + " " + noun + "s"
}
