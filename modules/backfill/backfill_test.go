package backfill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/analytics/sqliteanalytics"
	"github.com/miq/pixel/modules/archive"
	"github.com/miq/pixel/modules/archive/filearchive"
	"github.com/miq/pixel/modules/archive/lake"
	"github.com/miq/pixel/modules/attribution"
	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/delivery"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
	"github.com/miq/pixel/modules/sqlitedb"
	"github.com/miq/pixel/modules/state"
	"github.com/miq/pixel/modules/state/sqlitestate"
)

var begin = time.Date(2026, 11, 22, 12, 30, 0, 0, time.UTC)

// acme is a partner whose request is its parameters and the order.
type acme struct{}

func (acme) Spec() partner.Spec {
	return partner.Spec{Name: "acme", Limits: partner.Limits{Age: 48 * time.Hour}, Endpoint: "https://acme.example"}
}
func (acme) Group(event.Delivery) string { return "" }
func (acme) Encode(ctx context.Context, b partner.Batch) (*http.Request, []partner.Result, error) {
	d := b.Deliveries[0]
	if strings.Contains(string(d.Params), "strict") && d.Event.Order.ID == "" {
		return nil, []partner.Result{{EventID: d.Event.ID, Outcome: event.Rejected, Code: "no_order"}}, nil
	}
	body, err := json.Marshal(map[string]any{"params": d.Params, "order": d.Event.Order, "lines": []string{"a", "b"}}, json.Deterministic(true))
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://acme.example/v1", strings.NewReader(string(body)))
	return req, nil, err
}
func (acme) Decode(partner.Answer, []event.Delivery) partner.Receipt { return partner.Receipt{} }
func (acme) Sandbox(func(partner.Received)) http.Handler             { return nil }

// site is what is set.
type site struct {
	pixels map[string]settings.Pixel
	modes  map[string]settings.Mode
}

func (s *site) Pixel(id string) (settings.Pixel, bool) { p, ok := s.pixels[id]; return p, ok }
func (s *site) Partner(name string) settings.Partner {
	if m, ok := s.modes[name]; ok {
		return settings.Partner{Name: name, Mode: m}
	}
	return settings.Partner{Name: name, Mode: settings.On}
}
func (s *site) Credentials(settings.Partner, string) (map[string]string, error) {
	return map[string]string{}, nil
}

// world is a runner with real embedded stores.
type world struct {
	t       *testing.T
	runner  *Runner
	deps    Deps
	site    *site
	archive *lake.Lake
	store   *sqliteanalytics.Store
	keys    *sqlitestate.Store
	pushed  []event.Delivery
	now     time.Time
}

func database(t *testing.T, name string) *sqlitedb.DB {
	t.Helper()
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newStore(t *testing.T) *sqliteanalytics.Store {
	t.Helper()
	s, err := sqliteanalytics.New(database(t, "analytics.db"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newWorld(t *testing.T) *world {
	t.Helper()
	keys, err := sqlitestate.New(database(t, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	a, _, err := filearchive.New(t.TempDir(), lake.Options{Rows: 50})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	w := &world{t: t, archive: a, keys: keys, store: newStore(t), now: begin.Add(4 * time.Hour), site: &site{
		modes: map[string]settings.Mode{},
		pixels: map[string]settings.Pixel{"px": {
			ID: "px", ConsentMode: settings.Implied, Country: "GB",
			Routes: []settings.Route{{Partner: "acme", Event: "purchase", Enabled: true, Params: []byte(`{"tag":"a"}`)}},
		}, "py": {ID: "py", ConsentMode: settings.Implied}},
	}}
	w.deps = Deps{
		Docs: keys, Keys: keys, Archive: a, Upkeep: a, Writer: w.store, Settings: w.site, Decider: consent.New(consent.Options{}),
		Adapters: []partner.Adapter{acme{}}, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now },
		Push: func(_ context.Context, items ...queue.Item) error {
			for _, it := range items {
				var d event.Delivery
				if err := json.Unmarshal(it.Body, &d); err != nil {
					return err
				}
				if it.Queue != "s2s:acme" || it.Account != queue.AccountOf(d.Event.PixelID, d.Event.ReceivedAt) {
					t.Errorf("pushed to %s for %+v", it.Queue, it.Account)
				}
				w.pushed = append(w.pushed, d)
			}
			return nil
		},
	}
	w.build()
	return w
}

func (w *world) build() {
	w.t.Helper()
	r, err := NewRunner(w.deps)
	if err != nil {
		w.t.Fatal(err)
	}
	w.runner = r
}

// sample are events of two pixels over some hours.
func sample() []event.Event {
	var all []event.Event
	for i := range 240 {
		at := begin.Add(time.Duration(i) * time.Minute / 2)
		e := event.Event{
			ID: fmt.Sprintf("e%03d", i), PixelID: []string{"px", "py"}[i%2], Name: []string{"page_view", "purchase", "scroll"}[i/2%3],
			Receipt: "r", ReceivedAt: at, Time: at, Source: "web", Priority: event.Standard,
			Verdict: event.Verdict{State: event.Full, Regime: "default", Rule: "D1", Reason: "x"},
			Subject: event.Subject{VisitorID: fmt.Sprint("v", i%17), AnonymousID: fmt.Sprint("v", i%17)},
			Context: event.Context{Page: event.Page{URL: "https://shop.example/p" + fmt.Sprint(i%5)}},
		}
		if e.Name == "purchase" {
			e.Order = event.Order{ID: "o" + fmt.Sprint(i), Value: event.Amount(fmt.Sprintf("%d.50", i)), Currency: []string{"EUR", "GBP"}[i%4/2]}
			e.Properties = []byte(`{"value":1}`)
		}
		all = append(all, e)
	}
	return all
}

func (w *world) keep(events ...event.Event) {
	w.t.Helper()
	if err := w.archive.Write(w.t.Context(), events...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) create(spec Spec) Job {
	w.t.Helper()
	job, err := w.runner.jobs.Create(w.t.Context(), spec, "ada")
	if err != nil {
		w.t.Fatal(err)
	}
	return job
}

// run does a job to its end.
func (w *world) run(spec Spec) Job {
	w.t.Helper()
	job := w.create(spec)
	if err := w.runner.Run(w.t.Context(), job.ID); err != nil {
		w.t.Fatal(err)
	}
	job, err := w.runner.jobs.Get(w.t.Context(), job.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return job
}

// answers are what a store says to the usual questions.
func answers(t *testing.T, s *sqliteanalytics.Store) map[string]any {
	t.Helper()
	out := map[string]any{}
	note := func(name string, v any, err error) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = v
	}
	for _, m := range []analytics.Metric{analytics.MetricEvents, analytics.MetricVisitors, analytics.MetricRevenue} {
		v, err := s.Series(t.Context(), analytics.SeriesQuery{Metric: m, Since: begin.Add(-time.Hour), Until: begin.Add(4 * time.Hour), Step: "1m", GroupBy: "currency"})
		note("series of "+string(m), v, err)
		for _, d := range []string{"pixel_id", "name", "page_path", "consent"} {
			v, err := s.Top(t.Context(), analytics.TopQuery{Metric: m, Dimension: d, Limit: 100})
			note("top "+string(m)+" by "+d, v, err)
		}
	}
	tally, err := s.Tally(t.Context(), begin.Add(-2*time.Hour).Truncate(time.Hour), begin.Add(10*time.Hour).Truncate(time.Hour))
	note("tally", tally, err)
	cursor := ""
	var all []event.Event
	for {
		p, err := s.Events(t.Context(), analytics.EventFilter{Limit: 100, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p.Events...)
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	slices.SortFunc(all, func(a, b event.Event) int { return strings.Compare(a.ID, b.ID) })
	body, err := json.Marshal(all, json.Deterministic(true))
	note("events", string(body), err)
	return out
}

func TestALostStoreIsRebuiltAndSaysTheSame(t *testing.T) {
	w := newWorld(t)
	all := sample()
	if err := w.store.WriteEvents(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
	w.keep(all[:200]...)
	w.keep(all[190:]...)
	want := answers(t, w.store)

	// Its process is killed again and again, and each time another goes on.
	fresh := newStore(t)
	w.deps.Writer = fresh
	w.build()
	job := w.create(Spec{Storage: true})
	kills := 0
	for after := 30; ; after += 30 {
		ctx, kill := context.WithCancel(t.Context())
		w.deps.Archive = dying{w.archive, after, kill}
		w.build()
		w.runner.eager()
		err := w.runner.Run(ctx, job.ID)
		kill()
		if err == nil {
			break
		}
		kills++
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if kills < 3 {
		t.Errorf("it was killed %d times only", kills)
	}
	job, err := w.runner.jobs.Get(t.Context(), job.ID)
	if err != nil {
		t.Fatal(err)
	}
	if job.State != Done || job.Progress.Stored < int64(len(all)) || job.By != "ada" || job.EndedAt.IsZero() {
		t.Errorf("the job is %+v", job)
	}
	got := answers(t, fresh)
	for name := range want {
		if !reflect.DeepEqual(got[name], want[name]) {
			t.Errorf("%s differs:\n%.600v\n%.600v", name, got[name], want[name])
		}
	}
}

// eager makes pages small and progress written at each.
func (r *Runner) eager() { r.page, r.noting = 10, 0 }

// dying is an archive whose reader's process dies after so many events.
type dying struct {
	archive.Archive
	after int
	kill  func()
}

func (d dying) Read(ctx context.Context, f archive.Filter) iter.Seq2[archive.Record, error] {
	return func(yield func(archive.Record, error) bool) {
		n := 0
		for r, err := range d.Archive.Read(ctx, f) {
			if n++; n > d.after {
				d.kill()
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func TestAPartnerGetsWhatItMayHaveAndHasNotHad(t *testing.T) {
	w := newWorld(t)
	all := sample()
	old := all[2] // a purchase of px
	old.ID, old.ReceivedAt, old.Time = "old", begin.Add(-72*time.Hour), begin.Add(-72*time.Hour)
	bot := all[2]
	bot.ID, bot.Enrichment.Bot = "bot", "crawler"
	w.keep(append(slices.Clone(all), old, bot)...)
	// One visitor has withdrawn, another's purchase is with the partner already, and one
	// was erased by the advertiser's own id.
	book := consent.NewBook(w.keys, w.deps.Decider, []byte("seal"))
	gone := consent.Visitor{PixelID: "px", ID: all[8].Subject.AnonymousID}
	if _, err := book.Decide(t.Context(), consent.Change{Visitor: gone, Verdict: consent.Revoked(), At: w.now, Source: "consent", ID: "r"}); err != nil {
		t.Fatal(err)
	}
	if err := w.keys.Set(t.Context(), state.Entry{Key: delivery.SentKey("acme", "px", all[14].ID), Value: []byte(`{"s":"done"}`)}); err != nil {
		t.Fatal(err)
	}
	job := w.run(Spec{PixelID: "px", Events: []string{"purchase"}, Partners: []string{"acme"}})
	want := map[string]bool{}
	for _, e := range all {
		if e.PixelID == "px" && e.Name == "purchase" && e.Subject.AnonymousID != gone.ID && e.ID != all[14].ID {
			want[e.ID] = true
		}
	}
	got := map[string]bool{}
	for _, d := range w.pushed {
		if d.Partner != "acme" || string(d.Params) != `{"tag":"a"}` || d.Permission != event.Allowed || d.Country != "GB" {
			t.Errorf("pushed %+v", d)
		}
		got[d.Event.ID] = true
	}
	if !reflect.DeepEqual(got, want) || len(want) < 20 || len(w.pushed) != len(want) {
		t.Errorf("%d were pushed, want %d", len(w.pushed), len(want))
	}
	p := job.Progress
	if job.State != Done || p.Queued["acme"] != int64(len(want)) || p.Skipped["acme: too_old"] != 1 || p.Skipped["acme: bot"] != 1 ||
		p.Skipped["acme: sent_already"] != 1 || p.Skipped["consent_withdrawn"] == 0 || p.Stored != 0 || p.Read != 122 {
		t.Errorf("progress %+v", p)
	}
	// Off means off for what is replayed too.
	w.site.modes["acme"], w.pushed = settings.Off, nil
	if job := w.run(Spec{PixelID: "px", Partners: []string{"acme"}}); len(w.pushed) != 0 || job.Progress.Skipped["acme: partner_off"] == 0 {
		t.Errorf("%d were pushed, %+v", len(w.pushed), job.Progress)
	}
}

// crediter notes what it is told.
type crediter map[string]int

func (c crediter) Credit(_ context.Context, job string, events []Permitted) error {
	for _, e := range events {
		c[job+" "+e.Pixel.ID]++
	}
	return nil
}

func TestAConditionChoosesWhatIsReplayedAndRehearsed(t *testing.T) {
	w := newWorld(t)
	w.keep(sample()...)
	const where = `value > 100 && currency == "GBP" && properties.value == 1`
	fits := func(e *event.Event) bool {
		var v float64
		fmt.Sscan(string(e.Order.Value), &v)
		return v > 100 && e.Order.Currency == "GBP"
	}
	var want, ofPixel int64
	for _, e := range sample() {
		if fits(&e) {
			if want++; e.PixelID == "px" {
				ofPixel++
			}
		}
	}
	if ofPixel < 10 || ofPixel == want {
		t.Fatalf("%d of %d fit", ofPixel, want)
	}
	job := w.run(Spec{Storage: true, Where: where})
	if job.State != Done || job.Progress.Chosen != want || job.Progress.Stored != want || job.Progress.Read != 240 || len(job.Progress.Skipped) != 0 {
		t.Errorf("stored %+v", job)
	}
	page, err := w.store.Events(t.Context(), analytics.EventFilter{Limit: 1000})
	if err != nil || len(page.Events) != int(want) {
		t.Fatalf("%d are stored, %v", len(page.Events), err)
	}
	for i := range page.Events {
		if e := &page.Events[i]; !fits(e) {
			t.Errorf("%s is stored", e.ID)
		}
	}
	if job = w.run(Spec{PixelID: "px", Partners: []string{"acme"}, Where: where}); job.Progress.Queued["acme"] != ofPixel || len(w.pushed) != int(ofPixel) {
		t.Errorf("to a partner: %+v", job.Progress)
	}
	change := w.site.pixels["px"]
	change.Routes = nil
	if job = w.run(Spec{PixelID: "px", Where: where, Change: &change}); job.Report.Events != ofPixel || job.Report.Partners[0].Before.Events != ofPixel {
		t.Errorf("rehearsed: %+v", job.Report)
	}
	// What fails is left out and counted, whatever it is told to cost.
	job = w.run(Spec{Storage: true, Where: `[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, a + b + c + d + e > 0)))))`})
	if job.State != Done || job.Progress.Chosen != 0 || job.Progress.Skipped["condition_failed"] != 240 {
		t.Errorf("of what cannot be asked: %+v", job)
	}
}

func TestCreditsAreGivenAnewOfAllThatIsStored(t *testing.T) {
	w := newWorld(t)
	w.keep(sample()...)
	got := crediter{}
	w.deps.Credits = got
	w.build()
	job := w.run(Spec{Storage: true, Credits: true})
	if job.State != Done || got[job.ID+" px"] != 120 || got[job.ID+" py"] != 120 {
		t.Errorf("%+v of %+v", got, job)
	}
	if _, asked, err := attribution.LastRun(t.Context(), w.keys); err != nil || !asked {
		t.Errorf("the data-driven models are not asked for: %v, %v", asked, err)
	}
	// It is not gone on with where what it remembers of visitors has lapsed.
	job = w.create(Spec{Storage: true, Credits: true})
	w.deps.Archive = counting{w.archive, func(n int) {
		if n == 55 {
			if _, err := w.runner.jobs.Cancel(t.Context(), job.ID); err != nil {
				t.Error(err)
			}
		}
	}}
	w.build()
	w.runner.eager()
	if err := w.runner.Run(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.runner.jobs.Resume(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(Memory + time.Hour)
	if err := w.runner.Run(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	if is, err := w.runner.jobs.Get(t.Context(), job.ID); err != nil || is.State != Failed || !strings.Contains(is.Error, "start it anew") {
		t.Errorf("%+v, %v", is, err)
	}
}

func TestARehearsalSaysWhatWouldDifferAndDoesNothing(t *testing.T) {
	w := newWorld(t)
	all := sample()
	w.keep(all...)
	change := w.site.pixels["px"]
	change.Routes = []settings.Route{
		{Partner: "acme", Event: "purchase", Enabled: true, Params: []byte(`{"tag":"b","more":1}`)},
		{Partner: "acme", Event: "page_view", Enabled: true, Params: []byte(`{"strict":true}`)},
	}
	job := w.run(Spec{PixelID: "px", Change: &change})
	if job.State != Done || job.Report == nil || len(job.Report.Partners) != 1 || job.Report.Events != 120 {
		t.Fatalf("the job is %+v", job)
	}
	purchases := map[string]float64{}
	n := int64(0)
	for _, e := range all {
		if e.PixelID == "px" && e.Name == "purchase" {
			var v float64
			fmt.Sscan(string(e.Order.Value), &v)
			purchases[e.Order.Currency] += v
			n++
		}
	}
	p := job.Report.Partners[0]
	if p.Before.Events != n || p.After.Events != n || !reflect.DeepEqual(p.Before.Value, purchases) || !reflect.DeepEqual(p.After.Value, purchases) || p.Changed != n {
		t.Errorf("events %+v", p)
	}
	if p.Rejections["no_order"] != 40 || len(p.Before.Kept) != 0 {
		t.Errorf("rejections %+v", p)
	}
	var fields []string
	for _, f := range p.Fields {
		fields = append(fields, fmt.Sprintf("%s +%d -%d ~%d %s→%s", f.Path, f.Added, f.Removed, f.Changed, f.Before, f.After))
	}
	if want := []string{`params.more +40 -0 ~0 null→1`, `params.tag +0 -0 ~40 "a"→"b"`}; !slices.Equal(fields, want) {
		t.Errorf("fields %q", fields)
	}
	if len(w.pushed) != 0 {
		t.Errorf("%d were pushed", len(w.pushed))
	}
	if p, err := w.store.Events(t.Context(), analytics.EventFilter{}); err != nil || len(p.Events) != 0 {
		t.Errorf("%d were stored, %v", len(p.Events), err)
	}
	// A route that is taken away.
	change.Routes = nil
	job = w.run(Spec{PixelID: "px", Change: &change})
	if p := job.Report.Partners[0]; p.Before.Events != n || p.After.Events != 0 || p.Changed != 0 {
		t.Errorf("without its route %+v", p)
	}
}

func TestAJobIsCancelledAndResumed(t *testing.T) {
	w := newWorld(t)
	w.keep(sample()...)
	job := w.create(Spec{Storage: true})
	w.runner.eager()
	cancelled := 0
	w.deps.Archive = counting{w.archive, func(n int) {
		if n == 55 && cancelled == 0 {
			cancelled++
			if _, err := w.runner.jobs.Cancel(t.Context(), job.ID); err != nil {
				t.Error(err)
			}
		}
	}}
	w.build()
	w.runner.eager()
	if err := w.runner.Run(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	is, err := w.runner.jobs.Get(t.Context(), job.ID)
	if err != nil || is.State != Cancelled || is.Progress.Stored < 50 || is.Progress.Stored > 70 {
		t.Fatalf("%+v, %v", is, err)
	}
	if err := w.runner.Run(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.runner.jobs.Cancel(t.Context(), job.ID); err == nil {
		t.Error("it was cancelled twice")
	}
	if _, err := w.runner.jobs.Resume(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.runner.Run(t.Context(), job.ID); err != nil {
		t.Fatal(err)
	}
	if is, err = w.runner.jobs.Get(t.Context(), job.ID); err != nil || is.State != Done || is.Progress.Stored != 240 || is.Progress.Read != 240 {
		t.Errorf("%+v, %v", is, err)
	}
	if _, err := w.runner.jobs.Get(t.Context(), "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("of none: %v", err)
	}
}

type counting struct {
	archive.Archive
	seen func(n int)
}

func (c counting) Read(ctx context.Context, f archive.Filter) iter.Seq2[archive.Record, error] {
	return func(yield func(archive.Record, error) bool) {
		n := 0
		for r, err := range c.Archive.Read(ctx, f) {
			n++
			c.seen(n)
			if !yield(r, err) {
				return
			}
		}
	}
}

// broken fails its first writes.
type broken struct {
	analytics.Writer
	left int
}

func (b *broken) WriteEvents(ctx context.Context, events ...event.Event) error {
	if b.left--; b.left >= 0 {
		return io.ErrClosedPipe
	}
	return b.Writer.WriteEvents(ctx, events...)
}

func TestAStoreThatIsAwayIsWaitedForAndThenTheJobFailsAndCanGoOn(t *testing.T) {
	w := newWorld(t)
	w.keep(sample()...)
	w.deps.Writer = &broken{w.store, 2}
	w.build()
	if job := w.run(Spec{Storage: true}); job.State != Done || job.Progress.Stored != 240 {
		t.Errorf("%+v", job)
	}
	w.deps.Writer = &broken{w.store, 1000}
	w.build()
	w.runner.patience = 0
	if job := w.run(Spec{Storage: true}); job.State != Failed || !strings.Contains(job.Error, "closed pipe") {
		t.Errorf("%+v", job)
	}
}

func TestAStartedRunnerTakesUpWhatWaits(t *testing.T) {
	w := newWorld(t)
	w.keep(sample()...)
	w.runner.every = 5 * time.Millisecond
	if err := w.runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer w.runner.Stop(t.Context())
	job := w.create(Spec{Storage: true, PixelID: "py"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		is, err := w.runner.jobs.Get(ctx, job.ID)
		if err != nil {
			t.Fatal(err)
		}
		if is.State == Done {
			if is.Progress.Stored != 120 {
				t.Errorf("%+v", is.Progress)
			}
			return
		}
		<-tick.C
	}
}

func TestWhatIsWrongWithAJobIsSaid(t *testing.T) {
	w := newWorld(t)
	for field, spec := range map[string]Spec{
		"storage":  {},
		"partners": {Partners: []string{"nobody"}},
		"since":    {Storage: true, Since: begin, Until: begin},
		"rate":     {Storage: true, Rate: -1},
		"change":   {Storage: true, PixelID: "px", Change: &settings.Pixel{ID: "px"}},
		"pixel_id": {PixelID: "py", Change: &settings.Pixel{ID: "px"}},
		"where":    {Storage: true, Where: "value >"},
		"credits":  {Storage: true, Credits: true, Events: []string{"purchase"}},
	} {
		_, err := w.runner.jobs.Create(t.Context(), spec, "ada")
		if bad, ok := errors.AsType[settings.Invalid](err); !ok || len(bad) != 1 || bad[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
