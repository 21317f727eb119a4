package admin

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/httpserver"
	"github.com/miq/pixel/modules/settings"
)

// rules are the part of a pixel that decides what consent means. Where the pixel says
// so, a change of them waits for a second person.
type rules struct {
	ConsentMode     settings.ConsentMode    `json:"consent_mode"`
	Consent         settings.ConsentOptions `json:"consent"`
	ConsentApproval bool                    `json:"consent_approval"`
}

func rulesOf(p settings.Pixel) rules { return rules{p.ConsentMode, p.Consent, p.ConsentApproval} }

func (r rules) put(p *settings.Pixel) {
	p.ConsentMode, p.Consent, p.ConsentApproval = r.ConsentMode, r.Consent, r.ConsentApproval
}

// proposal is a change of rules that waits.
type proposal struct {
	ID      string    `json:"id"`
	PixelID string    `json:"pixel_id"`
	By      actor     `json:"by"`
	Person  string    `json:"-"` // see kept
	At      time.Time `json:"at"`
	Changes []change  `json:"changes"`
}

// keptProposal is a proposal with what it takes to carry it out: a change of rules, or
// else what is decided upon fields, or that the pixel goes.
type keptProposal struct {
	Proposal proposal       `json:"proposal"`
	Person   string         `json:"person"` // who is behind By: a token's maker
	Before   rules          `json:"before"`
	After    rules          `json:"after"`
	Fields   *fieldDecision `json:"fields,omitempty"`
	Delete   bool           `json:"delete,omitempty"`
}

// ofRules reports whether it is a change of rules, of which a pixel has one at most.
func (k keptProposal) ofRules() bool { return k.Fields == nil && !k.Delete }

// heldChange says that a change waits for somebody else.
type heldChange struct{ proposal proposal }

func (p *heldChange) Error() string {
	return "the change of " + p.proposal.PixelID + " waits for another admin's approval"
}

// person is the user behind a request: a token acts for who made it.
func (p principal) person() string { return cmp.Or(p.Behind, p.ID) }

// propose keeps a change of rules for a second person. One that waited already is
// replaced by it.
func (a *Admin) propose(ctx context.Context, who principal, before, after settings.Pixel) error {
	all, err := a.proposals.all(ctx)
	if err != nil {
		return err
	}
	for id, k := range all {
		if k.value.Proposal.PixelID == before.ID && k.value.ofRules() {
			if err := a.proposals.remove(ctx, id); err != nil {
				return err
			}
		}
	}
	return a.keepProposal(ctx, who, before.ID, differences(rulesOf(before), rulesOf(after)), keptProposal{Before: rulesOf(before), After: rulesOf(after)})
}

// proposeFields keeps a decision upon fields for a second person. Several of them may
// wait, of different fields.
func (a *Admin) proposeFields(ctx context.Context, who principal, p settings.Pixel, d fieldDecision) error {
	after, err := a.decidedFields(ctx, p, d)
	if err != nil {
		return err
	}
	changes := fieldChanges(p.Fields, after)
	if len(changes) == 0 {
		return nil
	}
	all, err := a.proposals.all(ctx)
	if err != nil {
		return err
	}
	for id, k := range all {
		if old := k.value.Fields; old != nil && old.PixelID == d.PixelID && old.Partner == d.Partner && old.Decision == d.Decision && slices.Equal(old.Paths, d.Paths) {
			if err := a.proposals.remove(ctx, id); err != nil {
				return err
			}
		}
	}
	return a.keepProposal(ctx, who, p.ID, changes, keptProposal{Fields: &d})
}

// proposeDeletion keeps the deletion of a pixel for a second person: made again under
// its id, it would have other rules without anybody's approval.
func (a *Admin) proposeDeletion(ctx context.Context, who principal, p settings.Pixel) error {
	all, err := a.proposals.all(ctx)
	if err != nil {
		return err
	}
	for id, k := range all {
		if k.value.Proposal.PixelID == p.ID && k.value.Delete {
			if err := a.proposals.remove(ctx, id); err != nil {
				return err
			}
		}
	}
	return a.keepProposal(ctx, who, p.ID, []change{{"the pixel", cmp.Or(p.Name, p.ID), "deleted"}}, keptProposal{Delete: true})
}

func (a *Admin) keepProposal(ctx context.Context, who principal, pixel string, changes []change, k keptProposal) error {
	p := proposal{
		ID: "apr_" + strings.ToLower(rand.Text()[:12]), PixelID: pixel, By: actor{who.Kind, who.ID, who.Name},
		At: a.now().UTC().Truncate(time.Millisecond), Changes: changes,
	}
	k.Proposal, k.Person = p, who.person()
	if err := a.proposals.put(ctx, p.ID, 0, k); err != nil {
		return err
	}
	if err := a.audit.note(ctx, who, "consent.propose", pixel, p.ID, p.Changes...); err != nil {
		return err
	}
	return &heldChange{p}
}

// secondPerson reports whether a pixel's consent rules are changed by two people: since
// it says so, or the whole installation does.
func (a *Admin) secondPerson(p settings.Pixel) bool {
	return p.ConsentApproval || a.o.Config.SecondPerson
}

// waiting are the proposals, the oldest first.
func (a *Admin) waiting(ctx context.Context) ([]proposal, error) {
	all, err := a.proposals.all(ctx)
	if err != nil {
		return nil, err
	}
	out := []proposal{}
	for _, k := range all {
		p := k.value.Proposal
		p.Person = k.value.Person
		out = append(out, p)
	}
	slices.SortFunc(out, func(x, y proposal) int { return x.At.Compare(y.At) })
	return out, nil
}

// decideProposal carries a proposal out, or drops it. To approve takes a person who is
// signed in and is not the one who proposed; to reject, any admin.
func (a *Admin) decideProposal(ctx context.Context, who principal, id string, approve bool) (proposal, error) {
	k, _, ok, err := a.proposals.get(ctx, id)
	if err != nil {
		return proposal{}, err
	}
	if !ok {
		return proposal{}, httpserver.NewProblem(http.StatusNotFound, "unknown_proposal", "there is no such proposal: it was decided, or replaced by a later one")
	}
	p := k.Proposal
	if !approve {
		if err := a.proposals.remove(ctx, id); err != nil {
			return p, err
		}
		_, err := a.audit.record(ctx, who, "consent.reject", p.PixelID, p.ID+" by "+p.By.Name, p.Changes...)
		return p, err
	}
	if who.Kind != "user" {
		return p, httpserver.NewProblem(http.StatusForbidden, "person_needed", "a person must approve this: sign in to the console")
	}
	if who.person() == k.Person {
		return p, httpserver.NewProblem(http.StatusForbidden, "own_proposal", "nobody approves their own proposal; another admin must")
	}
	now, err := a.pixel(ctx, p.PixelID)
	if err != nil {
		return p, err
	}
	if !k.ofRules() {
		said := p.ID + " proposed by " + p.By.Name
		if k.Delete {
			err = a.deletePixelNow(ctx, who, now, said)
		} else {
			err = a.saveFields(ctx, who, "consent.approve", said, *k.Fields)
		}
		if err != nil {
			return p, err
		}
		return p, a.proposals.remove(ctx, id)
	}
	if !reflect.DeepEqual(rulesOf(now), k.Before) {
		return p, httpserver.NewProblem(http.StatusConflict, "changed_since", "the consent rules of "+p.PixelID+" were changed since this was proposed; it must be proposed again")
	}
	was := now
	k.After.put(&now)
	// Of two who approve at once one finds the pixel's revision changed.
	saved, err := a.o.Settings.SavePixel(ctx, now)
	if err != nil {
		return p, err
	}
	if err := a.proposals.remove(ctx, id); err != nil {
		return p, err
	}
	entry, err := a.audit.record(ctx, who, "consent.approve", p.PixelID, p.ID+" proposed by "+p.By.Name, p.Changes...)
	if err != nil {
		return p, err
	}
	return p, a.remember(ctx, entry, former{Pixel: &was, Revision: saved.Revision})
}

// pendingAnswer is 202 with the proposal, where an error says that a change waits.
func pendingAnswer(c *echo.Context, err error) error {
	if p, ok := errors.AsType[*heldChange](err); ok {
		return c.JSON(http.StatusAccepted, p.proposal)
	}
	return err
}

// pendingForm is the same for people.
func (a *Admin) pendingForm(c *echo.Context, err error) error {
	if p, ok := errors.AsType[*heldChange](err); ok {
		return a.done(c, "/pixels/"+p.proposal.PixelID, "That waits for another admin's approval; until then what was holds. Everything else is saved.")
	}
	return err
}

func (a *Admin) listApprovals(c *echo.Context) error {
	if err := a.query(c).err(); err != nil {
		return err
	}
	list, err := a.waiting(c.Request().Context())
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, items(list, ""))
}

func (a *Admin) approve(c *echo.Context) error { return a.answerProposal(c, true) }

func (a *Admin) reject(c *echo.Context) error { return a.answerProposal(c, false) }

func (a *Admin) answerProposal(c *echo.Context, approve bool) error {
	p, err := a.decideProposal(c.Request().Context(), me(c), param(c, "id"), approve)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, p)
}

type approvalsData struct{ Waiting []proposalView }

type proposalView struct {
	proposal
	Own bool
}

func (a *Admin) approvalsPage(c *echo.Context) error {
	list, err := a.waiting(c.Request().Context())
	if err != nil {
		return err
	}
	var d approvalsData
	for _, p := range list {
		d.Waiting = append(d.Waiting, proposalView{p, p.Person == me(c).person()})
	}
	return a.show(c, http.StatusOK, "approvals", view{Title: "Approvals", Nav: "audit", Data: d})
}

func (a *Admin) approveForm(c *echo.Context) error {
	p, err := a.decideProposal(c.Request().Context(), me(c), param(c, "id"), true)
	if err != nil {
		return err
	}
	return a.done(c, "/approvals", "Approved: what was proposed for "+p.PixelID+" is in force in about a second.")
}

func (a *Admin) rejectForm(c *echo.Context) error {
	p, err := a.decideProposal(c.Request().Context(), me(c), param(c, "id"), false)
	if err != nil {
		return err
	}
	return a.done(c, "/approvals", "Rejected: "+p.PixelID+" stays as it is.")
}
