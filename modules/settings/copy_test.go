package settings

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/state"
)

// remote is documents that can be away.
type remote struct {
	state.Documents
	away error
}

func (r *remote) Version(ctx context.Context, collection string) (int64, error) {
	if r.away != nil {
		return 0, r.away
	}
	return r.Documents.Version(ctx, collection)
}

func TestAProcessStartsFromItsCopyWhileTheStateIsAway(t *testing.T) {
	docs := &remote{Documents: documents(t)}
	path := Copy(filepath.Join(t.TempDir(), "pixels.json"))
	start := func(c Copy) (*Store, error) {
		s := WithCopy(docs, nil, slog.New(slog.DiscardHandler), c)
		err := s.Start(t.Context())
		t.Cleanup(s.Stop)
		return s, err
	}
	first, err := start(path)
	if err != nil {
		t.Fatal(err)
	}
	p := shop("px_1")
	p.Domains, p.Country, p.Schemas.Mode = []string{"shop.example.com"}, "DE", SchemaWarn
	if _, err := first.SavePixel(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	want, _ := first.Pixel("px_1")
	first.Stop()
	if info, err := os.Stat(string(path)); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the copy: %v, %v", info, err)
	}

	docs.away = errors.New("connection refused")
	if _, err := start(""); !errors.Is(err, docs.away) {
		t.Errorf("without a copy: %v", err)
	}
	if _, err := start(path + "2"); !errors.Is(err, docs.away) {
		t.Errorf("without a copy yet: %v", err)
	}
	second, err := start(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := second.Pixel("px_1"); !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("from the copy:\n%+v, want\n%+v", got, want)
	}
	if _, ok := second.Pixel("px_2"); ok {
		t.Error("it knows a pixel that never was")
	}

	// Once the state is back, what changed meanwhile holds.
	docs.away = nil
	if err := WithCopy(docs, nil, slog.New(slog.DiscardHandler), "").RemovePixel(t.Context(), "px_1"); err != nil {
		t.Fatal(err)
	}
	if err := second.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := second.Pixel("px_1"); ok {
		t.Error("a pixel that was removed is still there")
	}
	second.Stop()
	docs.away = errors.New("connection refused")
	third, err := start(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(third.Pixels()) != 0 {
		t.Error("the copy still has the pixel that was removed")
	}

	for _, c := range []struct {
		name, says string
		spoil      func() error
	}{
		{"too old to be believed", "too old to be believed", func() error {
			return os.Chtimes(string(path), time.Now(), time.Now().Add(-oldest-time.Minute))
		}},
		{"torn", "cannot be read", func() error { return os.WriteFile(string(path), []byte(`{"pixels":[{"id":"px`), 0o600) }},
	} {
		if err := c.spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := start(path); !errors.Is(err, docs.away) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("a copy that is %s: %v", c.name, err)
		}
	}
}
