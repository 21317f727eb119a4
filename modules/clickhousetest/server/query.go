package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// run runs the statement: text, then a line break, then the body, as a server joins them.
func (q *request) run(c *conn, text string, body io.Reader) error {
	q.sql = text
	in := bufio.NewReaderSize(body, headWindow)
	start := text
	if start != "" {
		start += "\n"
	}
	if w := firstWord(start); w == "INSERT" || w == "" {
		peek, err := in.Peek(headWindow - len(start)%headWindow)
		if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
			return badData(err)
		}
		window := start + string(peek)
		q.sql = window
		if firstWord(window) == "INSERT" {
			if h, ok := readInsert(window); ok {
				return q.insert(c, h, start, in)
			}
			if readsInput(window) {
				return engineError("Code: 48. DB::Exception: INSERT ... SELECT FROM input() is not supported by this test server. (NOT_IMPLEMENTED)")
			}
		}
	}
	rest, err := io.ReadAll(io.LimitReader(in, largestText))
	if err != nil {
		return badData(err)
	}
	sql := start + string(rest)
	q.sql = sql
	if truthy(q.params.Get("cancel_http_readonly_queries_on_client_close")) {
		defer q.killWhenGone()()
	}
	return q.query(c, sql)
}

// killWhenGone has the engine kill the query of this request, which carries
// its mark as log_comment, once the client closes the connection.
func (q *request) killWhenGone() (stop func() bool) {
	return context.AfterFunc(q.r.Context(), func() { q.kill(q.mark()) })
}

// kill ends the queries that carry a mark.
func (s *server) kill(mark string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.eng.run(ctx, func() {
		if c, err := s.eng.open(); err == nil {
			c.do("KILL QUERY WHERE Settings['log_comment'] = " + quote(mark) + " ASYNC")
			c.close()
		}
	})
}

func (q *request) mark() string {
	if v := q.params.Get("log_comment"); v != "" {
		return v
	}
	return "request " + q.id
}

func (q *request) insert(c *conn, h insertHead, start string, in *bufio.Reader) error {
	format := h.format
	if format == "" {
		if format = q.r.Header.Get("X-ClickHouse-Format"); format == "" {
			format = "Values"
		}
	}
	var data io.Reader = in
	if h.data < len(start) {
		data = io.MultiReader(strings.NewReader(start[h.data:]), in)
	} else if _, err := in.Discard(h.data - len(start)); err != nil {
		return badData(err)
	}
	return load(c, h.head, format, data, &q.stats)
}

var (
	hello    = regexp.MustCompile(`^\s*SELECT displayName\(\), version\(\), revision\(\), timezone\(\)\s*$`)
	parallel = regexp.MustCompile(`(?i)\bPARALLEL\s+WITH\b`)
	// These formats may be written block by block. The others are made whole.
	piecewise = regexp.MustCompile(`(?i)^(Native|RowBinary|TSV(Raw|WithNames|WithNamesAndTypes)?|TabSeparated(Raw|WithNames|WithNamesAndTypes)?|CSV(WithNames|WithNamesAndTypes)?|JSON(Compact|Strings|CompactStrings)?EachRow|NDJSON|JSONLines)$`)
)

func (q *request) query(c *conn, sql string) error {
	word := firstWord(sql)
	if (&scanner{s: sql}).next().kind == 0 {
		return engineError("Code: 62. DB::Exception: Syntax error: failed at position 1 (end of query): Empty query. (SYNTAX_ERROR)")
	}
	format := q.params.Get("default_format")
	if v := q.r.Header.Get("X-ClickHouse-Format"); v != "" {
		format = v
	}
	if format == "" {
		format = "TabSeparated"
	}
	used := format
	if f := formatOf(sql); f != "" {
		used = f
	}
	q.out.format(used)
	if i := strings.IndexByte(sql, ';'); i >= 0 && i < len(strings.TrimRight(sql, "; \t\r\n")) {
		if n, ok := c.statements(sql); ok && n > 1 && !parallel.MatchString(sql) {
			return engineError(fmt.Sprintf("Code: 62. DB::Exception: Syntax error (Multi-statements are not allowed): failed at position %d (end of query). (SYNTAX_ERROR)", i+1))
		}
	}
	if version, _ := strconv.Atoi(q.params.Get("client_protocol_version")); version > 0 && used == "Native" && hello.MatchString(sql) {
		return q.hello(version)
	}
	if (word == "SELECT" || word == "WITH" || word == "FROM") && piecewise.MatchString(used) {
		ctx := q.r.Context()
		started, err := c.stream(sql, format, &q.stats, func(p []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return q.out.write(p)
		})
		if started || err == nil {
			return err
		}
	}
	r, err := c.exec(sql, format)
	if err != nil {
		return err
	}
	defer r.free()
	q.stats = r.stats
	return q.out.write(r.body)
}

// hello answers the first query of the Go driver, which it reads at the
// protocol version that it names itself, and by which it learns the version of
// all later blocks. The engine writes Native blocks at version 0, so that is
// the revision it is told; every later answer is the engine's own bytes.
func (q *request) hello(version int) error {
	var b bytes.Buffer
	str := func(s string) {
		b.Write(binary.AppendUvarint(nil, uint64(len(s))))
		b.WriteString(s)
	}
	b.Write([]byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0}) // block info
	b.Write([]byte{4, 1})                               // columns, rows
	for _, col := range []struct{ name, kind, value string }{
		{"displayName()", "String", q.eng.name},
		{"version()", "String", q.eng.version},
		{"revision()", "UInt32", ""},
		{"timezone()", "String", q.eng.tz},
	} {
		str(col.name)
		str(col.kind)
		if version >= 54454 {
			b.WriteByte(0) // no custom serialization
		}
		if col.kind == "UInt32" {
			b.Write([]byte{0, 0, 0, 0})
		} else {
			str(col.value)
		}
	}
	return q.out.write(b.Bytes())
}

var exceptionCode = regexp.MustCompile(`Code: (\d+)\.`)

// fail answers with an exception, as a server words and frames it.
func (q *request) fail(err error) {
	if errors.Is(err, context.Canceled) && q.r.Context().Err() != nil {
		panic(errAbort) // the client is gone
	}
	// What is left of the body is taken off the wire, so that the client,
	// which may still be sending, gets to read the answer.
	io.Copy(io.Discard, io.LimitReader(q.r.Body, largestText))
	code, text := q.worded(err)
	q.out.exception(code, text)
}

// worded is an error as a server words it, and its code.
func (s *server) worded(err error) (code, text string) {
	text = err.Error()
	if _, ok := err.(engineError); !ok || !strings.HasPrefix(text, "Code: ") {
		if m := exceptionCode.FindStringIndex(text); ok && m != nil {
			text = text[m[0]:]
		} else {
			text = fmt.Sprintf("Code: 1002. DB::Exception: %s. (UNKNOWN_EXCEPTION)", strings.TrimSuffix(text, "."))
		}
	}
	text = strings.TrimRight(text, "\n")
	if !strings.Contains(text, "(version ") {
		text += fmt.Sprintf(" (version %s)", s.eng.version)
	}
	code = "1002"
	if m := exceptionCode.FindStringSubmatch(text); m != nil {
		code = m[1]
	}
	return code, text
}

// httpStatus is the HTTP status a server gives with an exception code.
func httpStatus(code string) int {
	n, _ := strconv.Atoi(code)
	switch n {
	case 194:
		return http.StatusUnauthorized
	case 192, 193, 497, 512, 516:
		return http.StatusForbidden
	case 6, 7, 10, 15, 25, 26, 27, 36, 38, 41, 44, 45, 53, 62, 72, 117, 167, 168, 223, 376, 427, 440, 441, 675, 676:
		return http.StatusBadRequest
	case 46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 183, 336, 511:
		return http.StatusNotFound
	case 29:
		return http.StatusRequestEntityTooLarge
	case 48:
		return http.StatusNotImplemented
	case 76, 209, 439:
		return http.StatusServiceUnavailable
	case 381:
		return http.StatusLengthRequired
	case 159:
		return http.StatusRequestTimeout
	}
	return http.StatusInternalServerError
}
