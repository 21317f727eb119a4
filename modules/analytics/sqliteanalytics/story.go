package sqliteanalytics

import (
	"context"
	"database/sql"
	"slices"

	"github.com/miq/pixel/modules/analytics"
)

// Story reads an event and all that came of it, from one state of the store.
func (s *Store) Story(ctx context.Context, q analytics.StoryQuery) (story analytics.Story, err error) {
	if err := q.Check(); err != nil {
		return story, err
	}
	err = s.snapshot(ctx, "tell an event's story", func(tx *sql.Tx) error {
		column, id := "id", q.ID
		if q.OrderID != "" {
			column, id = "order_id", q.OrderID
		}
		if story.Event, err = s.find(ctx, tx, column, id, q.PixelID); err != nil {
			return err
		}
		e := &story.Event
		w := where{}
		w.add("event_id = ? AND pixel_id = ?", e.ID, e.PixelID)
		page, err := listSyncs(ctx, tx, w, analytics.MaxLimit)
		if err != nil {
			return err
		}
		story.Syncs = page.Syncs
		slices.Reverse(story.Syncs)
		story.Matches, err = listMatches(ctx, tx, e.PixelID, e.ID)
		return err
	})
	return story, err
}
