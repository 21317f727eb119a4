package sqlitequeue

import (
	"fmt"
)

const (
	vacuumPages = 8192 // at a time
	sparePages  = 4096 // kept for what comes next
	vacuumEvery = 64   // acks
)

func (q *Queue) room(items any) error { return nil }

// reclaim gives pages back to the file system once more than half of the file is
// free, a bounded number at a time; until then new messages reuse them.
func (q *Queue) reclaim() error {
	var free, pages int
	if err := q.stmts.freePages.QueryRow().Scan(&free); err != nil {
		return fmt.Errorf("count free pages: %w", err)
	}
	if err := q.stmts.pages.QueryRow().Scan(&pages); err != nil {
		return fmt.Errorf("count pages: %w", err)
	}
	if free < sparePages || free < pages/2 {
		return nil
	}
	// It frees a page a row, so the rows must be read to the end.
	rows, err := q.stmts.vacuum.Query()
	if err != nil {
		return fmt.Errorf("give pages back: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}
