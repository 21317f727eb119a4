package admin

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"

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
	v := laneView{true, s.Breaker, s.Since, s.Paused, s.InFlight, []laneAnswer{}}
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

// figures are what partner views share, read once for all.
type figures struct {
	lanes  []lanestatus.Status
	queues map[string]queue.Stats
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
	f.lanes, err = lanestatus.Read(ctx, a.o.State)
	return f, err
}

// partnerViews are all partners, those to come last.
func (a *Admin) partnerViews(ctx context.Context) ([]partnerView, error) {
	f, err := a.figures(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]partnerView, 0, len(a.partners.order))
	for _, name := range a.partners.order {
		v, err := a.partnerFrom(ctx, name, f)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
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
	v := partnerView{Name: name, Title: spec.Title, About: spec.About, Docs: spec.Docs, Credentials: []credentialView{}, Last24h: map[string]int{}}
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
	v.Lane = laneOf(f.lanes, name)
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

// Missing are the credentials that the partner needs and has not.
func (v partnerView) Missing() []string {
	var out []string
	for _, c := range v.Credentials {
		if !c.Optional && !c.Set {
			out = append(out, c.Title)
		}
	}
	return out
}
