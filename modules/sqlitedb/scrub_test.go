package sqlitedb

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNothingDeletedIsLeftOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(filepath.Join(dir, "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(q string, args ...any) {
		t.Helper()
		if _, err := db.Durable.Exec(q, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT, body BLOB)`)
	exec(`CREATE INDEX t_by_who ON t (who)`)
	const mark, other = "MARKED-PERSON", "SOMEBODY-ELSE"
	for i := range 500 {
		who := other
		if i%10 == 0 {
			who = mark
		}
		// Small ones lie beside others in a page, large ones have pages of their own.
		exec(`INSERT INTO t (who, body) VALUES (?, ?)`, fmt.Sprintf("%s-%d", who, i), []byte(strings.Repeat(who, 1+i*7%1000)))
	}
	exec(`DELETE FROM t WHERE who LIKE ?`, mark+"%")
	if err := db.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	found := false
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte(mark)); n > 0 {
			t.Errorf("%s still holds it %d times", filepath.Base(f), n)
		}
		found = found || bytes.Contains(b, []byte(other))
	}
	if !found {
		t.Error("the others are gone too: this test looks at the wrong files")
	}
}
