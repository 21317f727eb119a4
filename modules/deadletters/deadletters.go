// Package deadletters finds dead letters and replays or drops them: what the
// console, its API and the command line have in common. It goes through a box
// page by page, however full it is, and each page is moved before the next is
// read, so that a run that is cut short has done a part and can go on.
package deadletters

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

// Selection says which letters are meant. It must say so: nothing selects
// nothing, and all of them are selected by All alone.
type Selection struct {
	IDs []string `json:"ids,omitzero"`
	All bool     `json:"all,omitzero"`

	// The rest is a filter, whose parts must all be true of a letter.
	Reason   *string `json:"reason,omitzero"`   // the whole reason
	Contains string  `json:"contains,omitzero"` // is part of the reason, whatever the case
	PixelID  string  `json:"pixel_id,omitzero"`
	Event    string  `json:"event,omitzero"` // the event's name
	// Since and Until bound when it was buried, Until exclusive.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// Empty reports whether nothing was selected.
func (s Selection) Empty() bool { return len(s.IDs) == 0 && !s.All && !s.filters() }

func (s Selection) filters() bool {
	return s.Reason != nil || s.Contains != "" || s.PixelID != "" || s.Event != "" || !s.Since.IsZero() || !s.Until.IsZero()
}

// Check reports a selection that does not say what it means.
func (s Selection) Check() error {
	n := 0
	for _, is := range []bool{len(s.IDs) > 0, s.All, s.filters()} {
		if is {
			n++
		}
	}
	switch {
	case n != 1:
		return settings.Invalid{{Field: "ids", Message: "give ids, a filter (reason, contains, pixel_id, event, since, until), or all: one of the three"}}
	case !s.Since.IsZero() && !s.Until.IsZero() && !s.Since.Before(s.Until):
		return settings.Invalid{{Field: "since", Message: "must lie before until"}}
	}
	return nil
}

// Takes reports whether a letter is meant.
func (s Selection) Takes(l queue.DeadLetter) bool {
	switch {
	case len(s.IDs) > 0:
		return slices.Contains(s.IDs, l.ID)
	case s.All:
		return true
	case !s.filters(),
		s.Reason != nil && l.Reason != *s.Reason,
		s.Contains != "" && !strings.Contains(strings.ToLower(l.Reason), strings.ToLower(s.Contains)),
		!s.Since.IsZero() && l.BuriedAt.Before(s.Since),
		!s.Until.IsZero() && !l.BuriedAt.Before(s.Until):
		return false
	case s.PixelID == "" && s.Event == "":
		return true
	}
	about := About(l.Body)
	return (s.PixelID == "" || about.PixelID == s.PixelID) && (s.Event == "" || about.Event == s.Event)
}

// Box is where dead letters lie; queue.Inspector is one.
type Box interface {
	Dead(ctx context.Context, name, cursor string, limit int) ([]queue.DeadLetter, string, error)
	Revive(ctx context.Context, name string, ids ...string) (int, error)
	Drop(ctx context.Context, name string, ids ...string) (int, error)
}

const (
	// perPage is how many letters are looked at, and moved, at once.
	perPage = 500
	// MaxScan bounds how many letters one call looks at.
	MaxScan = 10_000
)

// Find lists letters that are meant, newest first, from a cursor on. There may
// be fewer than limit, or none, though next says that there is more to look at.
func Find(ctx context.Context, box Box, name string, s Selection, cursor string, limit int) (letters []queue.DeadLetter, next string, err error) {
	size := limit
	if !s.All {
		size = max(1, limit/4) // so that a page that is full of them still fits
	}
	for seen := 0; ; {
		var page []queue.DeadLetter
		if page, cursor, err = box.Dead(ctx, name, cursor, size); err != nil {
			return letters, "", err
		}
		for _, l := range page {
			if s.Takes(l) {
				letters = append(letters, l)
			}
		}
		seen += len(page)
		if cursor == "" || seen >= MaxScan || len(letters)+size > limit {
			return letters, cursor, nil
		}
	}
}

// Options say how letters are moved.
type Options struct {
	// DryRun counts what would be moved, and moves nothing.
	DryRun bool
	// Cursor goes on where another call ended: its Result's Next.
	Cursor string
	// Limit ends the call after about so many letters were moved; 0: MaxScan.
	Limit int
	// Rate is how many letters are moved in a second; 0: as fast as can be.
	Rate int
	// Edit changes a letter's body before it goes back; nil: it goes as it is. Push
	// is needed then, since what is changed goes back as a new message.
	Edit func(body []byte) ([]byte, error)
	Push func(ctx context.Context, items ...queue.Item) error
	// Refused makes a message of a letter that came from no queue; false: it cannot be
	// one. Push is needed for it too. nil: none can.
	Refused func(body []byte) (queue.Item, bool, error)
	// Sleep waits; nil: a timer's wait. For tests.
	Sleep func(context.Context, time.Duration) error
}

// Result is what became of a selection.
type Result struct {
	Selected int `json:"selected"`
	Moved    int `json:"moved"`
	// Stuck are letters that came from no queue, since they are input that was
	// refused: there is nowhere to put them back.
	Stuck int `json:"not_replayable"`
	// More says that the call ended before the box did; Next is where to go on.
	More bool   `json:"more"`
	Next string `json:"next"`
}

// Replay puts letters back into the queues they came from. Doing it twice is
// harmless: what a partner took is not sent again.
func Replay(ctx context.Context, box Box, name string, s Selection, o Options) (Result, error) {
	move := box.Revive
	bodies := map[string]queue.DeadLetter{}
	if o.Edit != nil || o.Refused != nil {
		move = func(ctx context.Context, name string, ids ...string) (int, error) {
			return edited(ctx, box, name, o, bodies, ids)
		}
	}
	return run(ctx, box, name, s, o, func(r *Result, letters []queue.DeadLetter) (ids []string) {
		clear(bodies)
		for _, l := range letters {
			// Of events that were taken in a changed copy would be a duplicate, which the
			// worker ends; with Refused only what never came in can be changed.
			if l.Origin == "" && !o.may(l) || l.Origin != "" && o.Edit != nil && o.Refused != nil {
				r.Stuck++
				continue
			}
			if o.Edit != nil || o.Refused != nil {
				bodies[l.ID] = l
			}
			ids = append(ids, l.ID)
		}
		return ids
	}, move)
}

// edited puts letters back changed. They are there before they are gone from here,
// so that a crash in between leaves both, which is harmless.
func edited(ctx context.Context, box Box, name string, o Options, letters map[string]queue.DeadLetter, ids []string) (int, error) {
	var items []queue.Item
	var pushed, as []string
	for _, id := range ids {
		l := letters[id]
		if o.Edit == nil && l.Origin != "" {
			as = append(as, id)
			continue
		}
		body := l.Body
		if o.Edit != nil {
			var err error
			if body, err = o.Edit(body); err != nil {
				return 0, fmt.Errorf("edit the letter %s: %w", id, err)
			}
		}
		item := queue.Item{Queue: l.Origin, Body: body, Account: l.Account}
		if l.Origin == "" {
			var err error
			if item, _, err = o.Refused(body); err != nil {
				return 0, fmt.Errorf("the letter %s: %w", id, err)
			}
		}
		items, pushed = append(items, item), append(pushed, id)
	}
	n := 0
	if len(as) > 0 {
		var err error
		if n, err = box.Revive(ctx, name, as...); err != nil {
			return n, err
		}
	}
	if len(items) == 0 {
		return n, nil
	}
	if err := o.Push(ctx, items...); err != nil {
		return n, err
	}
	dropped, err := box.Drop(ctx, name, pushed...)
	return n + dropped, err
}

// may reports whether a letter that came from no queue can become a message.
func (o Options) may(l queue.DeadLetter) bool {
	if o.Refused == nil {
		return false
	}
	_, ok, _ := o.Refused(l.Body)
	return ok
}

// Drop deletes letters.
func Drop(ctx context.Context, box Box, name string, s Selection, o Options) (Result, error) {
	return run(ctx, box, name, s, o, func(_ *Result, letters []queue.DeadLetter) (ids []string) {
		for _, l := range letters {
			ids = append(ids, l.ID)
		}
		return ids
	}, box.Drop)
}

func run(ctx context.Context, box Box, name string, s Selection, o Options,
	choose func(*Result, []queue.DeadLetter) []string,
	move func(ctx context.Context, name string, ids ...string) (int, error),
) (r Result, err error) {
	if err := s.Check(); err != nil {
		return r, err
	}
	limit := o.Limit
	if limit <= 0 {
		limit = MaxScan
	}
	size := min(perPage, limit)
	if o.Rate > 0 {
		size = min(size, max(1, o.Rate/2)) // two pages a second
	}
	cursor, done := o.Cursor, 0
	for seen := 0; ; {
		page, next, err := box.Dead(ctx, name, cursor, size)
		if err != nil {
			return r, err
		}
		letters := slices.DeleteFunc(page, func(l queue.DeadLetter) bool { return !s.Takes(l) })
		seen += len(page)
		r.Selected += len(letters)
		ids := choose(&r, letters)
		done += len(ids)
		if len(ids) > 0 && !o.DryRun {
			n, err := move(ctx, name, ids...)
			r.Moved += n
			if err != nil {
				return r, fmt.Errorf("after %d: %w", r.Moved, err)
			}
		}
		if next == "" || len(s.IDs) > 0 && r.Selected == len(s.IDs) {
			return r, nil
		}
		cursor = next
		if seen >= max(MaxScan, limit) || done >= limit {
			r.More, r.Next = true, cursor
			return r, nil
		}
		if o.Rate > 0 && len(ids) > 0 && !o.DryRun {
			if err := o.pause(ctx, time.Duration(len(ids))*time.Second/time.Duration(o.Rate)); err != nil {
				r.More, r.Next = true, cursor
				return r, nil
			}
		}
	}
}

func (o Options) pause(ctx context.Context, d time.Duration) error {
	if o.Sleep != nil {
		return o.Sleep(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Cause counts the letters of one reason.
type Cause struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
	// Movable counts those that can be replayed.
	Movable int `json:"replayable"`
}

// Causes groups the newest MaxScan letters by reason, the most frequent first;
// more says that there are further ones.
func Causes(ctx context.Context, box Box, name string) (out []Cause, more bool, err error) {
	by := map[string]*Cause{}
	cursor := ""
	for seen := 0; ; {
		var page []queue.DeadLetter
		if page, cursor, err = box.Dead(ctx, name, cursor, perPage); err != nil {
			return nil, false, err
		}
		for _, l := range page {
			c := by[l.Reason]
			if c == nil {
				c = &Cause{Reason: l.Reason}
				by[l.Reason] = c
			}
			c.Count++
			if l.Origin != "" || Mendable(l.Body) {
				c.Movable++
			}
		}
		if seen += len(page); cursor == "" || seen >= MaxScan {
			break
		}
	}
	for _, c := range by {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(x, y Cause) int {
		if x.Count != y.Count {
			return y.Count - x.Count
		}
		return strings.Compare(x.Reason, y.Reason)
	})
	return out, cursor != "", nil
}
