package chanalytics

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miq/pixel/modules/analytics"
)

// micro makes a moment of an argument in microseconds.
const micro = "fromUnixTimestamp64Micro(toInt64(?), 'UTC')"

// where collects conditions and their arguments.
type where struct {
	conds []string
	args  []any
}

func (w *where) clone() where { return where{slices.Clone(w.conds), slices.Clone(w.args)} }

func (w *where) add(cond string, args ...any) {
	w.conds, w.args = append(w.conds, cond), append(w.args, args...)
}

func (w *where) equal(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

// among wants one of some values; nil wants nothing, and an empty list cannot be had.
func (w *where) among(column string, values []string) {
	switch {
	case values == nil:
	case len(values) == 0:
		w.add("0")
	default:
		w.add(column + " IN (" + list(values) + ")")
	}
}

// conditions have checked dimensions only, which are columns.
func (w *where) conditions(given []analytics.Condition, column func(string) string) {
	for _, c := range given {
		in := " IN ("
		if c.Not {
			in = " NOT IN ("
		}
		w.add(column(c.Dimension) + in + list(c.Values) + ")")
	}
}

func same(dimension string) string { return dimension }

func (w *where) between(column string, since, until time.Time) {
	if !since.IsZero() {
		w.add(column+" >= "+micro, within(since).UnixMicro())
	}
	if !until.IsZero() {
		w.add(column+" < "+micro, within(until).UnixMicro())
	}
}

func (w *where) String() string {
	if len(w.conds) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conds, " AND ")
}

func badCursor(which string) error {
	return fmt.Errorf("%w: %s is not one that this store gave out", analytics.ErrInvalid, which)
}

// cursor is a row's place in the list of events, which does not move whatever is
// written, with what every page needs of the first.
func (k key) cursor(have span, newest string) string {
	return cursorOf(k.at, k.pixel, k.id, strconv.FormatInt(have.since.UnixMicro(), 36), newest)
}

func parseCursor(s string) (k key, have span, newest string, err error) {
	at, parts, err := placeOf(s, 4)
	if err != nil {
		return k, have, "", err
	}
	since, err := strconv.ParseInt(parts[2], 36, 64)
	if err != nil {
		return k, have, "", badCursor("cursor")
	}
	have.since = time.UnixMicro(since)
	return key{pixel: parts[0], at: at, id: parts[1]}, have, parts[3], nil
}

// cursorOf is a time and some text as one opaque string.
func cursorOf(at int64, parts ...string) string {
	b := []byte(strconv.FormatInt(at, 36))
	for _, p := range parts {
		b = append(b, '.')
		b = base64.RawURLEncoding.AppendEncode(b, []byte(p))
	}
	return string(b)
}

func placeOf(s string, n int) (at int64, parts []string, err error) {
	fields := strings.Split(s, ".")
	if len(fields) != n+1 {
		return 0, nil, badCursor("cursor")
	}
	if at, err = strconv.ParseInt(fields[0], 36, 64); err != nil {
		return 0, nil, badCursor("cursor")
	}
	for _, f := range fields[1:] {
		b, err := base64.RawURLEncoding.DecodeString(f)
		if err != nil {
			return 0, nil, badCursor("cursor")
		}
		parts = append(parts, string(b))
	}
	return at, parts, nil
}
