package admin

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v5"

	"github.com/miq/pixel/modules/httpserver"
)

// page is how the API answers lists.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

func items[T any](list []T, next string) page[T] { return page[T]{nonNil(list), next} }

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// decode reads a JSON body and refuses members that it does not know.
func decode(c *echo.Context, v any) error {
	kind, _, _ := strings.Cut(c.Request().Header.Get("Content-Type"), ";")
	switch strings.TrimSpace(strings.ToLower(kind)) {
	case "application/json", "application/merge-patch+json":
	default:
		return httpserver.NewProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", "send application/json")
	}
	if err := json.UnmarshalRead(c.Request().Body, v, json.RejectUnknownMembers(true)); err != nil {
		return httpserver.BadJSON(err)
	}
	return nil
}

// param is a part of the path. The router hands it over as it came where its
// escaping is not the usual one, as that of an event's id with a slash.
func param(c *echo.Context, name string) string {
	v := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return v
	}
	plain, err := url.PathUnescape(v)
	if err != nil {
		return v
	}
	return plain
}
