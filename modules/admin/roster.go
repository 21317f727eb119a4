package admin

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/lanestatus"
	"github.com/miq/pixel/modules/partner"
	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/settings"
)

var errNoPartner = errors.New("no such partner")

// laneView is what is known of the way to one partner, over all dispatchers.
type laneView struct {
	// Running is false where no dispatcher reports: nothing is being sent.
	Running  bool      `json:"running"`
	Breaker  string    `json:"breaker,omitempty"` // closed, half-open, open
	Since    time.Time `json:"since,omitzero"`
	Paused   string    `json:"paused,omitempty"`
	InFlight int       `json:"in_flight"`
	// Parallel is how many requests at a time are allowed now, and PerSecond how many a
	// second; 0: as many as may be.
	Parallel  int     `json:"parallel"`
	PerSecond float64 `json:"per_second,omitzero"`
	// Answers are the partner's last, newest first.
	Answers []laneAnswer `json:"answers"`
}

type laneAnswer struct {
	At        time.Time `json:"at"`
	Status    int       `json:"status"` // 0: none came
	Events    int       `json:"events"`
	LatencyMS int64     `json:"latency_ms"`
	Note      string    `json:"note,omitempty"`
}

// LastNote is what the partner's newest answer complained of.
func (l laneView) LastNote() string {
	if len(l.Answers) == 0 {
		return ""
	}
	return l.Answers[0].Note
}

// Open reports whether requests are held back since too many failed.
func (l laneView) Open() bool { return l.Breaker == lanestatus.Open }

func laneOf(all []lanestatus.Status, name string) laneView {
	s, running := lanestatus.Merge(all, name)
	if !running {
		return laneView{Answers: []laneAnswer{}}
	}
	v := laneView{true, s.Breaker, s.Since, s.Paused, s.InFlight, s.Parallel, s.PerSecond, []laneAnswer{}}
	for _, x := range s.Answers {
		v.Answers = append(v.Answers, laneAnswer{x.At, x.Status, x.Events, x.Latency.Milliseconds(), x.Note})
	}
	return v
}

// roster are the partners that there is an adapter for.
type roster struct {
	order    []string
	adapters map[string]partner.Adapter
	specs    map[string]partner.Spec
}

func newRoster(adapters []partner.Adapter) *roster {
	r := &roster{adapters: map[string]partner.Adapter{}, specs: map[string]partner.Spec{}}
	for _, a := range adapters {
		s := a.Spec()
		r.order = append(r.order, s.Name)
		r.adapters[s.Name], r.specs[s.Name] = a, s
	}
	return r
}

// title is a partner's name for people.
func (r *roster) title(name string) string {
	if s, ok := r.specs[name]; ok && s.Title != "" {
		return s.Title
	}
	return name
}

// built are the specs of the partners that can be sent to.
func (r *roster) built() []partner.Spec {
	var out []partner.Spec
	for _, name := range r.order {
		if _, ok := r.adapters[name]; ok {
			out = append(out, r.specs[name])
		}
	}
	return out
}

// partnerView is a partner as the API and the console show it.
type partnerView struct {
	Name    string        `json:"name"`
	Title   string        `json:"title"`
	About   string        `json:"about,omitempty"`
	Docs    string        `json:"docs,omitempty"`
	Mode    settings.Mode `json:"mode"`
	Enabled bool          `json:"enabled"`

	Settings       jsontext.Value    `json:"settings,omitempty"`
	SettingsSchema jsontext.Value    `json:"settings_schema,omitempty"`
	ParamsSchema   jsontext.Value    `json:"params_schema,omitempty"`
	Credentials    []credentialView  `json:"credentials"`
	EventNames     map[string]string `json:"event_names,omitempty"`
	Dedupes        bool              `json:"dedupes"`
	// Dry is set where requests are made and shown, and not sent.
	Dry bool `json:"dry"`
	// Accounts are further sets of credentials.
	Accounts []accountView `json:"accounts"`
	// Test says what becomes of a test event; empty: it is sent for real.
	Test string `json:"test,omitempty"`
	// Receipts say which process has this revision in force, and since when.
	Receipts []receiptView `json:"receipts"`
	// Connect are the regions to connect an account by, in the console.
	Connect []string `json:"-"`
	either  bool     // of two ways to authorise one is needed

	Lane  laneView  `json:"lane"`
	Queue laneQueue `json:"queue"`
	// Last24h counts the sync log's lines by outcome.
	Last24h map[string]int `json:"last_24h"`
	// SuccessRate is accepted ÷ (accepted + rejected) over 24 hours; absent
	// where there was neither.
	SuccessRate *float64  `json:"success_rate,omitempty"`
	UpdatedAt   time.Time `json:"updated_at,omitzero"`
	Revision    int64     `json:"revision"`
}

type credentialView struct {
	Name     string `json:"name"`
	Title    string `json:"title"`
	Help     string `json:"help,omitempty"`
	Optional bool   `json:"optional"`
	Set      bool   `json:"set"`
}

type laneQueue struct {
	Ready    int     `json:"ready"`
	InFlight int     `json:"in_flight"`
	Delayed  int     `json:"delayed"`
	Oldest   float64 `json:"oldest_seconds"`
	Dead     int     `json:"dead"`
}

// Depth is all that waits or is on its way.
func (q laneQueue) Depth() int { return q.Ready + q.InFlight + q.Delayed }

type accountView struct {
	Name        string           `json:"name"`
	Credentials []credentialView `json:"credentials"`
}

// receiptView is what one process says of a change.
type receiptView struct {
	Instance string `json:"instance"`
	Roles    string `json:"roles"`
	// Applied is set where the newest revision is in force there.
	Applied   bool      `json:"applied"`
	AppliedAt time.Time `json:"applied_at,omitzero"`
	// AfterMS is how long after the change that was.
	AfterMS int64 `json:"after_ms"`
}

// After is AfterMS for people.
func (r receiptView) After() time.Duration { return time.Duration(r.AfterMS) * time.Millisecond }

// figures are what partner views share, read once for all.
type figures struct {
	lanes  []lanestatus.Status
	queues map[string]queue.Stats
	seen   []settings.Receipt
}

func (a *Admin) figures(ctx context.Context) (figures, error) {
	f := figures{queues: map[string]queue.Stats{}}
	stats, err := a.o.Queues.Stats(ctx)
	if err != nil {
		return f, err
	}
	for _, s := range stats {
		f.queues[s.Queue] = s
	}
	if f.lanes, err = lanestatus.Read(ctx, a.o.State); err != nil {
		return f, err
	}
	f.seen, err = settings.Receipts(ctx, a.o.State)
	return f, err
}

// partnerViews are all partners, those to come last.
func (a *Admin) partnerViews(ctx context.Context) ([]partnerView, error) {
	f, err := a.figures(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]partnerView, len(a.partners.order))
	all, within := errgroup.WithContext(ctx)
	for i, name := range a.partners.order {
		all.Go(func() (err error) {
			out[i], err = a.partnerFrom(within, name, f)
			return err
		})
	}
	return out, all.Wait()
}

func (a *Admin) partnerView(ctx context.Context, name string) (partnerView, error) {
	if _, ok := a.partners.specs[name]; !ok {
		return partnerView{}, errNoPartner
	}
	f, err := a.figures(ctx)
	if err != nil {
		return partnerView{}, err
	}
	return a.partnerFrom(ctx, name, f)
}

func (a *Admin) partnerFrom(ctx context.Context, name string, f figures) (partnerView, error) {
	spec := a.partners.specs[name]
	v := partnerView{Name: name, Title: spec.Title, About: spec.About, Docs: spec.Docs, Credentials: []credentialView{}, Accounts: []accountView{}, Receipts: []receiptView{}, Last24h: map[string]int{}}
	v.Lane.Answers = []laneAnswer{}
	s := a.o.Settings.Partner(name)
	v.Mode, v.Enabled = s.Mode, s.Mode == settings.On
	v.Settings, v.SettingsSchema, v.ParamsSchema = s.Settings, spec.Settings, spec.Params
	v.EventNames, v.Dedupes = spec.EventNames, spec.DedupeKey != ""
	v.UpdatedAt, v.Revision = s.UpdatedAt, s.Revision
	set, err := a.o.Settings.Credentials(s, "")
	if err != nil {
		// Whoever looks must be able to set them anew.
		a.o.Log.Warn("credentials cannot be read", "partner", name, "error", err)
	}
	for _, c := range spec.Credentials {
		v.Credentials = append(v.Credentials, credentialView{c.Name, c.Title, c.Help, c.Optional, set[c.Name] != ""})
	}
	for _, account := range s.Names()[1:] {
		held, err := a.o.Settings.Credentials(s, account)
		if err != nil {
			a.o.Log.Warn("credentials cannot be read", "partner", name, "account", account, "error", err)
		}
		w := accountView{Name: account}
		for _, c := range spec.Credentials {
			w.Credentials = append(w.Credentials, credentialView{c.Name, c.Title, c.Help, c.Optional, held[c.Name] != ""})
		}
		v.Accounts = append(v.Accounts, w)
	}
	v.Dry, v.Test, v.either = s.Dry, spec.Test, spec.Auth == partner.Google
	if g := spec.Connect; g != nil {
		if v.Connect = sortedKeys(g.Regions); len(v.Connect) == 0 {
			v.Connect = []string{""}
		}
	}
	v.Receipts = receiptsOf(f.seen, s)
	v.Lane = laneOf(f.lanes, name)
	if whoOf(ctx).Confined() {
		a.ownPart(ctx, &v)
	}
	q := f.queues[queue.Partner(name)]
	v.Queue = laneQueue{q.Ready, q.InFlight, q.Delayed, q.Oldest.Seconds(), f.queues[queue.PartnerDead(name)].Ready}
	now := a.now()
	rows, err := a.o.Events.Top(ctx, analytics.TopQuery{Metric: analytics.MetricSyncs, Dimension: "outcome", Partner: name, Since: now.Add(-24 * time.Hour), Until: now.Add(time.Minute)})
	if err != nil {
		return v, err
	}
	for _, r := range rows {
		v.Last24h[r.Group] = int(r.Value)
	}
	ok, bad := v.Last24h[string(event.Accepted)], v.Last24h[string(event.Rejected)]
	if ok+bad > 0 {
		rate := float64(ok) / float64(ok+bad)
		v.SuccessRate = &rate
	}
	return v, nil
}

// receiptsOf are the processes' receipts for a partner's newest revision; none is
// due where nobody ever changed it.
func receiptsOf(all []settings.Receipt, p settings.Partner) []receiptView {
	out := []receiptView{}
	if p.Revision == 0 {
		return out
	}
	for _, r := range all {
		v := receiptView{Instance: r.Instance, Roles: r.Roles}
		if applied := r.Partners[p.Name]; applied.Revision >= p.Revision {
			v.Applied, v.AppliedAt = true, applied.At
			v.AfterMS = max(applied.At.Sub(p.UpdatedAt).Milliseconds(), 0)
		}
		out = append(out, v)
	}
	return out
}

// Applied counts the processes that have the newest revision in force.
func (v partnerView) Applied() int { return applied(v.Receipts) }

// Missing are the credentials that the partner needs and has not.
func (v partnerView) Missing() []string {
	var out []string
	if v.either {
		have := map[string]bool{}
		for _, c := range v.Credentials {
			have[c.Name] = c.Set
		}
		if !have[partner.ServiceAccount] && !(have[partner.ClientID] && have[partner.ClientSecret] && have[partner.RefreshSecret]) {
			return []string{"a service account's key, or a connected account"}
		}
	}
	for _, c := range v.Credentials {
		if !c.Optional && !c.Set {
			out = append(out, c.Title)
		}
	}
	return out
}
