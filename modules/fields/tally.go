package fields

import (
	"bytes"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxNodes = 4 * maxPaths // names of lists and objects count too
	maxDepth = 12
)

// tally counts the fields that went from a pixel to a partner since it was emptied
// last. The paths stay, so that they are spelled out once.
type tally struct {
	mu    sync.Mutex
	root  node
	nodes int
	paths []*node
	over  node   // what is too much
	event uint64 // counts the events, so that each counts once for a path
	at    time.Time

	fresh   bool // there is a path that was not there before
	dirty   bool
	emptied time.Time
}

type node struct {
	path        string
	next        map[string]*node
	listed      bool
	event       uint64
	first, last time.Time
	events      int64
}

// begin starts an event, or so many that share what follows.
func (t *tally) begin(at time.Time) { t.event++; t.at = at }

// key is the node below a name in an object, nil where there are too many.
func (t *tally) key(n *node, name string) *node {
	if c := n.next[name]; c != nil {
		return c
	}
	return t.below(n, named(name), ".")
}

// quoted is key of a name as it stands in JSON.
func (t *tally) quoted(n *node, name jsontext.Value) *node {
	if c := n.next[string(name[1:len(name)-1])]; c != nil {
		return c
	}
	plain, err := jsontext.AppendUnquote(nil, name)
	if err != nil {
		return t.key(n, "")
	}
	return t.key(n, string(plain))
}

// item is the node of a list's items.
func (t *tally) item(n *node) *node { return t.below(n, "[]", "") }

func (t *tally) below(n *node, name, join string) *node {
	if c := n.next[name]; c != nil {
		return c
	}
	if t.nodes >= maxNodes {
		return nil
	}
	if n.path == "" {
		join = ""
	}
	if n.next == nil {
		n.next = map[string]*node{}
	}
	c := &node{path: n.path + join + name}
	n.next[name] = c
	t.nodes++
	return c
}

// sent counts a path for the event that began, or for several that share it.
func (t *tally) sent(n *node, events int) {
	if n != nil && !n.listed && n != &t.over {
		if len(t.paths) >= maxPaths {
			n = nil
		} else {
			n.listed, t.fresh = true, true
			t.paths = append(t.paths, n)
		}
	}
	if n == nil {
		n = &t.over
		n.path = Beyond
	}
	if n.event == t.event {
		return
	}
	n.event, t.dirty = t.event, true
	if n.events == 0 || t.at.Before(n.first) {
		n.first = t.at
	}
	if n.events == 0 || t.at.After(n.last) {
		n.last = t.at
	}
	n.events += int64(events)
}

// part walks some JSON.
func (t *tally) part(p part, events int) {
	n := &t.root
	if p.at.name != "" {
		n = t.key(n, p.at.name)
	}
	if n != nil && p.at.item {
		n = t.item(n)
	}
	t.walk(decoder(p.json), n, events, 0)
}

func (t *tally) walk(d *jsontext.Decoder, n *node, events, depth int) {
	kind := d.PeekKind()
	if n == nil || depth > maxDepth {
		t.sent(nil, events)
		_ = d.SkipValue()
		return
	}
	switch kind {
	case '{':
		_, _ = d.ReadToken()
		for d.PeekKind() == '"' {
			quoted, err := d.ReadValue()
			if err != nil {
				return
			}
			t.walk(d, t.quoted(n, quoted), events, depth+1)
		}
		_, _ = d.ReadToken()
	case '[':
		_, _ = d.ReadToken()
		for k := d.PeekKind(); k != ']' && k != 0; k = d.PeekKind() {
			if k != '{' {
				t.walk(d, t.item(n), events, depth+1)
				continue
			}
			v, err := d.ReadValue()
			if err != nil {
				return
			}
			if name := attribute(v); name != "" && n != nil {
				t.sent(t.below(n, "["+name+"]", ""), events)
				continue
			}
			t.walk(decoder(v), t.below(n, "["+typeOf(v)+"]", ""), events, depth+1)
		}
		_, _ = d.ReadToken()
	default:
		if _, err := d.ReadToken(); err != nil {
			return
		}
		t.sent(n, events)
	}
}

// due reports whether what was counted should be written: soon where a path is new,
// at leisure where only counts went on.
func (t *tally) due(now time.Time, all bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dirty && (all || t.fresh || now.Sub(t.emptied) >= leisure)
}

// empty returns what was counted, and begins anew.
func (t *tally) empty(now time.Time) []Field {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Field
	for _, n := range append(t.paths[:len(t.paths):len(t.paths)], &t.over) {
		if n.events > 0 {
			out = append(out, Field{n.path, n.first, n.last, n.events})
			n.events = 0
		}
	}
	t.dirty, t.fresh, t.emptied = false, false, now
	return out
}

// attribute is the name of an item that is one of the site's own attributes, as an
// adapter writes it: its name, then its value. It is a field of its own. "" otherwise.
func attribute(item jsontext.Value) string {
	rest, ok := bytes.CutPrefix(item, []byte(`{"name":"`))
	if !ok {
		return ""
	}
	name, rest, _ := bytes.Cut(rest, []byte{'"'})
	if !bytes.HasPrefix(rest, []byte(`,"value":`)) {
		return ""
	}
	return named(string(name))
}

// typeOf is what an item of a list says of its type, where that comes first, as adapters
// write it without spaces, and is a word of the partner's such as EMAIL, and not data; "" otherwise.
func typeOf(item jsontext.Value) string {
	rest, ok := bytes.CutPrefix(item, []byte(`{"type":"`))
	if !ok {
		return ""
	}
	word, _, _ := bytes.Cut(rest, []byte{'"'})
	if len(word) < 2 || len(word) > 32 || word[0] < 'A' || word[0] > 'Z' {
		return ""
	}
	for _, c := range word {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return ""
		}
	}
	return string(word)
}
