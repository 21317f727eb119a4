package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// The native protocol, as a server speaks it to a driver: hello, ping, queries with
// their settings, parameters and external tables, blocks either way, plain or packed,
// progress, exceptions with their codes, cancel. Like the HTTP interface it gives every
// query an engine connection of its own, so that SET and temporary tables end with
// their statement.

// spoken is the revision of the protocol, the newest that the Go driver knows.
const spoken = proto.Version

// natives are the clients that are there.
type natives struct {
	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

func (n *natives) add(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	if n.conns == nil {
		n.conns = map[net.Conn]bool{}
	}
	n.conns[c] = true
	return true
}

func (n *natives) remove(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}

// close cuts all off, which ends their queries.
func (n *natives) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for c := range n.conns {
		c.Close()
	}
}

func (s *server) serveNative(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if !s.natives.add(c) {
			c.Close()
			continue
		}
		go func() {
			defer s.natives.remove(c)
			defer c.Close()
			defer func() {
				if r := recover(); r != nil {
					fmt.Fprintf(os.Stderr, "panic: %v\n%s\n", r, debug.Stack())
				}
			}()
			wire := newTape(c)
			n := &native{server: s, conn: c, wire: wire, packed: newTape(newFrameReader(wire.b))}
			if err := n.serve(); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				s.logf("native %s: %v", c.RemoteAddr(), err)
			}
		}()
	}
}

// native is one client.
type native struct {
	*server
	conn     net.Conn
	wire     *tape
	packed   *tape // what is in the compressed frames of the same
	out      proto.Buffer
	revision int
	database string
}

func (n *native) flush() error {
	_, err := n.conn.Write(n.out.Buf)
	n.out.Reset()
	return err
}

func (n *native) serve() error {
	n.conn.SetDeadline(time.Now().Add(time.Minute))
	if err := n.hello(); err != nil {
		return err
	}
	n.conn.SetDeadline(time.Time{})
	for {
		code, err := n.wire.r.UVarInt()
		if err != nil {
			return err
		}
		switch proto.ClientCode(code) {
		case proto.ClientCodePing:
			proto.ServerCodePong.Encode(&n.out)
			err = n.flush()
		case proto.ClientCodeCancel: // of what has ended
		case proto.ClientCodeQuery:
			err = n.query()
		default:
			err = fmt.Errorf("a packet of kind %d, which was not its turn", code)
		}
		if err != nil {
			return err
		}
	}
}

func (n *native) hello() error {
	code, err := n.wire.r.UVarInt()
	if err != nil {
		return err
	}
	if proto.ClientCode(code) != proto.ClientCodeHello {
		return fmt.Errorf("a packet of kind %d for a hello", code)
	}
	var h proto.ClientHello
	if err := h.Decode(n.wire.r); err != nil {
		return err
	}
	n.database, n.revision = h.Database, min(h.ProtocolVersion, spoken)
	if !proto.FeatureSettingsSerializedAsStrings.In(n.revision) {
		return n.exception(fmt.Errorf("revision %d of the protocol is too old for this test server", n.revision))
	}
	if err := n.login(h.User, h.Password); err != nil {
		return errors.Join(err, n.exception(err))
	}
	var version [3]int
	for i, digits := range strings.SplitN(n.eng.version, ".", 4) {
		if i < len(version) {
			version[i], _ = strconv.Atoi(digits)
		}
	}
	answer := proto.ServerHello{
		Name: "ClickHouse", Major: version[0], Minor: version[1], Patch: version[2], Revision: spoken,
		Timezone: n.eng.tz, DisplayName: n.eng.name,
	}
	answer.EncodeAware(&n.out, n.revision)
	if err := n.flush(); err != nil {
		return err
	}
	if proto.FeatureAddendum.In(n.revision) {
		_, err = n.wire.r.Str() // the key of a quota
	}
	return err
}

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

func (n *native) query() error {
	q := &nativeQuery{native: n, started: time.Now()}
	if err := q.DecodeAware(n.wire.r, n.revision); err != nil {
		return err
	}
	q.packs = q.Compression == proto.CompressionEnabled
	if q.ID == "" {
		q.ID = newUUID()
	}
	for {
		b, err := q.data()
		if err != nil {
			return err
		}
		if b.empty() && b.name == "" {
			break
		}
		q.tables = append(q.tables, b)
	}
	var err error
	if e := n.eng.run(context.Background(), func() { err = q.handle() }); e != nil {
		err = e
	}
	n.logf("native %.80q: %s %v", q.Body, time.Since(q.started).Round(time.Microsecond), err)
	var wire wireError
	switch {
	case errors.As(err, &wire):
		return wire.error
	case err != nil && !errors.Is(err, errCancelled):
		return n.exception(err)
	}
	return q.end()
}

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

// exception answers with an error.
func (n *native) exception(err error) error {
	code, text := n.worded(err)
	number, _ := strconv.Atoi(code)
	if _, rest, ok := strings.Cut(text, "Code: "+code+". "); ok {
		text = rest
	}
	n.out.Reset()
	proto.ServerCodeException.Encode(&n.out)
	e := proto.Exception{Code: proto.Error(number), Name: "DB::Exception", Message: text}
	e.EncodeAware(&n.out, n.revision)
	return n.flush()
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
