package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// nativeQuery is one query on its way through a worker.
type nativeQuery struct {
	*native
	proto.Query
	tables  []namedBlock
	packs   bool
	method  string
	started time.Time
	stats   stats
	begun   bool // something of the answer was sent
}

// namedBlock is a part of an external table.
type namedBlock struct {
	name string
	block
}

// errCancelled says that the client wants no answer any more.
var errCancelled = errors.New("the client has cancelled")

// wireError is one of the connection, after which nothing can be said.
type wireError struct{ error }

// data reads a packet of data.
func (q *nativeQuery) data() (b namedBlock, err error) {
	code, err := q.wire.r.UVarInt()
	if err != nil {
		return b, err
	}
	switch proto.ClientCode(code) {
	case proto.ClientCodeData:
	case proto.ClientCodeCancel:
		return b, errCancelled
	default:
		return b, fmt.Errorf("a packet of kind %d for data", code)
	}
	if b.name, err = q.wire.r.Str(); err != nil {
		return b, err
	}
	from := q.wire
	if q.packs {
		from = q.packed
	}
	b.block, err = from.block(q.revision)
	return b, err
}

// send answers with a block.
func (q *nativeQuery) send(b block) error {
	q.begun = true
	proto.ServerCodeData.Encode(&q.out)
	q.out.PutString("")
	if !q.packs {
		b.encode(&q.out, q.revision)
	} else {
		var plain proto.Buffer
		var framed bytes.Buffer
		b.encode(&plain, q.revision)
		w := newFrameWriter(&framed, q.method)
		if _, err := w.Write(plain.Buf); err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		q.out.PutRaw(framed.Bytes())
	}
	if err := q.flush(); err != nil {
		return wireError{err}
	}
	return nil
}

// end says that this was all.
func (q *nativeQuery) end() error {
	if q.begun {
		var wire wireError
		if err := q.send(block{}); errors.As(err, &wire) {
			return wire.error
		}
	}
	proto.Profile{Rows: q.stats.resultRows, Bytes: q.stats.resultBytes}.EncodeAware(&q.out, q.revision)
	proto.ServerCodeProgress.Encode(&q.out)
	proto.Progress{
		Rows: q.stats.readRows, Bytes: q.stats.readBytes, TotalRows: q.stats.readRows,
		WroteRows: q.stats.writtenRows, WroteBytes: q.stats.writtenBytes, ElapsedNs: uint64(time.Since(q.started)),
	}.EncodeAware(&q.out, q.revision)
	proto.ServerCodeEndOfStream.Encode(&q.out)
	return q.flush()
}

func (q *nativeQuery) handle() error {
	c, err := q.eng.open()
	if err != nil {
		return err
	}
	defer c.close()
	if err := q.prepare(c); err != nil {
		return err
	}
	if firstWord(q.Body) == "INSERT" {
		if h, ok := readInsert(q.Body); ok {
			return q.insert(c, h)
		}
	}
	return q.watched(func(ctx context.Context) error { return q.answer(ctx, c) })
}

// prepare applies what goes along with a query.
func (q *nativeQuery) prepare(c *conn) error {
	if q.database != "" {
		if err := c.do("USE " + quoteName(q.database)); err != nil {
			return err
		}
	}
	var set, bind []string
	mark := "log_comment = " + quote(q.mark())
	for _, s := range q.Settings {
		if !settingName.MatchString(s.Key) {
			return engineError(fmt.Sprintf("Code: 115. DB::Exception: Unknown setting '%s'. (UNKNOWN_SETTING)", s.Key))
		}
		value := quote(s.Value)
		if s.Custom {
			value = s.Value // written as a literal already
		}
		set = append(set, s.Key+" = "+value)
		if s.Key == "network_compression_method" {
			q.method = strings.ToUpper(s.Value)
		}
	}
	if !q.has("log_comment") {
		set = append(set, mark)
	}
	for _, p := range q.Parameters {
		if !settingName.MatchString(p.Key) {
			return engineError(fmt.Sprintf("Code: 36. DB::Exception: Bad name of a query parameter: '%s'. (BAD_ARGUMENTS)", p.Key))
		}
		bind = append(bind, "param_"+p.Key+" = "+p.Value)
	}
	for _, part := range [][]string{bind, set} {
		if len(part) > 0 {
			if err := c.do("SET " + strings.Join(part, ", ")); err != nil {
				return err
			}
		}
	}
	made := map[string]bool{}
	for _, t := range q.tables {
		if t.name == "" {
			return engineError("Code: 36. DB::Exception: An external table has no name. (BAD_ARGUMENTS)")
		}
		if !made[t.name] {
			made[t.name] = true
			columns := make([]string, len(t.columns))
			for i, col := range t.columns {
				columns[i] = quoteName(col.name) + " " + col.kind
			}
			if err := c.do("CREATE TEMPORARY TABLE " + quoteName(t.name) + " (" + strings.Join(columns, ", ") + ") ENGINE = Memory"); err != nil {
				return err
			}
		}
		if t.rows == 0 {
			continue
		}
		var plain proto.Buffer
		t.encode(&plain, 0)
		var ignored stats
		if err := load(c, "INSERT INTO "+quoteName(t.name), "Native", bytes.NewReader(plain.Buf), &ignored); err != nil {
			return err
		}
	}
	return nil
}

func (q *nativeQuery) has(setting string) bool {
	for _, s := range q.Settings {
		if s.Key == setting {
			return true
		}
	}
	return false
}

// mark is the log_comment by which the query is found again.
func (q *nativeQuery) mark() string {
	for _, s := range q.Settings {
		if s.Key == "log_comment" {
			return s.Value
		}
	}
	return "native " + q.ID
}

// watched runs f, and has the engine kill its query once the client cancels or is gone.
func (q *nativeQuery) watched(f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, func() { q.kill(q.mark()) })
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		next, err := q.wire.b.Peek(1)
		if errors.Is(err, os.ErrDeadlineExceeded) || err == nil && proto.ClientCode(next[0]) != proto.ClientCodeCancel {
			return
		}
		cancel()
	}()
	err := f(ctx)
	q.conn.SetReadDeadline(time.Unix(1, 0))
	<-seen
	q.conn.SetReadDeadline(time.Time{})
	stop()
	if ctx.Err() != nil {
		err = errCancelled
	}
	cancel()
	return err
}

// answer runs a statement that takes no data, and sends what comes of it.
func (q *nativeQuery) answer(ctx context.Context, c *conn) error {
	sql := q.Body
	if f := formatOf(sql); f != "" && !strings.EqualFold(f, "Native") {
		return engineError("Code: 48. DB::Exception: FORMAT in a query of the native protocol is the client's to read, and this test server has no such client. (NOT_IMPLEMENTED)")
	}
	if n, ok := c.statements(sql); ok && n > 1 && !parallel.MatchString(sql) {
		return engineError("Code: 62. DB::Exception: Syntax error (Multi-statements are not allowed). (SYNTAX_ERROR)")
	}
	each := func(p []byte) error {
		if ctx.Err() != nil {
			return errCancelled
		}
		return q.blocks(p)
	}
	word := firstWord(sql)
	selects := word == "SELECT" || word == "WITH" || word == "FROM"
	if selects {
		started, err := c.stream(sql, "Native", &q.stats, each)
		if err == nil && !q.begun {
			err = q.nothing(c, sql)
		}
		if started || err == nil {
			return err
		}
	}
	r, err := c.exec(sql, "Native")
	if err != nil {
		return err
	}
	defer r.free()
	q.stats = r.stats
	if err := each(r.body); err != nil {
		return err
	}
	if selects && !q.begun {
		return q.nothing(c, sql)
	}
	return nil
}

// blocks sends what the engine wrote, after a block that says of what kind it is.
func (q *nativeQuery) blocks(p []byte) error {
	t := newTape(bytes.NewReader(p))
	for {
		if _, err := t.b.Peek(1); err == io.EOF {
			return nil
		}
		b, err := t.block(0)
		if err != nil {
			return engineError(fmt.Sprintf("Code: 50. DB::Exception: This test server cannot pass on what was read: %v. (UNKNOWN_TYPE)", err))
		}
		if !q.begun {
			if err := q.send(b.header()); err != nil {
				return err
			}
		}
		if b.rows == 0 {
			continue
		}
		if err := q.send(b); err != nil {
			return err
		}
	}
}

// nothing says of what kind the rows are that there are none of.
func (q *nativeQuery) nothing(c *conn, sql string) error {
	h, err := describe(c, "("+strings.TrimRight(sql, "; \t\r\n")+")", nil)
	if err != nil {
		return err
	}
	return q.send(h)
}

// describe makes a header of a table's columns: of those that are named, else of all
// that can be written.
func describe(c *conn, table string, names []string) (h block, err error) {
	r, err := c.exec("DESCRIBE TABLE "+table, "JSONCompactEachRow")
	if err != nil {
		return h, err
	}
	defer r.free()
	kinds := map[string]string{}
	var all []string
	for line := range bytes.Lines(r.body) {
		var f []string
		if err := json.Unmarshal(line, &f); err != nil || len(f) < 3 {
			return h, fmt.Errorf("describe %s: %q %v", table, line, err)
		}
		if kinds[f[0]] = f[1]; f[2] != "MATERIALIZED" && f[2] != "ALIAS" && f[2] != "EPHEMERAL" {
			all = append(all, f[0])
		}
	}
	if names == nil {
		names = all
	}
	for _, name := range names {
		kind, ok := kinds[name]
		if !ok {
			return h, engineError(fmt.Sprintf("Code: 16. DB::Exception: No such column %s in table %s. (NO_SUCH_COLUMN_IN_TABLE)", name, table))
		}
		h.columns = append(h.columns, blockColumn{name: name, kind: kind})
	}
	return h, nil
}

// insert says what is expected, takes blocks until an empty one, and answers once the
// engine has them.
func (q *nativeQuery) insert(c *conn, h insertHead) error {
	if inline := q.Body[h.data:]; strings.TrimSpace(inline) != "" {
		format := h.format
		if format == "" {
			format = "Values"
		}
		return load(c, h.head, format, strings.NewReader(inline), &q.stats)
	}
	table, names, ok := insertTarget(h.head)
	if !ok {
		return engineError("Code: 48. DB::Exception: This test server does not see into which columns is inserted. (NOT_IMPLEMENTED)")
	}
	header, err := describe(c, table, names)
	if err != nil {
		return err
	}
	in, err := c.openInsert(h.head, "Native")
	if err != nil {
		return err
	}
	if err := q.send(header); err != nil {
		in.cancel()
		return err
	}
	for failed := false; ; {
		b, err := q.data()
		if errors.Is(err, errCancelled) {
			in.cancel()
			return err
		}
		if err != nil {
			in.cancel()
			return wireError{err}
		}
		if b.empty() {
			break
		}
		if failed {
			continue // the client sends to the end before it listens
		}
		var plain proto.Buffer
		b.encode(&plain, 0)
		failed = !in.append(plain.Buf)
	}
	q.begun = false // no block ends the answer to an INSERT
	got, err := in.finish()
	q.stats.writtenRows, q.stats.writtenBytes = got.writtenRows, got.writtenBytes
	q.stats.readRows, q.stats.readBytes = got.writtenRows, got.writtenBytes
	return err
}
