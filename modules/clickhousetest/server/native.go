package main

import (
	"context"
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
