package keeper

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/miq/pixel/config"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/settings"
)

var begin = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// books writes down what is asked of it.
type books struct {
	backlog archive.Backlog
	done    []string
}

func (b *books) File(context.Context) (int, error) {
	b.done = append(b.done, "file")
	b.backlog = archive.Backlog{}
	return 1, nil
}

func (b *books) Merge(_ context.Context, since, before time.Time) error {
	what := "merge all"
	if !since.IsZero() {
		what = "merge since " + since.Format(time.RFC3339)
	}
	b.done = append(b.done, what+" before "+before.Format(time.RFC3339))
	return nil
}

func (b *books) Expire(_ context.Context, pixel string, before time.Time) (int, error) {
	b.done = append(b.done, "expire "+pixel+" "+before.Format(time.DateOnly))
	return 0, nil
}

func (b *books) Rewrite(context.Context, archive.Filter, func(*event.Event) bool) (int, error) {
	return 0, nil
}
func (b *books) Backlog(context.Context) (archive.Backlog, error) { return b.backlog, nil }

type pixels []settings.Pixel

func (p pixels) Pixels() []settings.Pixel { return p }

func TestTheKeeperDoesWhatIsDue(t *testing.T) {
	now := begin
	b := &books{}
	sites := pixels{{ID: "px_1", Retention: settings.Retention{ArchiveDays: 30}}, {ID: "px_2"}}
	k, err := New(config.Archive{FileEvery: 5 * time.Minute}, b, nil, sites, slog.New(slog.DiscardHandler), nil, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		after   time.Duration
		backlog archive.Backlog
		want    []string
	}{
		{"at first everything is looked through", 0, archive.Backlog{}, []string{"merge all before 2026-11-22T11:50:00Z", "expire px_1 2026-10-23"}},
		{"a little that is young waits", time.Minute, archive.Backlog{Objects: 3, Bytes: 1000, Oldest: begin.Add(30 * time.Second)}, nil},
		{"much is filed at once", 10 * time.Second, archive.Backlog{Objects: 3, Bytes: much, Oldest: begin.Add(30 * time.Second)}, []string{"file"}},
		{"what waits for long is filed", 10 * time.Minute, archive.Backlog{Objects: 1, Bytes: 1, Oldest: begin}, []string{"file"}},
		{"later what is recent is looked through", 5 * time.Minute, archive.Backlog{}, []string{"merge since 2026-11-21T10:16:10Z before 2026-11-22T12:06:10Z", "expire px_1 2026-10-23"}},
		{"and then nothing is due", time.Second, archive.Backlog{}, nil},
	} {
		now = now.Add(c.after)
		b.backlog, b.done = c.backlog, nil
		if err := k.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(b.done, c.want) {
			t.Errorf("%s: %q, want %q", c.name, b.done, c.want)
		}
	}
}
