package httpserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/miq/pixel/modules/queue"
	"github.com/miq/pixel/modules/state"
)

// Problem is an error that the client is told as application/problem+json
// (RFC 9457). Handlers return one; nothing else writes errors.
type Problem struct {
	// Title says what kind of problem it is; empty: the status in words.
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what is wrong this time, and what would be right.
	Detail string `json:"detail,omitempty"`
	// Code is short and stable, for programs: "unknown_pixel".
	Code   string       `json:"code,omitempty"`
	Errors []FieldError `json:"errors,omitempty"`
	// RetryAfter, when set, goes into the header of that name.
	RetryAfter time.Duration `json:"-"`
}

// FieldError is what is wrong with one field.
type FieldError struct {
	// Pointer finds the field: a JSON pointer such as "/events/0/name", or a
	// parameter's name.
	Pointer string `json:"pointer"`
	Code    string `json:"code,omitempty"`
	Detail  string `json:"detail"`
}

// NewProblem returns a problem with a code for programs and a detail for people.
func NewProblem(status int, code, detail string) *Problem {
	return &Problem{Status: status, Code: code, Detail: detail}
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail)
}

// StatusCode tells echo's middleware what will be answered.
func (p *Problem) StatusCode() int { return p.Status }

// BadJSON turns an error of the json package into a 400 that points at the
// field, or into a 413 where the body was too large.
func BadJSON(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge()
	}
	p := NewProblem(http.StatusBadRequest, "malformed_json", "the body is not valid JSON")
	at, detail := jsontext.Pointer(""), ""
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at, detail = e.JSONPointer, syntax(e)
		if e.ByteOffset == 0 && errors.Is(e.Err, io.ErrUnexpectedEOF) {
			p.Detail, detail = "the body is empty", ""
		}
	} else if e, ok := errors.AsType[*json.SemanticError](err); ok {
		p.Code, p.Detail = "invalid_field", "a field has the wrong type"
		if errors.Is(e.Err, json.ErrUnknownName) {
			p.Code, p.Detail = "unknown_field", "there is no such field"
		}
		at, detail = e.JSONPointer, semantic(e)
	}
	if detail != "" {
		p.Errors = []FieldError{{Pointer: clip(string(at), 200), Code: p.Code, Detail: detail}}
	}
	return p
}

func syntax(e *jsontext.SyntacticError) string {
	what := "is not valid JSON"
	switch {
	case errors.Is(e.Err, jsontext.ErrDuplicateName):
		what = "is there twice"
	case e.Err != nil:
		// The package's own words quote at most a character of the input.
		what = clip(e.Err.Error(), 120)
	}
	return what + " (at byte " + strconv.FormatInt(e.ByteOffset, 10) + ")"
}

func semantic(e *json.SemanticError) string {
	kind := map[jsontext.Kind]string{'n': "null", 'f': "a boolean", 't': "a boolean", '"': "a string", '0': "a number", '{': "an object", '[': "an array"}[e.JSONKind]
	switch {
	case errors.Is(e.Err, json.ErrUnknownName):
		return "is not known here"
	case e.Err != nil && kind != "":
		return "is " + kind + ", but " + clip(e.Err.Error(), 120)
	case e.Err != nil:
		return clip(e.Err.Error(), 120)
	case kind != "":
		return "must not be " + kind
	}
	return "has the wrong type"
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}

func tooLarge() *Problem {
	return NewProblem(http.StatusRequestEntityTooLarge, "too_large", "the body is larger than this server takes")
}

// problem sorts any error into what the client may know of it.
func problem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge()
	}
	if p := Away(err); p != nil {
		return p
	}
	if status := echo.StatusCode(err); status != 0 {
		p := &Problem{Status: status}
		if he, ok := errors.AsType[*echo.HTTPError](err); ok {
			p.Detail = he.Message
		}
		return p
	}
	return &Problem{Status: http.StatusInternalServerError, Code: "internal", Detail: "something went wrong here, not in the request"}
}

// Away is what to say of an error of something behind us that cannot be reached, or that takes
// too long; nil: it is another error.
func Away(err error) *Problem {
	if _, ok := errors.AsType[net.Error](err); !ok && !errors.Is(err, queue.ErrUnavailable) && !errors.Is(err, state.ErrUnavailable) {
		return nil
	}
	return &Problem{
		Status: http.StatusServiceUnavailable, Code: "unavailable", RetryAfter: time.Second,
		Detail: "something that this needs does not answer now; the log says what. Try again later",
	}
}

// hungUp reports a connection that was closed under a write: that of the client,
// if the request has ended too, which is its right and no failure of ours.
func hungUp(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// answerError is the one place that turns errors into answers, and the one that
// logs those that are ours.
func answerError(log *slog.Logger, name string) echo.HTTPErrorHandler {
	return func(c *echo.Context, err error) {
		gone := c.Request().Context().Err() != nil && (errors.Is(err, context.Canceled) || hungUp(err))
		p := problem(err)
		if _, told := errors.AsType[*Problem](err); !told && p.Status >= http.StatusInternalServerError && !gone {
			attrs := []any{"server", name, "method", c.Request().Method, "route", c.Path(), "error", err}
			if ps, ok := errors.AsType[*middleware.PanicStackError](err); ok {
				attrs[len(attrs)-1] = ps.Err
				attrs = append(attrs, "stack", string(ps.Stack))
			}
			log.ErrorContext(c.Request().Context(), "request failed", attrs...)
		}
		if r, _ := echo.UnwrapResponse(c.Response()); gone || r != nil && r.Committed {
			return
		}
		if err := write(c, p); err != nil {
			log.Debug("answer could not be sent", "server", name, "error", err)
		}
	}
}

func write(c *echo.Context, p *Problem) error {
	out := *p
	if out.Title == "" {
		out.Title = http.StatusText(out.Status)
	}
	h := c.Response().Header()
	if out.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(out.RetryAfter.Seconds()))))
	}
	h.Set("Cache-Control", "no-store")
	if c.Request().Method == http.MethodHead {
		return c.NoContent(out.Status)
	}
	body, err := json.Marshal(&out, jsontext.EscapeForHTML(true))
	if err != nil {
		return err
	}
	return c.Blob(out.Status, "application/problem+json", body)
}
