package admin

import (
	"encoding/csv"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v5"
	"github.com/parquet-go/parquet-go"
)

// formats are how a report can be had.
var formats = []string{"json", "csv", "parquet"}

// sheet writes a table row by row, as it comes: it is never in memory whole, and
// ends with an error once nobody reads it any more. The values of a row are of the
// columns' types.
type sheet interface {
	row(values ...any) error
	end() error
}

// column is a name and what is in it: a string, int64, float64 or time.Time.
type column struct {
	name string
	kind any
}

func columnsOf(kind any, names ...string) []column {
	out := make([]column, len(names))
	for i, n := range names {
		out[i] = column{n, kind}
	}
	return out
}

// download begins a table as a file. Whatever goes wrong after the first row can
// only cut it off.
func download(c *echo.Context, name, format string, columns []column) sheet {
	h := c.Response().Header()
	h.Set("Content-Disposition", `attachment; filename="`+name+"."+format+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	out := &patient{c.Response(), http.NewResponseController(c.Response())}
	if format == "parquet" {
		h.Set("Content-Type", "application/vnd.apache.parquet")
		c.Response().WriteHeader(http.StatusOK)
		return newParquet(out, name, columns)
	}
	h.Set("Content-Type", "text/csv; charset=utf-8")
	c.Response().WriteHeader(http.StatusOK)
	s := &csvSheet{w: csv.NewWriter(out)}
	s.cells = make([]string, len(columns))
	for i, col := range columns {
		s.cells[i] = col.name
	}
	_ = s.w.Write(s.cells) // an error comes back with the next
	return s
}

// patient gives a slow reader time for each part, and not for the whole.
type patient struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(30 * time.Second)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.w.Write(b)
}

type csvSheet struct {
	w     *csv.Writer
	cells []string
}

// row writes a line. A cell that a spreadsheet would run as a formula is made text
// by a leading apostrophe.
func (s *csvSheet) row(values ...any) error {
	for i, v := range values {
		switch v := v.(type) {
		case string:
			s.cells[i] = defused(v)
		case int64:
			s.cells[i] = strconv.FormatInt(v, 10)
		case float64:
			s.cells[i] = strconv.FormatFloat(v, 'f', -1, 64)
		case time.Time:
			s.cells[i] = ""
			if !v.IsZero() {
				s.cells[i] = v.UTC().Format(time.RFC3339Nano)
			}
		}
	}
	return s.w.Write(s.cells)
}

func (s *csvSheet) end() error {
	s.w.Flush()
	return s.w.Error()
}

// defused makes a cell text where a spreadsheet would take it for a formula.
func defused(cell string) string {
	if cell == "" || !strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
		return cell
	}
	// A negative number is one.
	if strings.Trim(cell, "0123456789.-") == "" && strings.Count(cell, "-") == 1 && cell[0] == '-' {
		return cell
	}
	return "'" + cell
}

type parquetSheet struct {
	w      *parquet.Writer //nolint:staticcheck // what replaces it wants a Go type for each table
	places []int           // of the columns given, in the file, which orders them by name
	line   parquet.Row
	n      int
}

func newParquet(out io.Writer, name string, columns []column) *parquetSheet {
	group := parquet.Group{}
	for _, c := range columns {
		var node parquet.Node
		switch c.kind.(type) {
		case int64:
			node = parquet.Int(64)
		case float64:
			node = parquet.Leaf(parquet.DoubleType)
		case time.Time:
			node = parquet.Optional(parquet.Timestamp(parquet.Microsecond))
		default:
			node = parquet.String()
		}
		group[c.name] = node
	}
	schema := parquet.NewSchema(name, group)
	s := &parquetSheet{w: parquet.NewWriter(out, schema, parquet.Compression(&parquet.Zstd)), line: make(parquet.Row, len(columns))}
	var names []string
	for _, f := range schema.Fields() {
		names = append(names, f.Name())
	}
	for _, c := range columns {
		s.places = append(s.places, slices.Index(names, c.name))
	}
	return s
}

// groupRows bounds what a file being written holds in memory.
const groupRows = 50_000

func (s *parquetSheet) row(values ...any) error {
	for i, v := range values {
		at, defined := s.places[i], 0
		var cell parquet.Value
		switch v := v.(type) {
		case string:
			cell = parquet.ByteArrayValue([]byte(strings.ToValidUTF8(v, "\uFFFD")))
		case int64:
			cell = parquet.Int64Value(v)
		case float64:
			cell = parquet.DoubleValue(v)
		case time.Time:
			if cell = parquet.NullValue(); !v.IsZero() {
				cell, defined = parquet.Int64Value(v.UnixMicro()), 1
			}
		}
		s.line[at] = cell.Level(0, defined, at)
	}
	if _, err := s.w.WriteRows([]parquet.Row{s.line}); err != nil {
		return err
	}
	if s.n++; s.n%groupRows == 0 {
		return s.w.Flush()
	}
	return nil
}

func (s *parquetSheet) end() error { return s.w.Close() }
