package sqliteanalytics

import (
	"context"
	"database/sql"
	"errors"

	"github.com/miq/pixel/modules/analytics"
)

const insertIdentity = `INSERT INTO identities (visitor_id, pixel_id, profile_id, version) VALUES (?, ?, ?, ?)
ON CONFLICT (visitor_id, pixel_id) DO UPDATE SET profile_id = excluded.profile_id, version = excluded.version
WHERE excluded.version > identities.version RETURNING 1`

// WriteIdentities stores whose visitors are, in one transaction.
func (s *Store) WriteIdentities(ctx context.Context, identities ...analytics.Identity) error {
	var changed []analytics.Identity
	err := s.write(ctx, "write identities", len(identities), func(tx *sql.Tx) error {
		put, ctx := tx.StmtContext(ctx, s.putIdentity), context.WithoutCancel(ctx)
		changed = changed[:0]
		for _, i := range identities {
			var n int
			switch err := put.QueryRowContext(ctx, i.VisitorID, i.PixelID, i.ProfileID, i.Version).Scan(&n); {
			case err == nil:
				changed = append(changed, i)
			case !errors.Is(err, sql.ErrNoRows): // which says that a greater version stands
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.people.changed(changed)
	}
	return err
}
