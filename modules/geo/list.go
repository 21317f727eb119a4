package geo

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gaissmai/bart"
	"go4.org/netipx"
)

// A network wider than these is no data centre but a slip, which would make machines
// of nearly all visitors.
const (
	widest4 = 8
	widest6 = 16
)

// What is left of an address that was cut off, as consent.Truncate does.
const (
	cut4 = 24
	cut6 = 48
)

// longestName bounds what a list may call who runs a network.
const longestName = 100

// list is a kept list of networks, each with who runs it. Of networks within one
// another the narrowest counts.
type list struct{ bart.Table[string] }

// readList reads a list in the shapes that kept ones have: a network or an address a
// line, with "#" before what is a comment; CSV of a range's first and last address, who
// runs it and more, or of a network and more; or JSON, as clouds publish theirs, of
// which each text that is a network counts.
func readList(path string) (*list, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	l, name := &list{}, filepath.Base(path)
	if content := bytes.TrimSpace(b); len(content) == 0 {
		return nil, errors.New("there is nothing in it")
	} else if content[0] == '{' || content[0] == '[' {
		return l, l.published(b, name)
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		if err := l.line(strings.TrimSpace(line), name); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return l, nil
}

// line takes one line of a list in; name is who runs it where it does not say.
func (l *list) line(s, name string) error {
	if s == "" || s[0] == '#' {
		return nil
	}
	if i := strings.IndexAny(s, ",#"); i < 0 || s[i] == '#' {
		s, _, _ = strings.Cut(s, "#")
		return l.network(strings.TrimSpace(s), name)
	}
	row := csv.NewReader(strings.NewReader(s))
	row.TrimLeadingSpace = true
	field, err := row.Read()
	if err != nil {
		var where *csv.ParseError
		if errors.As(err, &where) {
			err = where.Err
		}
		return fmt.Errorf("no CSV: %w", err)
	}
	for i := range field {
		field[i] = strings.TrimSpace(field[i])
	}
	if strings.Contains(field[0], "/") {
		return l.network(field[0], name)
	}
	if len(field) > 2 && field[2] != "" {
		if name = field[2]; len(name) > longestName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
			return fmt.Errorf("the name %s must be text of at most %d bytes", short(name), longestName)
		}
	}
	first, err := netip.ParseAddr(field[0])
	if err != nil {
		return fmt.Errorf("%s must be a range's first address, such as 192.0.2.0, or a network, such as 192.0.2.0/24", short(field[0]))
	}
	last, err := netip.ParseAddr(field[1])
	if err != nil {
		return fmt.Errorf("%s must be a range's last address, such as 192.0.2.255", short(field[1]))
	}
	r := netipx.IPRangeFrom(first.Unmap(), last.Unmap())
	if !r.IsValid() {
		return fmt.Errorf("%s to %s is no range: both must be of one version of IP, and the first not after the last", first, last)
	}
	for _, p := range r.Prefixes() {
		if err := l.insert(p, name); err != nil {
			return err
		}
	}
	return nil
}

// network takes a network or an address in.
func (l *list) network(s, name string) error {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, wrong := netip.ParseAddr(s)
		if wrong != nil || a.Zone() != "" {
			return fmt.Errorf("%s is no network and no address; it must be like 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1", short(s))
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	return l.insert(p, name)
}

func (l *list) insert(p netip.Prefix, name string) error {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	widest := widest6
	if p.Addr().Is4() {
		widest = widest4
	}
	if p.Bits() < widest {
		return fmt.Errorf("%s is too wide to be a data centre's: /%d is the widest", p, widest)
	}
	l.Insert(p.Masked(), name)
	return nil
}

// published takes in what JSON holds of networks.
func (l *list) published(b []byte, name string) error {
	line := func(offset int64) int { return 1 + bytes.Count(b[:offset], []byte("\n")) }
	var bad *json.SyntaxError
	if err := json.Unmarshal(b, new(any)); errors.As(err, &bad) {
		return fmt.Errorf("line %d: %w", line(bad.Offset), err)
	} else if err != nil {
		return err
	}
	for d := json.NewDecoder(bytes.NewReader(b)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		s, ok := token.(string)
		if !ok {
			continue
		}
		if p, err := netip.ParsePrefix(s); err == nil {
			if err := l.insert(p, name); err != nil {
				return fmt.Errorf("line %d: %w", line(d.InputOffset()), err)
			}
		}
	}
	if l.Size() == 0 {
		return errors.New("no text in its JSON is a network, such as 192.0.2.0/24")
	}
	return nil
}

// short is s as an error shows it.
func short(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// Datacenter is who runs the data centre that an address is of, by the first list that
// has it; empty where none does. An address that looks cut off stands for all that it
// may have been, so that a network narrower than what is left of it says nothing.
func (f *Files) Datacenter(a netip.Addr) string {
	if f == nil || len(f.lists) == 0 || !a.IsValid() {
		return ""
	}
	a = a.Unmap().WithZone("")
	left := cut6
	if a.Is4() {
		left = cut4
	}
	p := netip.PrefixFrom(a, a.BitLen())
	if cut := netip.PrefixFrom(a, left); cut == cut.Masked() {
		p = cut
	}
	for _, one := range f.lists {
		if who, ok := one.read.Load().LookupPrefix(p); ok {
			return who
		}
	}
	return ""
}
