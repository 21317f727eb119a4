package simulate

import (
	_ "embed"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
)

// Costs are what an event was measured to cost at each stage.
type Costs struct {
	// Source says of each by what it was measured; what was not begins with "an estimate".
	Source map[string]string `json:"source"`

	// Base are the cores that one process of a stage is busy with, however little comes: with
	// asking for work, with parts and their merges. By the stage's name: collector, worker,
	// dispatcher, redis, clickhouse. What an event costs below is without it.
	Base map[string]float64 `json:"base_cores"`

	CollectorUS  float64 `json:"collector_us"`  // processor time an event
	WorkerUS     float64 `json:"worker_us"`     // the analytics store's and Redis's are not in it
	DispatcherUS float64 `json:"dispatcher_us"` // of a delivery
	RedisUS      float64 `json:"redis_us"`      // an event through its queue, and the state about it
	ClickHouseUS float64 `json:"clickhouse_us"` // of the server, an event, merges included

	CollectorMB  float64 `json:"collector_mb"` // resident, of a process under load
	WorkerMB     float64 `json:"worker_mb"`
	DispatcherMB float64 `json:"dispatcher_mb"`

	RedisWaiting  float64 `json:"redis_waiting_bytes"`  // an event that waits in a queue
	RedisEvent    float64 `json:"redis_event_bytes"`    // what is remembered of an event's id
	RedisVisitor  float64 `json:"redis_visitor_bytes"`  // what is remembered of a visitor
	ClickHouseRow float64 `json:"clickhouse_row_bytes"` // an event on the disk
	ArchiveRow    float64 `json:"archive_row_bytes"`
}

//go:embed costs.json
var measured []byte

// Measured are the costs that we measured; docs/deploy says how to measure your own.
func Measured() Costs {
	c, err := ReadCosts(measured)
	if err != nil {
		panic(err) // it is embedded, and a test reads it
	}
	return c
}

// ReadCosts reads costs as Measured has them and bench/chaos -soak writes them.
func ReadCosts(b []byte) (c Costs, err error) {
	if err := json.Unmarshal(b, &c, json.RejectUnknownMembers(true)); err != nil {
		return c, fmt.Errorf("costs: %w", err)
	}
	for name, v := range map[string]float64{"collector_us": c.CollectorUS, "worker_us": c.WorkerUS, "dispatcher_us": c.DispatcherUS, "redis_us": c.RedisUS, "clickhouse_us": c.ClickHouseUS} {
		if !(v > 0) || math.IsInf(v, 0) {
			return c, fmt.Errorf("costs: %s must be what an event costs in microseconds, above 0", name)
		}
	}
	for name, v := range c.Base {
		has := map[string]float64{"collector": 1, "worker": 1, "dispatcher": 1, "redis": 1, "clickhouse": perShard}[name]
		if !(v >= 0 && v < has) {
			return c, fmt.Errorf("costs: base_cores.%s must be the cores that one process is busy with by itself, at least 0 and below %g", name, has)
		}
	}
	return c, nil
}

// Need is what is asked of an installation.
type Need struct {
	PerDay     float64 // events
	Peak       float64 // how much busier the busiest moment is than the average
	Deliveries float64 // requests' worth of events to partners, as a share of all events
	Visitors   float64 // that are remembered at a time
	Remember   float64 // days that an event's id is
	Outage     float64 // hours of events that Redis must hold while nothing works them off
	Keep       float64 // days that events stay in ClickHouse
	Archive    float64 // days that they stay in the archive
	Copies     float64 // of Redis and ClickHouse
	Use        float64 // the share of a processor that is planned with

	Core, Memory, Disk, Object float64 // what a core, a GB of memory, of disk and of a bucket cost a month
	ServerMemory               float64 // GB of a Redis server
}

// Usual is a need with what is not asked for set to what is usual.
func Usual(perDay float64) Need {
	return Need{
		PerDay: perDay, Peak: math.Round(Peak()*1.6*10) / 10, Deliveries: 0.05, Visitors: perDay / 2, Remember: 7, Outage: 1, Keep: 90, Archive: 365, Copies: 2, Use: 0.7,
		Core: 25, Memory: 3.5, Disk: 0.1, Object: 0.023, ServerMemory: 32,
	}
}

// Stage is what one part of an installation needs.
type Stage struct {
	Name   string  `json:"stage"`
	Units  int     `json:"units"`  // replicas, or servers
	Cores  float64 `json:"cores"`  // busy at the peak, all together
	Memory float64 `json:"gb"`     // of memory, all together
	Disk   float64 `json:"disk"`   // GB
	Money  float64 `json:"money"`  // a month
	One    float64 `json:"one"`    // events a second that one unit bears
	Bound  string  `json:"bounds"` // by what the number of units is given
}

// Plan is what is needed, and what bounds it.
type Plan struct {
	Average float64 `json:"average_per_second"`
	AtPeak  float64 `json:"peak_per_second"`
	Stages  []Stage `json:"stages"`
	Money   float64 `json:"money_per_month"`
	Bound   string  `json:"bound"` // in a sentence
	Costs   Costs   `json:"costs"` // that it goes by
}

// estimates are the costs that nobody measured.
func (c Costs) estimates() []string {
	var out []string
	for name, source := range c.Source {
		if strings.HasPrefix(source, "an estimate") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

const (
	gb       = 1e9
	perShard = 16.0 // cores of a ClickHouse server
)

// left are the cores of a process that events may take, of those that it has.
func left(use, base, has float64) float64 { return max(use*has-base, 0.05*has) }

// Make answers what a need takes.
func Make(n Need, c Costs) (Plan, error) {
	for name, v := range map[string]float64{"events a day": n.PerDay, "peak": n.Peak, "use": n.Use, "copies": n.Copies, "memory of a Redis server": n.ServerMemory} {
		if !(v > 0) || math.IsInf(v, 0) {
			return Plan{}, fmt.Errorf("plan: %s must be above 0", name)
		}
	}
	p := Plan{Average: n.PerDay / 86400, Costs: c}
	p.AtPeak = p.Average * n.Peak
	// role is a stage of processes with a core each; two at least, so that one may be away.
	role := func(name string, us, mb, share float64) {
		cores, free := p.AtPeak*share*us/1e6, left(n.Use, c.Base[name], 1)
		units := max(2, int(math.Ceil(cores/free)))
		cores += float64(units) * c.Base[name]
		s := Stage{Name: name, Units: units, Cores: cores, Memory: float64(units) * max(mb*1.5, 256) / 1000, One: free * 1e6 / us / share, Bound: fmt.Sprintf("%.0f µs of processor an event", us)}
		if units == 2 {
			s.Bound = "two, so that one may be away"
		}
		if name == "dispatcher" {
			s.Bound = fmt.Sprintf("%.0f µs of processor a delivery", us)
		}
		s.Money = float64(units)*n.Core + s.Memory*n.Memory
		p.Stages = append(p.Stages, s)
	}
	role("collector", c.CollectorUS, c.CollectorMB, 1)
	role("worker", c.WorkerUS, c.WorkerMB, 1)
	role("dispatcher", c.DispatcherUS, c.DispatcherMB, n.Deliveries)

	// Redis: a server's commands run on one core, and its memory is what it has.
	ids, visitors, waiting := n.PerDay*n.Remember*c.RedisEvent, n.Visitors*c.RedisVisitor, p.AtPeak*3600*n.Outage*c.RedisWaiting
	memory := ids + visitors + waiting
	byMemory := math.Ceil(memory / gb / (n.ServerMemory * 0.75))
	cores, free := p.AtPeak*c.RedisUS/1e6, left(n.Use, c.Base["redis"], 1)
	byCPU := math.Ceil(cores / free)
	r := Stage{Name: "Redis masters", Units: int(max(1, byMemory, byCPU)), Memory: memory / gb, One: free * 1e6 / c.RedisUS}
	r.Cores = cores + float64(r.Units)*c.Base["redis"]
	r.Bound = fmt.Sprintf("its one core a server: %.0f µs an event", c.RedisUS)
	if byMemory > byCPU {
		name := map[float64]string{ids: fmt.Sprintf("the ids of %.0f days", n.Remember), visitors: "what is remembered of visitors", waiting: fmt.Sprintf("the events of %.0f h that wait", n.Outage)}[max(ids, visitors, waiting)]
		r.Bound = fmt.Sprintf("memory: %.0f GB are %s, %.0f GB in all", max(ids, visitors, waiting)/gb, name, memory/gb)
	} else if byCPU <= 1 && byMemory <= 1 {
		r.Bound = "one suffices"
	}
	r.Money = n.Copies * (float64(r.Units)*n.Core + max(r.Memory/0.75, 1)*n.Memory)
	p.Stages = append(p.Stages, r)

	// ClickHouse: what the peak takes; questions have what is left of a server.
	cores, free = p.AtPeak*c.ClickHouseUS/1e6, left(n.Use, c.Base["clickhouse"], perShard)
	disk := n.PerDay * n.Keep * c.ClickHouseRow / gb
	const diskOfServer = 4000.0
	byCPU, byDisk := math.Ceil(cores/free), math.Ceil(disk/0.7/diskOfServer)
	h := Stage{Name: "ClickHouse shards", Units: int(max(1, byCPU, byDisk)), Disk: disk / 0.7 * n.Copies, One: free * 1e6 / c.ClickHouseUS}
	cores += float64(h.Units) * c.Base["clickhouse"]
	h.Cores = cores
	h.Memory = float64(h.Units) * 64 * n.Copies
	h.Bound = fmt.Sprintf("%.0f cores to insert and merge", cores)
	if byDisk >= byCPU {
		h.Bound = fmt.Sprintf("disk: %.0f bytes an event for %.0f days", c.ClickHouseRow, n.Keep)
	}
	h.Money = n.Copies*max(cores/n.Use, 4)*n.Core + h.Memory*n.Memory + h.Disk*n.Disk
	p.Stages = append(p.Stages, h)

	a := Stage{Name: "archive (bucket)", Units: 1, Disk: n.PerDay * n.Archive * c.ArchiveRow / gb, Bound: fmt.Sprintf("%.0f bytes an event for %.0f days", c.ArchiveRow, n.Archive)}
	a.Money = a.Disk * n.Object
	p.Stages = append(p.Stages, a)

	for _, s := range p.Stages {
		p.Money += s.Money
	}
	dearest := slices.MaxFunc(p.Stages, func(x, y Stage) int { return int(math.Copysign(1, x.Money-y.Money)) })
	most := slices.MaxFunc(p.Stages, func(x, y Stage) int { return x.Units - y.Units })
	first := slices.MinFunc(p.Stages[:len(p.Stages)-1], func(x, y Stage) int { return int(math.Copysign(1, x.One-y.One)) })
	p.Bound = fmt.Sprintf("What costs most is %s (%s): %.0f %% of the money. Most numerous: %s, %d, by %s. Of what stands once, %s ends first, at %.0f events a second.",
		dearest.Name, dearest.Bound, 100*dearest.Money/p.Money, most.Name, most.Units, most.Bound, first.Name, first.One)
	return p, nil
}

// Print writes a plan for people.
func (p Plan) Print(w io.Writer) {
	fmt.Fprintf(w, "%.0f events/s on average, %.0f at the peak\n\n", p.Average, p.AtPeak)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STAGE\tHOW MANY\tBUSY CORES\tMEMORY GB\tDISK GB\tA MONTH\tBOUND BY")
	for _, s := range p.Stages {
		fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t%.0f\t%.0f\t%s\n", s.Name, s.Units, s.Cores, s.Memory, s.Disk, s.Money, s.Bound)
	}
	fmt.Fprintf(t, "all\t\t\t\t\t%.0f\t\n", p.Money)
	_ = t.Flush()
	fmt.Fprintf(w, "\n%s\n", p.Bound)
	if list := p.Costs.estimates(); len(list) > 0 {
		fmt.Fprintf(w, "Estimates among the costs, which make costs measures: %s.\n", strings.Join(list, ", "))
	}
}
