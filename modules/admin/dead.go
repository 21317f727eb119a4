package admin

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/deadletters"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/ledger"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/schema"
	"github.com/miq/pixel/modules/settings"
)

var errNoQueue = errors.New("no such queue; there are validation and one for each partner")

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

// selection is what a request asks to be moved, and how.
type selection struct {
	deadletters.Selection `json:",embed"`

	DryRun bool   `json:"dry_run,omitzero"`
	Limit  int    `json:"limit,omitzero"`
	Cursor string `json:"cursor,omitzero"`
	// Rate is how many are moved in a second; 0: as fast as can be.
	Rate int `json:"rate,omitzero"`
	// Edit is a merge patch (RFC 7396) to what is replayed: its params, account, or
	// its event's order, properties, name and time.
	Edit jsontext.Value `json:"edit,omitzero"`
}

func (s selection) options() deadletters.Options {
	return deadletters.Options{DryRun: s.DryRun, Limit: s.Limit, Cursor: s.Cursor, Rate: s.Rate}
}

// moved is what became of a selection, and a sentence that says it.
type moved struct {
	deadletters.Result `json:",embed"`

	Message string `json:"message"`
	// Preview is what a replay would come to, of a dry run of a partner's.
	Preview *preview `json:"preview,omitempty"`
}

func (a *Admin) replay(ctx context.Context, who principal, short string, s selection) (moved, error) {
	return a.move(ctx, who, "dlq.replay", short, s, deadletters.Replay, replayed)
}

func (a *Admin) drop(ctx context.Context, who principal, short string, s selection) (moved, error) {
	return a.move(ctx, who, "dlq.drop", short, s, deadletters.Drop, dropped)
}

func (a *Admin) move(ctx context.Context, who principal, action, short string, s selection,
	run func(context.Context, deadletters.Box, string, deadletters.Selection, deadletters.Options) (deadletters.Result, error),
	say func(deadletters.Result, bool) string,
) (moved, error) {
	name, err := a.deadQueue(short)
	if err != nil {
		return moved{}, err
	}
	if s.Limit < 0 || s.Limit > deadletters.MaxScan {
		return moved{}, settings.Invalid{{Field: "limit", Message: "must be from 1 to " + thousands(deadletters.MaxScan)}}
	}
	if s.Rate < 0 || s.Rate > 10_000 {
		return moved{}, settings.Invalid{{Field: "rate", Message: "must be from 1 to 10,000 a second"}}
	}
	o := s.options()
	if name == queue.Validation && action == "dlq.replay" {
		o.Push = a.o.Push
		o.Refused = a.mended
	}
	if len(s.Edit) > 0 {
		if err := editable(s.Edit); err != nil {
			return moved{}, err
		}
		o.Push = a.o.Push
		o.Edit = func(body []byte) ([]byte, error) { return mergePatch(body, s.Edit) }
	}
	r, err := run(ctx, a.o.Queues, name, s.Selection, o)
	m := moved{Result: r, Message: say(r, s.DryRun)}
	if len(s.Edit) > 0 && m.Moved > 0 {
		m.Message += " They were edited: " + string(s.Edit[:min(len(s.Edit), 200)])
	}
	if s.DryRun && action == "dlq.replay" && short != validation && err == nil {
		if m.Preview, err = a.previewOf(ctx, short, s, o.Edit); err == nil {
			m.Message += m.Preview.sentence(a.partners.title(short))
		}
	}
	if m.Moved == 0 {
		return m, err
	}
	// What was moved before an error was moved.
	return m, errors.Join(err, a.audit.note(ctx, who, action, short, m.Message))
}

// mended makes a message of what was refused for its properties: the event as it is, or
// was edited, if there is nothing against it any more. False is for all else that was
// refused, of which too little is kept.
func (a *Admin) mended(body []byte) (queue.Item, bool, error) {
	var letter struct {
		Code  string         `json:"code"`
		Event jsontext.Value `json:"event"`
	}
	if json.Unmarshal(body, &letter) != nil || !schema.Mendable(letter.Code) {
		return queue.Item{}, false, nil
	}
	var e event.Event
	if json.Unmarshal(letter.Event, &e) != nil || e.ID == "" || e.Receipt == "" {
		return queue.Item{}, false, nil
	}
	p, ok := a.o.Settings.Pixel(e.PixelID)
	if !ok {
		return queue.Item{}, true, settings.Invalid{{Field: "pixel_id", Message: "names a pixel that has been deleted"}}
	}
	var f event.Fault
	if e.Order, f = event.ParseOrder(e.Name, e.Properties); f.Code == "" {
		f, _ = p.Demands(a.schemas, e.Name, e.Properties)
	}
	if f.Code != "" {
		return queue.Item{}, true, settings.Invalid{{Field: "event" + strings.ReplaceAll(f.Pointer, "/", "."), Message: f.Message + `; edit it, such as with {"event":{"properties":{…}}}`}}
	}
	return queue.Item{
		Queue: queue.Ingest(e.Priority), Body: event.Encode(&e), Account: queue.AccountOf(e.PixelID, e.ReceivedAt), Stage: ledger.Received, N: 1,
	}, true, nil
}

// editable checks that a patch changes nothing that was decided or that says whose
// the event is: consent, identity, the event's id and pixel.
func editable(patch jsontext.Value) error {
	var v settings.Invalid
	check := func(at string, value jsontext.Value, may ...string) {
		if err := members(value, func(name string, _ jsontext.Value) error {
			if !slices.Contains(may, name) {
				v = append(v, settings.Problem{Field: at + name, Message: "cannot be edited; only " + strings.Join(may, ", ") + " can"})
			}
			return nil
		}); err != nil {
			v = append(v, settings.Problem{Field: strings.TrimSuffix(at, "."), Message: "must be an object"})
		}
	}
	check("edit.", patch, "params", "account", "event")
	var inner struct {
		Event jsontext.Value `json:"event"`
	}
	if len(v) == 0 && json.Unmarshal(patch, &inner) == nil && len(inner.Event) > 0 {
		check("edit.event.", inner.Event, "order", "properties", "name", "time")
	}
	if len(v) > 0 {
		return v
	}
	return nil
}

func replayed(r deadletters.Result, dry bool) string {
	text := "Put back into their queue: " + count(r.Moved, "message") + "."
	if dry {
		text = "Would be put back into their queue: " + count(r.Selected-r.Stuck, "message") + ". Nothing was moved."
	}
	if r.Stuck > 0 {
		text += " Not replayable: " + count(r.Stuck, "message") + " that the collector refused; correct the cause at the source, which must send them again."
	}
	return text + goOn(r)
}

func dropped(r deadletters.Result, dry bool) string {
	if dry {
		return "Would be deleted for good: " + count(r.Selected, "message") + ". Nothing was deleted." + goOn(r)
	}
	return "Deleted for good: " + count(r.Moved, "message") + "." + goOn(r)
}

func goOn(r deadletters.Result) string {
	if r.More {
		return " There are more; repeat to go on."
	}
	return ""
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
