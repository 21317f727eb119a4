package backup

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestABackupIsWholeOrRefused(t *testing.T) {
	data := t.TempDir()
	for name, body := range map[string]string{"secret.key": "key", "lock": "", "archive/wal/1": "w", "archive/pixel=a/date=b/hour=c/1.parquet": "p", "archive/.new/x": "half"} {
		path := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", filepath.Join(data, "queue.db")+"?_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`CREATE TABLE t (a); INSERT INTO t VALUES (42)`); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	c, err := Take(t.Context(), data, copied)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range c.Files {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "archive/pixel=a/date=b/hour=c/1.parquet archive/wal/1 queue.db secret.key" {
		t.Errorf("it holds %s", got)
	}
	if _, err := Take(t.Context(), data, copied); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over another: %v", err)
	}
	if _, err := Take(t.Context(), data, filepath.Join(data, "copy")); err == nil || !strings.Contains(err.Error(), "inside the data folder") {
		t.Errorf("into itself: %v", err)
	}
	if _, err := Take(t.Context(), filepath.Join(data, "none"), filepath.Join(t.TempDir(), "copy")); err == nil {
		t.Error("of nothing")
	}

	clean := filepath.Join(t.TempDir(), "data")
	if _, err := Restore(t.Context(), copied, clean); err != nil {
		t.Fatal(err)
	}
	again, err := sql.Open("sqlite", filepath.Join(clean, "queue.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	var n int
	if err := again.QueryRow(`SELECT a FROM t`).Scan(&n); err != nil || n != 42 {
		t.Errorf("restored: %d, %v", n, err)
	}
	if i, err := os.Stat(filepath.Join(clean, "secret.key")); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v, %v", i.Mode(), err)
	}
	if _, err := Restore(t.Context(), copied, clean); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over data: %v", err)
	}
	for what, harm := range map[string]func(dir string) error{
		"is damaged":    func(dir string) error { return os.WriteFile(filepath.Join(dir, "queue.db"), []byte("x"), 0o600) },
		"was cut short": func(dir string) error { return os.Remove(filepath.Join(dir, "backup.json")) },
		"no name of a file": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "backup.json"), []byte(`{"files":[{"name":"../../etc/x"}]}`), 0o600)
		},
	} {
		bad := filepath.Join(t.TempDir(), "copy")
		if _, err := Take(t.Context(), data, bad); err != nil {
			t.Fatal(err)
		}
		if err := harm(bad); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(t.Context(), bad, filepath.Join(t.TempDir(), "data")); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
