package fields

import (
	"bytes"
	"mime"
	"net/url"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Request is one that left, as far as it matters here.
type Request struct {
	URL    string
	Type   string // of the body
	Body   []byte
	Pixels []string // of each event in it, in the request's order
	At     time.Time
}

// part is some JSON and where it stands.
type part struct {
	at   step
	json jsontext.Value
}

// step is a name in the body, "" for the body itself; item says that the part is an
// item of the list there.
type step struct {
	name string
	item bool
}

// split parts a body into what each event brought and what all of them share. The
// events are the one list of objects, the body itself or right below it, that has as
// many items as there are events. Where there is none, or more than one, everything is
// shared: better a field too much is said to be sent than one too little.
func split(body jsontext.Value, events int) (each, shared []part) {
	var lists [][]part
	add := func(name string, v jsontext.Value) {
		items := objects(v)
		if len(items) != events || events == 0 {
			shared = append(shared, part{step{name, false}, v})
			return
		}
		list := make([]part, events)
		for i, item := range items {
			list[i] = part{step{name, true}, item}
		}
		lists = append(lists, list)
	}
	if body.Kind() == '[' {
		add("", body)
	} else {
		d := decoder(body)
		_, _ = d.ReadToken()
		for d.PeekKind() == '"' {
			name, err := d.ReadToken()
			if err != nil {
				break
			}
			n := name.String()
			v, err := value(d, body)
			if err != nil {
				break
			}
			add(n, v)
		}
	}
	if len(lists) == 1 {
		return lists[0], shared
	}
	for _, list := range lists {
		shared = append(shared, list...)
	}
	return nil, shared
}

// objects are the items of a list, nil where it is no list or one of other things.
func objects(v jsontext.Value) []jsontext.Value {
	if v.Kind() != '[' {
		return nil
	}
	d := decoder(v)
	_, _ = d.ReadToken()
	var out []jsontext.Value
	for d.PeekKind() == '{' {
		item, err := value(d, v)
		if err != nil {
			return nil
		}
		out = append(out, item)
	}
	if d.PeekKind() != ']' {
		return nil
	}
	return out
}

// value reads one as the piece of the whole that it is, so that nothing is copied.
func value(d *jsontext.Decoder, whole jsontext.Value) (jsontext.Value, error) {
	v, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	end := d.InputOffset()
	return whole[end-int64(len(v)) : end], nil
}

func decoder(b []byte) *jsontext.Decoder {
	return jsontext.NewDecoder(bytes.NewBuffer(b), jsontext.AllowDuplicateNames(true))
}

// names are those of a query and of a form.
func (r Request) names() (out []string, isForm bool) {
	if u, err := url.Parse(r.URL); err == nil {
		for n := range u.Query() {
			out = append(out, "?"+named(n))
		}
	}
	if kind, _, _ := mime.ParseMediaType(r.Type); kind == "application/x-www-form-urlencoded" {
		if form, err := url.ParseQuery(string(r.Body)); err == nil {
			for n := range form {
				out = append(out, named(n))
			}
			return out, true
		}
	}
	return out, false
}

// named is how a name is written in a path. One that does not look like a name may be
// data, and is a star.
func named(n string) string {
	if n == "" || len(n) > 64 {
		return "*"
	}
	for i := range len(n) {
		switch c := n[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '.', c == '-':
		default:
			return "*"
		}
	}
	return n
}
