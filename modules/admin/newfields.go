package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/fields"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/state"
)

// Where a pixel says so, deliveries with a field that nobody decided upon wait (the
// dispatcher holds them). Here is decided.

// waitAge is how long a count of what waits is shown before it is made anew.
const waitAge = 2 * time.Second

// awaited keeps the last look at what waits, since one reads thousands of messages.
type awaited struct {
	mu      sync.Mutex
	at      time.Time
	list    []fields.Waiting
	held    map[fields.Held][]string
	partial []string
}

// awaiting are the fields that deliveries wait for, of the pixels that whoever asks may
// see, and how far that is counted. What was decided upon a moment ago is not among them.
func (a *Admin) awaiting(ctx context.Context) (list []fields.Waiting, partial []string, err error) {
	w := &a.awaited
	w.mu.Lock()
	defer w.mu.Unlock()
	if age := a.now().Sub(w.at); w.at.IsZero() || age < 0 || age >= waitAge {
		// For everybody: what somebody may not see is left out below.
		if w.list, w.held, w.partial, err = fields.Await(asking(ctx, principal{}), a.o.Queues, a.partners.order); err != nil {
			return nil, nil, err
		}
		w.at = a.now()
	}
	for _, f := range w.list {
		if p, ok := a.seen(ctx, f.PixelID); ok && a.undecided(p, f.Partner, f.Path) {
			list = append(list, f)
		}
	}
	return list, w.partial, nil
}

func (a *Admin) undecided(p settings.Pixel, partner string, paths ...string) bool {
	refused, open := p.Fields.Sift(partner, paths)
	return len(refused) == 0 && len(open) > 0
}

// waitsFor says which fields an event's delivery to a partner waits for.
func (a *Admin) waitsFor(ctx context.Context, pixel, partner, event string) ([]string, error) {
	p, ok := a.o.Settings.Pixel(pixel)
	if !ok || p.Fields.Open(partner) {
		return nil, nil
	}
	if _, _, err := a.awaiting(ctx); err != nil {
		return nil, err
	}
	a.awaited.mu.Lock()
	defer a.awaited.mu.Unlock()
	paths := a.awaited.held[fields.Held{PixelID: pixel, Partner: partner, EventID: event}]
	if !a.undecided(p, partner, paths...) {
		return nil, nil
	}
	return paths, nil
}

// fieldDecision is what is decided upon the fields of a pixel at a partner, or upon its
// switch where the partner is empty.
type fieldDecision struct {
	PixelID  string   `json:"pixel_id"`
	Partner  string   `json:"partner,omitempty"`
	Decision string   `json:"decision"` // approve, refuse, forget; hold, release
	Paths    []string `json:"paths,omitempty"`
}

const (
	holdFields    = "hold"
	releaseFields = "release"
)

// opens reports whether a decision lets a partner be told more than before.
func (d fieldDecision) opens(f settings.Fields) bool {
	switch d.Decision {
	case settings.Approve, releaseFields:
		return true
	case settings.Forget:
		return !f.Hold
	}
	return false
}

// check says what is wrong with a decision.
func (a *Admin) checkDecision(d fieldDecision) error {
	var v settings.Invalid
	bad := func(field, message string) { v = append(v, settings.Problem{Field: field, Message: message}) }
	switch d.Decision {
	case holdFields, releaseFields:
	case settings.Approve, settings.Refuse, settings.Forget:
		if a.partners.adapters[d.Partner] == nil {
			bad("partner", "is not a partner")
		}
		if len(d.Paths) == 0 {
			bad("paths", "must name a field at least")
		}
		if len(d.Paths) > settings.MaxFields {
			bad("paths", fmt.Sprintf("must be at most %d at once", settings.MaxFields))
		}
	default:
		bad("decision", "must be one of approve, refuse, forget")
	}
	if len(v) > 0 {
		return v
	}
	return nil
}

// decideFields carries a decision out, or has it wait for a second person where it
// opens something and the pixel's consent rules ask for one.
func (a *Admin) decideFields(ctx context.Context, who principal, d fieldDecision) error {
	if err := a.checkDecision(d); err != nil {
		return err
	}
	p, err := a.pixel(ctx, d.PixelID)
	if err != nil {
		return err
	}
	if a.secondPerson(p) && d.opens(p.Fields) {
		return a.proposeFields(ctx, who, p, d)
	}
	return a.saveFields(ctx, who, "fields."+d.Decision, "", d)
}

// saveFields writes a decision, whoever else changes the pixel meanwhile.
func (a *Admin) saveFields(ctx context.Context, who principal, action, note string, d fieldDecision) error {
	for try := 0; ; try++ {
		before, err := a.pixel(ctx, d.PixelID)
		if err != nil {
			return err
		}
		p := before
		if p.Fields, err = a.decidedFields(ctx, p, d); err != nil {
			return err
		}
		changes := fieldChanges(before.Fields, p.Fields)
		if len(changes) == 0 {
			return nil
		}
		saved, err := a.o.Settings.SavePixel(ctx, p)
		if errors.Is(err, state.ErrConflict) && try < 5 {
			if err := a.o.Settings.Refresh(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if n := len(changes); n > maxFieldChanges {
			changes, note = changes[:maxFieldChanges], strings.TrimSpace(fmt.Sprintf("%s and %d more fields", note, n-maxFieldChanges))
		}
		entry, err := a.audit.record(ctx, who, action, p.ID, note, changes...)
		if err != nil {
			return err
		}
		return a.remember(ctx, entry, former{Pixel: &before, Revision: saved.Revision})
	}
}

// maxFieldChanges bounds a line of the audit log.
const maxFieldChanges = 60

// decidedFields are a pixel's after a decision. When new fields begin to wait, those
// that were sent so far are approved: they have gone to the partner already.
func (a *Admin) decidedFields(ctx context.Context, p settings.Pixel, d fieldDecision) (settings.Fields, error) {
	f := p.Fields
	switch d.Decision {
	case releaseFields:
		f.Hold = false
		return f, nil
	case holdFields:
		if f.Hold {
			return f, nil
		}
		f.Hold = true
		rows, err := fields.Read(ctx, a.o.State, []string{p.ID}, a.partners.order)
		if err != nil {
			return f, err
		}
		known := map[string][]string{}
		for _, r := range rows {
			if refused, _ := p.Fields.Sift(r.Partner, []string{r.Path}); len(refused) == 0 {
				known[r.Partner] = append(known[r.Partner], r.Path)
			}
		}
		for partner, paths := range known {
			f = f.Decide(partner, settings.Approve, paths...)
		}
		return f, nil
	}
	return f.Decide(d.Partner, d.Decision, d.Paths...), nil
}

// fieldChanges says what a decision changed, a line for each field.
func fieldChanges(before, after settings.Fields) []change {
	var out []change
	if before.Hold != after.Hold {
		words := map[bool]string{true: "wait for approval", false: "go at once"}
		out = append(out, change{"new fields", words[before.Hold], words[after.Hold]})
	}
	was, is := decisions(before), decisions(after)
	for at, w := range was {
		if is[at] != w {
			out = append(out, change{at, w, cmp.Or(is[at], "undecided")})
		}
	}
	for at, now := range is {
		if was[at] == "" {
			out = append(out, change{at, "undecided", now})
		}
	}
	slices.SortFunc(out, func(x, y change) int { return strings.Compare(x.Field, y.Field) })
	return out
}

func decisions(f settings.Fields) map[string]string {
	out := map[string]string{}
	for word, lists := range map[string]map[string][]string{"approved": f.Approved, "refused": f.Refused} {
		for partner, list := range lists {
			for _, path := range list {
				out[partner+" "+path] = word
			}
		}
	}
	return out
}

// waitingField is a field that waits, as the API says it.
type waitingField struct {
	PixelID    string    `json:"pixel_id"`
	Partner    string    `json:"partner"`
	Field      string    `json:"field"`
	Path       string    `json:"path"`
	Deliveries int       `json:"deliveries"`
	Since      time.Time `json:"since"`
	AtLeast    bool      `json:"at_least"` // more wait than were counted
	Proposed   bool      `json:"proposed"` // a second person is asked to approve it
}

func (a *Admin) waitingFields(ctx context.Context) ([]waitingField, error) {
	list, partial, err := a.awaiting(ctx)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	proposals, err := a.proposals.all(ctx)
	if err != nil {
		return nil, err
	}
	proposed := map[string]bool{}
	for _, k := range proposals {
		if d := k.value.Fields; d != nil && d.Decision == settings.Approve {
			for _, path := range d.Paths {
				proposed[d.PixelID+" "+d.Partner+" "+path] = true
			}
		}
	}
	out := make([]waitingField, len(list))
	for i, f := range list {
		out[i] = waitingField{f.PixelID, f.Partner, fieldWords(f.Path), f.Path, f.Deliveries, f.Since, slices.Contains(partial, f.Partner), proposed[f.PixelID+" "+f.Partner+" "+f.Path]}
	}
	return out, nil
}

func (a *Admin) listWaitingFields(c *echo.Context) error {
	if err := a.query(c).err(); err != nil {
		return err
	}
	ctx, cancel := a.bounded(c)
	defer cancel()
	list, err := a.waitingFields(ctx)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items(list, ""))
}

// postDecision and postHold are the same for programs as the forms are for people.
func (a *Admin) postDecision(c *echo.Context) error {
	var d fieldDecision
	if err := decode(c, &d); err != nil {
		return err
	}
	if d.Decision == holdFields || d.Decision == releaseFields {
		d.Decision = ""
	}
	if err := a.decideFields(c.Request().Context(), me(c), d); err != nil {
		return pendingAnswer(c, err)
	}
	return c.NoContent(http.StatusNoContent)
}

func (a *Admin) postHold(c *echo.Context) error {
	var in struct {
		PixelID string `json:"pixel_id"`
		Hold    bool   `json:"hold"`
	}
	if err := decode(c, &in); err != nil {
		return err
	}
	if err := a.decideFields(c.Request().Context(), me(c), holding(in.PixelID, in.Hold)); err != nil {
		return pendingAnswer(c, err)
	}
	return c.NoContent(http.StatusNoContent)
}

func holding(pixel string, hold bool) fieldDecision {
	if hold {
		return fieldDecision{PixelID: pixel, Decision: holdFields}
	}
	return fieldDecision{PixelID: pixel, Decision: releaseFields}
}

func (a *Admin) decideFieldsForm(c *echo.Context) error {
	f, err := c.FormValues()
	if err != nil {
		return err
	}
	d := fieldDecision{PixelID: f.Get("pixel_id"), Partner: f.Get("partner"), Decision: f.Get("decision"), Paths: f["path"]}
	if d.Decision == "approve-all" {
		d.Decision, d.Paths = settings.Approve, f["shown"]
	}
	if len(d.Paths) == 0 {
		return a.done(c, "/privacy/fields", "Nothing was chosen, so nothing was changed.")
	}
	if err := a.decideFields(c.Request().Context(), me(c), d); err != nil {
		return a.pendingForm(c, err)
	}
	n, title := count(len(d.Paths), "field"), a.partners.title(d.Partner)
	said := map[string]string{
		settings.Approve: n + " approved for " + title + ". What waited for nothing else goes in a few seconds, after consent was asked again.",
		settings.Refuse:  n + " refused for " + title + ". Deliveries that would tell it are not sent, until the mapping leaves it out.",
		settings.Forget:  n + " undecided again for " + title + ".",
	}
	return a.done(c, "/privacy/fields", said[d.Decision])
}

func (a *Admin) holdFieldsForm(c *echo.Context) error {
	d := holding(c.FormValue("pixel_id"), c.FormValue("hold") == "true")
	if err := a.decideFields(c.Request().Context(), me(c), d); err != nil {
		return a.pendingForm(c, err)
	}
	said := "New fields go at once again. Those that were refused stay so."
	if d.Decision == holdFields {
		said = "From now on a field that was never sent before waits for approval. Those that were sent so far are approved."
	}
	return a.done(c, "/privacy/fields", said)
}

// fieldNeeds says of each partner what it was never told and would be now.
func (a *Admin) fieldNeeds(list []waitingField) (out []string) {
	for len(list) > 0 {
		partner := list[0].Partner
		var rest []waitingField
		var words []string
		most := 0
		for _, f := range list {
			if f.Partner != partner {
				rest = append(rest, f)
				continue
			}
			if most = max(most, f.Deliveries); !slices.Contains(words, f.Field) {
				words = append(words, f.Field)
			}
		}
		what := "“" + words[0] + "”"
		if n := len(words) - 1; n > 0 {
			what += " and " + count(n, "other field")
		}
		wait := " wait"
		if most == 1 {
			wait += "s"
		}
		out = append(out, a.partners.title(partner)+" was never told "+what+" before: "+count(most, "delivery")+wait+" for approval.")
		list = rest
	}
	return out
}
