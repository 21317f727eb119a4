package collector

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/httpserver"
)

// overloaded is what an event is told that was turned away under pressure. It is
// the one code among those of rejected events that asks to send it again.
var overloaded = event.Fault{Code: "overloaded", Message: "too much waits to be processed; send it again after the time in Retry-After"}

// turnAway answers a request of which no event is admitted now.
func (c *Collector) turnAway() error {
	return &httpserver.Problem{
		Status: http.StatusServiceUnavailable, Code: overloaded.Code, RetryAfter: c.pressure.RetryAfter(),
		Detail: "too much waits to be processed; send it again later",
	}
}

// seconds is a time for the Retry-After header.
func seconds(d time.Duration) string { return strconv.Itoa(int(math.Ceil(d.Seconds()))) }
