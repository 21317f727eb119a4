package collector

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
)

const (
	// politeBody is the most that is read off a connection for one request, be it
	// only to throw it away.
	politeBody = 16 << 20
	// firstRead is what a body's buffer starts with, and keptRead the largest
	// buffer that is used again.
	firstRead, keptRead = 4 << 10, 64 << 10
	// watched is from which size on a body is looked at while it comes in, so that one
	// which is a weapon is refused by what came first.
	watched = 16 << 10
	// maxRatio is how many times its size a body may unpack to. Events, which have ids and
	// times of their own, pack 30 to 1 at best; zeros, 1000 to 1.
	maxRatio = 200
)

// What goes beyond a bound. The last two no client sends by mistake.
var (
	errTooLarge = errors.New("too large")
	errBomb     = errors.New("a decompression bomb")
	errTooDeep  = errors.New("nests too deep")
)

// body is a request's body, decompressed. Release it once nothing points at it.
type body struct {
	bytes    []byte
	reserved int64
	buffer   *[]byte
}

// readBody reads a body of at most limit bytes. Where it is larger it returns
// what fits along with errTooLarge, so that the refusal can name the pixel.
func (c *Collector) readBody(ec *echo.Context, limit int64) (body, error) {
	r := ec.Request()
	if err := contentType(first(r.Header, "Content-Type")); err != nil {
		return body{}, err
	}
	switch encoding := first(r.Header, "Content-Encoding"); strings.ToLower(encoding) {
	case "", "identity":
		return c.fill(r.Body, limit, &watch{})
	case "gzip", "x-gzip":
		z, _ := c.unpackers.Get().(*unpacker)
		if z == nil {
			z = &unpacker{}
		}
		defer c.unpackers.Put(z)
		if err := z.begin(r.Body); err != nil {
			return body{}, badGzip(err)
		}
		defer z.end()
		return c.fill(&z.Reader, limit, &watch{packed: z})
	}
	return body{}, httpserver.NewProblem(http.StatusUnsupportedMediaType, "unsupported_encoding", "the body must be plain or gzip")
}

// unpacker is the memory that decompression needs, which is used again.
type unpacker struct {
	gzip.Reader
	from *bufio.Reader // so that it is known what was taken of it
	sent counted
}

// counted counts what was read.
type counted struct {
	io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

func (u *unpacker) begin(from io.Reader) error {
	u.sent = counted{Reader: from}
	if u.from == nil {
		u.from = bufio.NewReader(&u.sent)
	} else {
		u.from.Reset(&u.sent)
	}
	return u.Reset(u.from)
}

func (u *unpacker) end() {
	_ = u.Close()
	u.sent = counted{}
}

// taken is how many bytes have been unpacked.
func (u *unpacker) taken() int64 { return u.sent.n - int64(u.from.Buffered()) }

// watch looks at a body while it comes in.
type watch struct {
	nesting event.Nesting
	seen    int
	packed  *unpacker // nil: it is not packed
}

// look looks at what came since it looked last.
func (w *watch) look(b []byte) error {
	if w == nil || len(b) < watched {
		return nil
	}
	if w.packed != nil && int64(len(b)) > maxRatio*w.packed.taken() {
		return errBomb
	}
	fresh := b[w.seen:]
	w.seen = len(b)
	if w.nesting.TooDeep(fresh) {
		return errTooDeep
	}
	return nil
}

// fill reads a body to its end. Beside one of the errors above it returns what came before.
func (c *Collector) fill(from io.Reader, limit int64, w *watch) (body, error) {
	buffer, _ := c.bodies.Get().(*[]byte)
	if buffer == nil {
		fresh := make([]byte, 0, firstRead)
		buffer = &fresh
	}
	b := body{bytes: (*buffer)[:0], buffer: buffer}
	if !b.reserve(&c.room, int64(cap(b.bytes))) {
		c.release(&b)
		return body{}, busy()
	}
	for {
		if len(b.bytes) == cap(b.bytes) {
			if err := w.look(b.bytes); err != nil {
				return b, err
			}
			// Doubling as the bytes come, so that nobody reserves with a header
			// what was never sent.
			if !b.reserve(&c.room, int64(cap(b.bytes))) {
				c.release(&b)
				return body{}, busy()
			}
			grown := make([]byte, len(b.bytes), 2*cap(b.bytes))
			copy(grown, b.bytes)
			b.bytes = grown
			*b.buffer = grown
		}
		n, err := from.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		if int64(len(b.bytes)) > limit {
			b.bytes = b.bytes[:limit]
			return b, errTooLarge
		}
		switch {
		case err == io.EOF:
			return b, w.look(b.bytes)
		case err != nil:
			c.release(&b)
			return body{}, readError(err)
		}
	}
}

func (b *body) reserve(r *room, n int64) bool {
	if !r.take(n) {
		return false
	}
	b.reserved += n
	return true
}

func (c *Collector) release(b *body) {
	c.room.give(b.reserved)
	if b.buffer != nil && cap(*b.buffer) <= keptRead {
		c.bodies.Put(b.buffer)
	}
	*b = body{}
}

// readError tells a bad body from a connection that broke.
func readError(err error) error {
	for _, bad := range []error{gzip.ErrHeader, gzip.ErrChecksum, io.ErrUnexpectedEOF} {
		if errors.Is(err, bad) {
			return badGzip(err)
		}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return err
	}
	if strings.HasPrefix(err.Error(), "flate: ") {
		return badGzip(err)
	}
	return httpserver.NewProblem(http.StatusBadRequest, "incomplete", "the body did not arrive whole")
}

// beyond is what the sender of a body that goes beyond a bound is told, and the dead letters;
// nil for any other error. Who sent a weapon has his connection closed, and costly bodies of
// his address are not read for a while.
func (c *Collector) beyond(ec *echo.Context, err error) (*httpserver.Problem, event.Fault) {
	f, status, more := event.Fault{}, http.StatusRequestEntityTooLarge, ""
	switch {
	case errors.Is(err, errTooLarge):
		f, more = event.Fault{Code: "too_large", Message: fmt.Sprintf("must be at most %d bytes", c.cfg.MaxBody)}, "; send fewer events at once"
	case errors.Is(err, errBomb):
		f = event.Fault{Code: "too_large", Message: fmt.Sprintf("must not unpack to more than %d times its size", maxRatio)}
		c.offended(ec)
	case errors.Is(err, errTooDeep):
		f, status = event.Fault{Code: "too_deep", Message: fmt.Sprintf("must nest at most %d objects and arrays", event.MaxDepth)}, http.StatusBadRequest
		c.offended(ec)
	default:
		return nil, f
	}
	return httpserver.NewProblem(status, f.Code, "the body "+f.Message+more), f
}

func badGzip(error) error {
	return httpserver.NewProblem(http.StatusBadRequest, "malformed_body", "the body is not what its length and encoding say")
}

func busy() error {
	return &httpserver.Problem{
		Status: http.StatusServiceUnavailable, Code: "busy", RetryAfter: retryAfter,
		Detail: "too much waits to be stored; send it again later",
	}
}

// contentType takes JSON under its own name and under that of plain text, which
// is how sendBeacon sends a string; and under none, as some clients do.
func contentType(header string) error {
	switch header {
	case "", "application/json", "text/plain", "text/plain;charset=UTF-8", "application/json; charset=utf-8":
		return nil // without the parser: nearly all are one of these
	}
	kind, params, err := mime.ParseMediaType(header)
	if err == nil && (kind == "application/json" || kind == "text/plain") {
		switch strings.ToLower(params["charset"]) {
		case "", "utf-8", "utf8", "us-ascii":
			return nil
		}
	}
	return httpserver.NewProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "the body must be application/json or text/plain, in UTF-8")
}
