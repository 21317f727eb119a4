package erasure

import (
	"context"
	"errors"
	"fmt"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// maxVisitors bounds one person: what names more is no person's.
const maxVisitors = 1000

// People tells whose an identifier is.
type People interface {
	// Visitors are those of the profiles that the identifiers of a subject belong to.
	Visitors(ctx context.Context, pixel string, s event.Subject) ([]string, error)
}

// Events are the stored events that a person is found by.
type Events interface {
	Events(ctx context.Context, f analytics.EventFilter) (analytics.EventPage, error)
	Story(ctx context.Context, q analytics.StoryQuery) (analytics.Story, error)
	Syncs(ctx context.Context, f analytics.SyncFilter) (analytics.SyncPage, error)
}

// Finder finds what a person can be told by.
type Finder struct {
	Whose  People
	Events Events
	Pixels func() []string
}

// CrowdError says that what was given names no single person.
type CrowdError struct{ PixelID string }

func (e *CrowdError) Error() string {
	return fmt.Sprintf("at pixel %s more than %d visitors are known by this: it is no person's. Name the person by something else", e.PixelID, maxVisitors)
}

// People finds a person at one pixel, or where that is empty at all, beginning with
// what is known already.
func (f Finder) People(ctx context.Context, pixel string, identifiers []Identifier, known ...*Person) ([]*Person, error) {
	pixels := []string{pixel}
	if pixel == "" {
		pixels = f.Pixels()
	}
	at := map[string]*Person{}
	for _, p := range known {
		at[p.PixelID] = p
	}
	for _, pixel := range pixels {
		if at[pixel] == nil {
			at[pixel] = newPerson(pixel)
			known = append(known, at[pixel])
		}
	}
	for _, p := range known {
		if err := f.person(ctx, p, identifiers); err != nil {
			return known, err
		}
	}
	return known, nil
}

// found counts what people are told by.
func found(people []*Person) Found {
	visitors, names := map[string]bool{}, map[string]bool{}
	for _, p := range people {
		for v := range p.Visitors {
			visitors[v] = true
		}
		for n := range p.Names {
			names[n] = true
		}
	}
	return Found{len(visitors), len(names)}
}

func (f Finder) person(ctx context.Context, p *Person, identifiers []Identifier) error {
	for _, id := range identifiers {
		switch id.Kind {
		case "order_id", "event_id":
			q := analytics.StoryQuery{PixelID: p.PixelID, ID: id.Value}
			if id.Kind == "order_id" {
				q.ID, q.OrderID = "", id.Value
			}
			s, err := f.Events.Story(ctx, q)
			if errors.Is(err, analytics.ErrNotFound) {
				continue
			}
			if err != nil {
				return fmt.Errorf("find whose order it is: %w", err)
			}
			p.Add(&s.Event.Subject)
			p.Events[s.Event.ID] = struct{}{}
		default:
			s := id.subject("")
			p.Add(&s)
		}
	}
	// Whoever is named may be known by more, and by that again by more.
	asked := map[string]bool{}
	for news := true; news; {
		news = false
		for name, s := range subjects(p) {
			if asked[name] {
				continue
			}
			asked[name] = true
			visitors, err := f.Whose.Visitors(ctx, p.PixelID, s)
			if err != nil {
				return fmt.Errorf("find the person's visitors: %w", err)
			}
			for _, v := range visitors {
				news = p.Add(&event.Subject{VisitorID: v}) || news
			}
			if s.AnonymousID != "" {
				more, err := f.visitor(ctx, p, s.AnonymousID)
				if err != nil {
					return err
				}
				news = news || more
			}
			if len(p.Visitors) > maxVisitors {
				return &CrowdError{p.PixelID}
			}
		}
	}
	return nil
}

// subjects are a person's visitors and names, each as an event would hold it.
func subjects(p *Person) map[string]event.Subject {
	out := make(map[string]event.Subject, len(p.Visitors)+len(p.Names))
	for v := range p.Visitors {
		out["visitor:"+v] = event.Subject{AnonymousID: v}
	}
	for n := range p.Names {
		out[n] = subjectOf(n)
	}
	return out
}

// visitor adds what a visitor's stored events name the person by.
func (f Finder) visitor(ctx context.Context, p *Person, visitor string) (news bool, err error) {
	filter := analytics.EventFilter{PixelID: p.PixelID, VisitorID: visitor, Limit: analytics.MaxLimit}
	for {
		page, err := f.Events.Events(ctx, filter)
		if err != nil {
			return news, fmt.Errorf("find what a visitor is known by: %w", err)
		}
		for i := range page.Events {
			news = p.Add(&page.Events[i].Subject) || news
		}
		if filter.Cursor = page.Next; filter.Cursor == "" {
			return news, nil
		}
	}
}

// Preview is what an erasure would delete of stored events.
type Preview struct {
	Found  Found            `json:"found"`
	Stored analytics.Erased `json:"stored"`
}

// Preview finds a person and counts what is stored of him, and changes nothing.
func (f Finder) Preview(ctx context.Context, e analytics.Eraser, pixel string, identifiers ...Identifier) (p Preview, err error) {
	people, err := f.People(ctx, pixel, identifiers)
	if err != nil {
		return p, err
	}
	p.Found = found(people)
	for _, who := range people {
		kept, err := e.Kept(ctx, who.all())
		if err != nil {
			return p, err
		}
		p.Stored.Add(kept)
	}
	return p, nil
}
