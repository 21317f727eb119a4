package simulate

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/miq/pixel/modules/consent"
	"github.com/miq/pixel/modules/event"
)

var noon = time.Date(2026, 6, 10, 12, 0, 0, 0, time.UTC)

func options() Options {
	return Options{Seed: 7, Shops: NewShops(3), Visitors: 500, Robots: 0.05, prefix: "sim-"}
}

func TestASeedMakesTheSameVisits(t *testing.T) {
	a, b, other := newCrowd(options()), newCrowd(options()), options()
	other.Seed = 8
	c, same := newCrowd(other), 0
	for range 500 {
		x, y, z := a.next(noon), b.next(noon), c.next(noon)
		require.Equal(t, string(x.body), string(y.body))
		require.Equal(t, x.agent+x.ip+x.origin, y.agent+y.ip+y.origin)
		if string(x.body) == string(z.body) {
			same++
		}
	}
	require.Less(t, same, 5, "another seed makes other visits")
}

// What it sends must be of every kind that a shop's visitors make, in believable shares.
func TestTheTrafficIsThatOfShops(t *testing.T) {
	c := newCrowd(options())
	names, shops, verdicts, visitors := map[string]int{}, map[string]int{}, map[event.State]int{}, map[string]int{}
	robots, campaigns, repeats, requests := 0, 0, 0, 5000
	decider := consent.New(consent.Options{})
	for range requests {
		q := c.next(noon)
		if q.again {
			repeats++
		}
		if strings.Contains(strings.ToLower(q.agent), "bot") || strings.Contains(q.agent, "Headless") || strings.Contains(q.agent, "python") {
			robots++
		}
		env, err := event.DecodeEnvelope(q.body, 10)
		require.NoError(t, err, "%s", q.body)
		require.Len(t, env.Events, q.events)
		shops[env.PixelID]++
		visitors[env.Identity.AnonymousID]++
		if strings.Contains(env.Context.Page.URL, "utm_source") {
			campaigns++
		}
		for _, raw := range env.Events {
			var e struct{ ID, Name string }
			require.NoError(t, json.Unmarshal(raw, &e))
			require.True(t, event.ValidID(e.ID))
			names[e.Name]++
		}
		for _, s := range c.shops {
			if s.ID == env.PixelID {
				p := s.Pixel()
				verdicts[decider.Decide(consent.Request{Signals: env.Consent, Country: s.Country, Now: noon}, p.Site()).State]++
			}
		}
	}
	for _, name := range []string{"page_view", "view_item", "add_to_cart", "begin_checkout", "purchase", "scroll"} {
		require.Positive(t, names[name], name)
	}
	share := func(n int) float64 { return float64(n) / float64(requests) }
	require.InDelta(t, 0.02, share(names["purchase"]), 0.015)
	require.InDelta(t, 0.05, share(robots), 0.04)
	require.InDelta(t, repeats, requests/100, float64(requests)/100)
	require.Greater(t, share(campaigns), 0.03)
	require.Greater(t, shops["px_sim_1"], shops["px_sim_2"])
	require.Greater(t, shops["px_sim_2"], shops["px_sim_3"])
	require.Greater(t, len(visitors), 200)
	for state, least := range map[event.State]float64{event.Full: 0.3, event.Partial: 0.03, event.None: 0.08} {
		require.Greater(t, share(verdicts[state]), least, "%s: %v", state, verdicts)
	}
}

func TestAWeekIsAsBusyAsItsAverage(t *testing.T) {
	sum, n := 0.0, 0
	for at := noon; at.Before(noon.AddDate(0, 0, 7)); at = at.Add(time.Minute) {
		sum += Season(at)
		n++
	}
	require.InDelta(t, 1, sum/float64(n), 0.01)
	require.Greater(t, Peak(), 1.5)
	require.Less(t, Season(noon.Add(-9*time.Hour)), 0.3, "nights are quiet")
	require.Greater(t, Season(time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)), 2.5, "and Black Friday's evening is not")
}

// door is a collector that fails some of its requests, and remembers what it took.
type door struct {
	mu    sync.Mutex
	n     int
	taken map[string]int
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var env struct {
		Events []struct{ ID string } `json:"events"`
	}
	if err := json.NewDecoder(r.Body).Decode(&env); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	type result struct {
		Index  int    `json:"index"`
		ID     string `json:"id"`
		Status string `json:"status"`
		Code   string `json:"code,omitempty"`
	}
	var results []result
	for i, e := range env.Events {
		x := result{Index: i, ID: e.ID, Status: "accepted"}
		if d.n%7 == 0 {
			x.Status, x.Code = "rejected", "overloaded" // comes again
		} else {
			d.taken[e.ID]++
		}
		results = append(results, x)
	}
	if d.n%5 == 0 {
		w.WriteHeader(http.StatusServiceUnavailable) // what was taken is not answered for
		return
	}
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]any{"results": results})
}

func TestWhatIsNotAnsweredIsSentAgain(t *testing.T) {
	d := &door{taken: map[string]int{}}
	server := httptest.NewServer(d)
	defer server.Close()
	o := options()
	o.Collectors, o.Rate, o.Events, o.Length = []string{server.URL}, 5000, 150, time.Minute
	told := 0
	o.Every, o.Tell = 10*time.Millisecond, func(m Moment) { told += m.Events }
	r, err := Send(t.Context(), o)
	require.NoError(t, err)
	require.GreaterOrEqual(t, r.Events, 150)
	require.Equal(t, r.Events, told, "every event is told of once")
	require.Equal(t, r.Events, r.count(accepted), "%v", r.Why)
	require.Len(t, d.taken, r.Events)
	require.Positive(t, r.Failed)
	require.Positive(t, r.Latency.Quantile(0.5))
	require.GreaterOrEqual(t, r.Latency.Quantile(0.99), r.Latency.Quantile(0.5))
}

func TestARunEndsAlthoughTheServerIsBehind(t *testing.T) {
	d := &door{taken: map[string]int{}}
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		d.ServeHTTP(w, r)
	}))
	defer server.Close()
	o := options()
	o.Collectors, o.Rate, o.Length = []string{server.URL}, 100_000, time.Second
	time.AfterFunc(o.Length+300*time.Millisecond, func() { close(release) })
	r, err := Send(t.Context(), o)
	require.NoError(t, err)
	if r.Requests < atOnce {
		t.Skipf("this machine made only %d requests meanwhile, so that none had to wait", r.Requests)
	}
	require.Equal(t, r.Events, r.count(accepted), "%v", r.Why)
}

func TestTheRateIsKept(t *testing.T) {
	d := &door{taken: map[string]int{}}
	server := httptest.NewServer(d)
	defer server.Close()
	o := options()
	o.Collectors, o.Rate, o.Length = []string{server.URL}, 200, 2*time.Second
	r, err := Send(t.Context(), o)
	require.NoError(t, err)
	require.InDelta(t, 400, r.Events, 150)
}

func TestQuantilesAreToATwentieth(t *testing.T) {
	var l Latency
	for i := 1; i <= 1000; i++ {
		l.Add(time.Duration(i) * time.Millisecond)
	}
	require.InEpsilon(t, 500, l.Quantile(0.5).Milliseconds(), 0.06)
	require.InEpsilon(t, 990, l.Quantile(0.99).Milliseconds(), 0.06)
	require.Equal(t, time.Second, l.Quantile(1))
	require.Zero(t, (&Latency{}).Quantile(0.5))
}

func TestAPlanGrowsWithWhatIsAskedAndSaysWhatBoundsIt(t *testing.T) {
	costs := Measured()
	small, err := Make(Usual(1e6), costs)
	require.NoError(t, err)
	large, err := Make(Usual(1e9), costs)
	require.NoError(t, err)
	require.Greater(t, large.Money, small.Money)
	require.InDelta(t, 11574, large.Average, 1)
	for i, s := range large.Stages {
		require.GreaterOrEqual(t, s.Units, small.Stages[i].Units, s.Name)
		require.NotEmpty(t, s.Bound, s.Name)
		require.False(t, math.IsNaN(s.Money) || math.IsInf(s.Money, 0), s.Name)
	}
	require.Equal(t, 2, small.Stages[0].Units, "two of each, so that one may be away")
	// A collector's count is its cost times the peak, no more and no less.
	collectors := large.Stages[0]
	need := Usual(1e9)
	free := need.Use - costs.Base["collector"]
	require.Equal(t, int(math.Ceil(1e9/86400*need.Peak*costs.CollectorUS/1e6/free)), collectors.Units)
	require.NotEmpty(t, large.Bound)
	// Who remembers ids for longer needs more memory of Redis.
	need.Remember = 30
	longer, err := Make(need, costs)
	require.NoError(t, err)
	require.Greater(t, longer.Stages[3].Memory, large.Stages[3].Memory)
}

func TestCostsThatAreNoneAreRefused(t *testing.T) {
	all := `"collector_us":1,"worker_us":1,"dispatcher_us":1,"redis_us":1,"clickhouse_us":1`
	_, err := ReadCosts([]byte(`{` + all + `,"base_cores":{"redis":0.1,"clickhouse":1.5}}`))
	require.NoError(t, err)
	for _, text := range []string{`{}`, `{` + all + `,"base_cores":{"redis":1}}`, `{` + all + `,"base_cores":{"worker":-0.1}}`, `{` + all + `,"base_cores":{"wroker":0.1}}`, `{"collector_us":-1}`, `{"colector_us":1}`, `[]`, ``} {
		_, err := ReadCosts([]byte(text))
		require.Error(t, err, text)
	}
	_, err = Make(Need{}, Measured())
	require.Error(t, err)
}

func TestWhatAProcessCostsByItselfIsNotMultipliedByTheEvents(t *testing.T) {
	costs := Measured()
	costs.Base = nil
	without, err := Make(Usual(1e9), costs)
	require.NoError(t, err)
	costs.Base = map[string]float64{"worker": 0.2, "clickhouse": 2}
	with, err := Make(Usual(1e9), costs)
	require.NoError(t, err)
	for i, s := range with.Stages {
		each := map[string]float64{"worker": 0.2, "ClickHouse shards": 2}[s.Name]
		require.InDelta(t, without.Stages[i].Cores+float64(s.Units)*each, s.Cores, 1e-6, s.Name)
		if each == 0 {
			require.Equal(t, without.Stages[i].Units, s.Units, s.Name)
		}
	}
	require.Greater(t, with.Stages[1].Units, without.Stages[1].Units, "a worker that is busy with itself has less to give")
}

func TestEveryCostThatIsBuiltInSaysWhereItIsFrom(t *testing.T) {
	var fields map[string]any
	require.NoError(t, json.Unmarshal(measured, &fields))
	sources := fields["source"].(map[string]any)
	for name := range fields {
		if name != "source" {
			require.NotEmpty(t, sources[name], name)
		}
	}
}
