package fields

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

func store(t *testing.T) state.Keys {
	t.Helper()
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	k, err := sqlitestate.New(db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// sent is what a recorder makes of requests, as "pixel path=events", by line.
func sent(t *testing.T, requests ...Request) string {
	t.Helper()
	k := store(t)
	r := New(k, slog.New(slog.DiscardHandler))
	for _, q := range requests {
		if q.At.IsZero() {
			q.At = noon
		}
		r.Sent("acme", q)
	}
	if err := r.save(t.Context(), noon, true); err != nil {
		t.Fatal(err)
	}
	return known(t, k)
}

func known(t *testing.T, k state.Keys) string {
	t.Helper()
	rows, err := Read(t.Context(), k, []string{"px_a", "px_b"}, []string{"acme", "other"})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range rows {
		if f.Partner != "acme" {
			t.Errorf("of another partner: %+v", f)
		}
		out = append(out, fmt.Sprintf("%s %s=%d", f.PixelID, f.Path, f.Events))
	}
	return strings.Join(out, "\n")
}

func TestWhatARequestBecomes(t *testing.T) {
	for _, c := range []struct {
		name string
		q    Request
		want string
	}{
		{"an event's fields are its pixel's, the rest is everybody's",
			Request{Body: []byte(`{"kind":"k","to":[{"id":"1"}],"events":[{"id":"1","ip":"203.0.113.9"},{"id":"2","user":{"email":["x","y"]}},{"id":"3"}]}`), Pixels: []string{"px_a", "px_b", "px_a"}},
			"px_a events[].id=2\npx_a events[].ip=1\npx_a kind=2\npx_a to[].id=2\npx_b events[].id=1\npx_b events[].user.email[]=1\npx_b kind=1\npx_b to[].id=1"},
		{"a body that is a list", Request{Body: []byte(`[{"a":1},{"b":null}]`), Pixels: []string{"px_a", "px_b"}}, "px_a [].a=1\npx_b [].b=1"},
		{"a list that may be of either is all pixels'", Request{Body: []byte(`{"to":[{"id":"1"},{"id":"2"}],"events":[{"a":1},{"b":1}]}`), Pixels: []string{"px_a", "px_b"}},
			"px_a events[].a=1\npx_a events[].b=1\npx_a to[].id=1\npx_b events[].a=1\npx_b events[].b=1\npx_b to[].id=1"},
		{"two lists for one event", Request{Body: []byte(`{"to":[{"id":"1"}],"events":[{"a":1}]}`), Pixels: []string{"px_a"}}, "px_a events[].a=1\npx_a to[].id=1"},
		{"lists of other things, and empty ones", Request{Body: []byte(`{"format":["type","id"],"none":[],"nothing":{},"deep":[["a"],["b"]]}`), Pixels: []string{"px_a", "px_a"}}, "px_a deep[][]=2\npx_a format[]=2"},
		{"a name that may be data is a star", Request{Body: []byte(`{"custom":{"shirt-size":"M","ada@example.com":1,"bob@example.com":2,"` + strings.Repeat("n", 65) + `":3,"":4}}`), Pixels: []string{"px_a"}}, "px_a custom.*=1\npx_a custom.shirt-size=1"},
		{"items of a list are told apart by their type, where that is a word", Request{Body: []byte(`{"keys":[{"type":"EMAIL","values":["x"]},{"type":"ada@example.com","v":1},{"type":"Ada","v":1},{"type":7,"v":1}]}`), Pixels: []string{"px_a"}},
			"px_a keys[EMAIL].type=1\npx_a keys[EMAIL].values[]=1\npx_a keys[].type=1\npx_a keys[].v=1"},
		{"a site's own attributes are a field each", Request{Body: []byte(`{"own":[{"name":"plan","value":"gold","dataType":"STRING"},{"name":"ada@example.com","value":1}],"items":[{"name":"Socks","qty":1}]}`), Pixels: []string{"px_a"}},
			"px_a items[].name=1\npx_a items[].qty=1\npx_a own[*]=1\npx_a own[plan]=1"},
		{"a form and a query", Request{URL: "https://acme.example/e?key=s&ada@example.com=1", Type: "application/x-www-form-urlencoded; charset=utf-8", Body: []byte("click=1&click=2&na+me=x"), Pixels: []string{"px_a"}}, "px_a *=1\npx_a ?*=1\npx_a ?key=1\npx_a click=1"},
		{"what cannot be read is there all the same", Request{Type: "text/plain", Body: []byte("203.0.113.9"), Pixels: []string{"px_a"}}, "px_a body=1"},
		{"a request without a body", Request{URL: "https://acme.example/e?id=1", Pixels: []string{"px_b"}}, "px_b ?id=1"},
		{"no events", Request{Body: []byte(`{"events":[]}`)}, ""},
		{"a body that breaks off", Request{Body: []byte(`{"events":[{"a":1`), Pixels: []string{"px_a"}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sent(t, c.q); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestNoValueIsKept(t *testing.T) {
	k := store(t)
	r := New(k, slog.New(slog.DiscardHandler))
	r.Sent("acme", Request{URL: "https://acme.example/?q=hush", Body: []byte(`{"a":"hush","b":["hush"],"c":{"d":{"hush hush":"hush"}}}`), Pixels: []string{"px_a"}, At: noon})
	r.Sent("acme", Request{Type: "application/x-www-form-urlencoded", Body: []byte("a=hush&hush+hush=1"), Pixels: []string{"px_a"}, At: noon})
	if err := r.save(t.Context(), noon, true); err != nil {
		t.Fatal(err)
	}
	v, err := k.Get(t.Context(), key("acme", "px_a"))
	if err != nil || len(v[0]) == 0 || strings.Contains(string(v[0]), "hush") {
		t.Errorf("%s %v", v[0], err)
	}
}

func TestPathsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 2 * maxPaths {
		fmt.Fprintf(&b, `"k%d":1,`, i)
	}
	deep := strings.Repeat(`{"d":`, 40) + "1" + strings.Repeat("}", 40)
	lines := strings.Split(sent(t,
		Request{Body: []byte("{" + strings.TrimSuffix(b.String(), ",") + "}"), Pixels: []string{"px_a"}},
		Request{Body: []byte(deep), Pixels: []string{"px_b"}}), "\n")
	of := func(pixel string) (out []string) {
		for _, l := range lines {
			if strings.HasPrefix(l, pixel) {
				out = append(out, l)
			}
		}
		return out
	}
	if a := of("px_a"); len(a) != maxPaths+1 || !slices.Contains(a, "px_a …=1") {
		t.Errorf("%d paths", len(a))
	}
	if got := of("px_b"); len(got) != 1 || got[0] != "px_b …=1" {
		t.Errorf("%v", got)
	}
}

// Two replicas write what each saw, in turn and with a fault in between: nothing is
// lost, and first and last are those of both.
func TestReplicasAddUp(t *testing.T) {
	k := store(t)
	a, b := New(k, slog.New(slog.DiscardHandler)), New(&failing{Keys: k, times: 2}, slog.New(slog.DiscardHandler))
	q := func(body string, at time.Time) Request {
		return Request{Body: []byte(body), Pixels: []string{"px_a"}, At: at}
	}
	a.Sent("acme", q(`{"x":1,"y":1}`, noon))
	b.Sent("acme", q(`{"x":1,"z":1}`, noon.Add(-time.Hour)))
	if err := b.save(t.Context(), noon, true); err == nil {
		t.Error("the fault is not told")
	}
	b.Sent("acme", q(`{"x":1}`, noon.Add(time.Hour)))
	for _, r := range []*Recorder{a, b, b, a, b} {
		_ = r.save(t.Context(), noon, true)
	}
	if got, want := known(t, k), "px_a x=3\npx_a y=1\npx_a z=1"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	rows, err := Read(t.Context(), k, []string{"px_a"}, []string{"acme"})
	if err != nil || !rows[0].First.Equal(noon.Add(-time.Hour)) || !rows[0].Last.Equal(noon.Add(time.Hour)) {
		t.Errorf("%+v %v", rows, err)
	}
}

// A new path is written at the next turn, more of the known ones within a minute.
func TestCountsAreWrittenAtLeisure(t *testing.T) {
	k := store(t)
	r := New(k, slog.New(slog.DiscardHandler))
	for _, s := range []struct {
		body  string
		after time.Duration
		want  string
	}{
		{`{"x":1}`, 0, "px_a x=1"},
		{`{"x":1}`, 5 * time.Second, "px_a x=1"},
		{`{"x":1,"y":1}`, 10 * time.Second, "px_a x=3\npx_a y=1"},
		{`{"x":1}`, 80 * time.Second, "px_a x=4\npx_a y=1"},
	} {
		r.Sent("acme", Request{Body: []byte(s.body), Pixels: []string{"px_a"}, At: noon})
		if err := r.save(t.Context(), noon.Add(s.after), false); err != nil {
			t.Fatal(err)
		}
		if got := known(t, k); got != s.want {
			t.Errorf("after %s:\n%s\nwant\n%s", s.after, got, s.want)
		}
	}
}

// failing is a store that does not answer at first.
type failing struct {
	state.Keys
	times int
}

func (f *failing) SwapAll(ctx context.Context, changes ...state.Change) ([][]byte, error) {
	if f.times--; f.times >= 0 {
		return nil, errors.New("away")
	}
	return f.Keys.SwapAll(ctx, changes...)
}
