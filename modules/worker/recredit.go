package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/backfill"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
	"github.com/miq/pixel/modules/state"
)

// recredit gives the archive's conversions anew, where the analytics store was lost.
//
// It remembers visitors for itself and for a while: what is remembered live holds the
// newest touchpoints and conversions alone, and a replay of years is not to fill it.
// What it gives is of version 0, so that whatever was given live stands above it. Whose
// visitors are it knows as it is known now, which for a conversion may be more than was
// known when it was given live.
type recredit struct {
	keys   state.Keys
	writer analytics.CreditWriter
	rows   analytics.IdentityWriter
	people *identity.Graph
}

var _ backfill.Crediter = (*recredit)(nil)

func (r *recredit) Credit(ctx context.Context, job string, events []backfill.Permitted) error {
	named := make([]*event.Event, len(events))
	for i := range events {
		named[i] = &events[i].Event
	}
	others, rows, err := r.people.Known(ctx, named...)
	if err != nil {
		return fmt.Errorf("look up whose visitors are: %w", err)
	}
	if err := r.rows.WriteIdentities(ctx, rows...); err != nil {
		return fmt.Errorf("write whose visitors are: %w", err)
	}
	var list []*told
	for i := range events {
		if t := tell(&item{event: events[i].Event, pixel: events[i].Pixel, known: true, linked: others[i]}); t != nil {
			list = append(list, t)
		}
	}
	if len(list) == 0 {
		return nil
	}
	a := attributor{keys: apart{r.keys, "again:" + job + ":"}}
	touches, sets, err := a.apply(ctx, list)
	if err != nil {
		return err
	}
	if err := r.writer.WriteTouches(ctx, touches...); err != nil {
		return fmt.Errorf("write touchpoints: %w", err)
	}
	if err := (unversioned{r.writer}).WriteCredits(ctx, sets...); err != nil {
		return fmt.Errorf("write credits: %w", err)
	}
	return nil
}

// apart keeps what attribution remembers under keys of their own, for a while.
type apart struct {
	state.Keys
	prefix string
}

func (a apart) Get(ctx context.Context, keys ...string) ([][]byte, error) {
	own := make([]string, len(keys))
	for i, k := range keys {
		own[i] = a.prefix + k
	}
	return a.Keys.Get(ctx, own...)
}

func (a apart) SwapAll(ctx context.Context, changes ...state.Change) ([][]byte, error) {
	own := make([]state.Change, len(changes))
	for i, c := range changes {
		c.Key, c.TTL = a.prefix+c.Key, min(c.TTL, backfill.Memory+time.Hour)
		own[i] = c
	}
	return a.Keys.SwapAll(ctx, own...)
}

// unversioned writes credits below all others.
type unversioned struct{ analytics.CreditWriter }

func (u unversioned) WriteCredits(ctx context.Context, sets ...event.Credits) error {
	for i := range sets {
		sets[i].Version = 0
	}
	return u.CreditWriter.WriteCredits(ctx, sets...)
}
