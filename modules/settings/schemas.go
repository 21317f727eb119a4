package settings

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/schema"
)

// Schemas say what becomes of events whose properties are not as a schema demands.
type Schemas struct {
	// Mode is one of those below. Empty: every event is looked at. What a schema of the
	// site's own demands is demanded; of a standard event what is there has to be of the
	// right form, and what is missing is counted (decision 14).
	Mode string `json:"mode,omitempty"`
	// Own are the site's, in every version that there was; of an event's the last
	// counts, and one without a schema ends it.
	Own []SchemaVersion `json:"own,omitempty"`
}

// The modes beside "".
const (
	SchemaOff    = "off"    // nothing is looked at
	SchemaWarn   = "warn"   // what is wrong is taken, and counted
	SchemaRefuse = "refuse" // what is wrong is refused, and lies among the validation dead letters
)

// Demands checks an event's properties, which are valid JSON. A fault is why they are
// refused; counted says that they are not as their schema demands, refused or not.
func (p *Pixel) Demands(c *schema.Checker, name string, properties jsontext.Value) (f event.Fault, counted bool) {
	s := &p.Schemas
	var own func() []schema.Custom
	if len(s.Own) > 0 {
		own = s.Current
	}
	switch s.Mode {
	case SchemaOff:
		return event.Fault{}, false
	case SchemaWarn:
		return event.Fault{}, c.Check(p.ID, p.Revision, own, name, properties).Code != ""
	case SchemaRefuse:
		f = c.Check(p.ID, p.Revision, own, name, properties)
		return f, f.Code != ""
	}
	f, lacks := c.Form(p.ID, p.Revision, own, name, properties)
	return f, lacks || f.Code != ""
}

// SchemaVersion is one version of a schema.
type SchemaVersion struct {
	Event   string         `json:"event"`
	Version int            `json:"version"`
	Schema  jsontext.Value `json:"schema,omitempty"`
	At      time.Time      `json:"at"`
	By      string         `json:"by,omitempty"`
}

const (
	maxSchemas  = 100 // events with one
	maxVersions = 20  // kept of each
)

// Current are the site's own schemas in force.
func (s *Schemas) Current() []schema.Custom {
	var out []schema.Custom
	for i, v := range s.Own {
		last := !slices.ContainsFunc(s.Own[i+1:], func(o SchemaVersion) bool { return o.Event == v.Event })
		if last && len(v.Schema) > 0 {
			out = append(out, schema.Custom{Event: v.Event, Schema: v.Schema})
		}
	}
	return out
}

// Put adds a version of an event's schema; none ends it. Of each event the newest
// twenty are kept.
func (s *Schemas) Put(name string, body jsontext.Value, by string, now time.Time) SchemaVersion {
	v := SchemaVersion{Event: name, Version: 1, Schema: body, At: now.UTC().Truncate(time.Second), By: by}
	kept := make([]SchemaVersion, 0, len(s.Own)+1)
	n := 0
	for _, o := range s.Own {
		if o.Event == name {
			v.Version = max(v.Version, o.Version+1)
			n++
		}
	}
	for _, o := range s.Own {
		if o.Event == name && n >= maxVersions {
			n--
			continue
		}
		kept = append(kept, o)
	}
	s.Own = append(kept, v)
	return v
}

func (s *Schemas) validate(v *Invalid) {
	switch s.Mode {
	case "", SchemaOff, SchemaWarn, SchemaRefuse:
	default:
		v.add("schemas.mode", "must be empty, off, warn or refuse")
	}
	current := s.Current()
	if len(current) > maxSchemas {
		v.add("schemas.own", "must be for at most %d events", maxSchemas)
	}
	for _, c := range current {
		at := cmp.Or(c.Event, "own")
		if !event.ValidName(c.Event) {
			v.add("schemas."+at, "must be for an event's name")
		}
		if err := schema.Compile(c.Schema); err != nil {
			v.add("schemas."+at, "%s", fmt.Sprint(err))
		}
	}
}
