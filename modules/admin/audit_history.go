package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
)

// The audit log is written to the shared state, where a change is seen at once and needs
// no other store, and brought from there to the analytics store, which keeps it for good.

const (
	fileAuditEvery = time.Minute
	fileAuditLines = 500 // at once
)

// auditHistory is the part of the log that is kept for good.
type auditHistory struct {
	store analytics.AuditHistory

	mu      sync.Mutex
	version int64           // of the collection, as it was brought there last
	has     map[string]bool // of what the state holds

	stop context.CancelFunc
	done sync.WaitGroup
}

// watch brings the log to the history again and again, until end.
func (a audit) watch() {
	h := a.history
	var ctx context.Context
	ctx, h.stop = context.WithCancel(context.Background())
	h.done.Go(func() {
		tick := time.NewTicker(fileAuditEvery)
		defer tick.Stop()
		failed := false
		for {
			err := a.file(ctx)
			if err != nil && ctx.Err() == nil && !failed {
				a.slog.Warn("the audit log could not be brought to the analytics store; it is tried again", "error", err)
			}
			failed = err != nil
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

func (h *auditHistory) end() {
	if h.stop != nil {
		h.stop()
		h.done.Wait()
	}
}

// file brings to the history what it may lack. Several processes may do so at once.
func (a audit) file(ctx context.Context) error {
	h := a.history
	h.mu.Lock()
	defer h.mu.Unlock()
	version, err := a.log.docs.Version(ctx, a.log.name)
	if err != nil || version == h.version {
		return err
	}
	list, err := a.list(ctx)
	if err != nil {
		return err
	}
	has := make(map[string]bool, len(list))
	var news []analytics.AuditEntry
	for _, e := range list {
		if has[e.ID] = true; h.has[e.ID] {
			continue
		}
		body, err := json.Marshal(e, json.Deterministic(true))
		if err != nil {
			return fmt.Errorf("encode %s of the audit log: %w", e.ID, err)
		}
		news = append(news, analytics.AuditEntry{ID: e.ID, At: e.At, Actor: e.Actor.ID, Action: e.Action, Target: e.Target, Body: body})
	}
	for chunk := range slices.Chunk(news, fileAuditLines) {
		if err := h.store.WriteAudit(ctx, chunk...); err != nil {
			return err
		}
	}
	h.has, h.version = has, version
	return nil
}

// page is the log behind an entry, newest first. What the state no longer holds is read
// from the history.
func (a audit) page(ctx context.Context, before string, limit int) ([]entry, string, error) {
	all, err := a.list(ctx)
	if err != nil {
		return nil, "", err
	}
	list, next := after(all, before, limit)
	if next != "" {
		return list, next, nil
	}
	older, err := a.history.store.Audit(ctx, before, min(limit+1, analytics.MaxLimit))
	switch {
	case err != nil && len(list) > 0:
		// What there is is shown, and more is asked for by who goes on.
		a.slog.Warn("older lines of the audit log could not be read", "error", err)
		return list, list[len(list)-1].ID, nil
	case err != nil:
		return nil, "", err
	}
	there := map[string]bool{}
	for _, e := range list {
		there[e.ID] = true
	}
	list = slices.Clone(list)
	for _, o := range older {
		if there[o.ID] {
			continue
		}
		var e entry
		if err := json.Unmarshal(o.Body, &e); err != nil {
			return nil, "", fmt.Errorf("read %s of the audit log: %w", o.ID, err)
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(x, y entry) int { return strings.Compare(y.ID, x.ID) })
	if len(list) > limit || len(older) == analytics.MaxLimit {
		list = list[:min(len(list), limit)]
		return list, list[len(list)-1].ID, nil
	}
	return list, "", nil
}
