package sqlitedb

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// gapPages is how many pages are looked at, and written at one go, so that writers wait
	// for a moment at most.
	gapPages = 128
	// mostPages is up to which size of a file the first byte of an overflow page, which is
	// that of a page's number, is always 0, so that none is taken for a page of a tree.
	mostPages = 1 << 24
	// lockByte is where SQLite keeps its locks: nothing lies in that page.
	lockByte = 1 << 30
)

// clearGaps zeroes what lies between the pointers and the contents of each page of a tree. When
// SQLite parts a page's rows among pages, copies of those that moved stay there (rebuildPage in
// its btree.c), which secure_delete does not reach when they are deleted.
func clearGaps(ctx context.Context, d *sql.DB) error {
	c, err := d.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	pages := 0
	if err := c.QueryRowContext(ctx, `PRAGMA page_count`).Scan(&pages); err != nil {
		return err
	}
	if pages >= mostPages {
		return nil
	}
	for first := 1; first <= pages; first += gapPages {
		var dirty []int
		for n := first; n < first+gapPages && n <= pages; n++ {
			if page, err := gapped(ctx, c, n); err != nil {
				return err
			} else if page != nil {
				dirty = append(dirty, n)
			}
		}
		if err := clearThem(ctx, c, dirty); err != nil {
			return err
		}
	}
	return nil
}

// clearThem clears the gaps of some pages, as they are once nobody else writes.
func clearThem(ctx context.Context, c *sql.Conn, numbers []int) (err error) {
	if len(numbers) == 0 {
		return nil
	}
	if _, err := c.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = c.ExecContext(context.WithoutCancel(ctx), `ROLLBACK`)
		}
	}()
	for _, n := range numbers {
		page, err := gapped(ctx, c, n)
		if err != nil {
			return err
		}
		if page == nil {
			continue
		}
		from, to := gap(page, n)
		clear(page[from:to])
		if _, err := c.ExecContext(ctx, `UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?`, page, n); err != nil {
			return fmt.Errorf("page %d: %w", n, err)
		}
	}
	_, err = c.ExecContext(ctx, `COMMIT`)
	return err
}

// gapped is a page with something in its gap; nil: there is nothing, or no such page.
func gapped(ctx context.Context, c *sql.Conn, n int) ([]byte, error) {
	var page []byte
	err := c.QueryRowContext(ctx, `SELECT data FROM sqlite_dbpage WHERE pgno = ?`, n).Scan(&page)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	from, to := gap(page, n)
	for _, b := range page[from:to] {
		if b != 0 {
			return page, nil
		}
	}
	return nil, nil
}

// gap is where the room between pointers and contents is; none where the page is of no tree. The
// form is that of https://sqlite.org/fileformat2.html#b_tree_pages.
func gap(page []byte, n int) (from, to int) {
	if n == lockByte/len(page)+1 || mapsPointers(n, len(page)) {
		return 0, 0
	}
	head := 0
	if n == 1 {
		head = 100 // the file's own header
	}
	switch page[head] {
	case 0x0a, 0x0d: // leaves
		from = head + 8
	case 0x02, 0x05: // they name one more page below
		from = head + 12
	default:
		return 0, 0
	}
	from += 2 * int(binary.BigEndian.Uint16(page[head+3:]))
	if to = int(binary.BigEndian.Uint16(page[head+5:])); to == 0 {
		to = 1 << 16
	}
	if from > to || to > len(page) {
		return 0, 0
	}
	return from, to
}

// mapsPointers reports whether a page is one of those that say for auto_vacuum what the pages
// behind them are for.
func mapsPointers(n, size int) bool {
	if n < 2 {
		return false
	}
	each := size/5 + 1
	at := (n-2)/each*each + 2
	if at == lockByte/size+1 {
		at++
	}
	return n == at
}
