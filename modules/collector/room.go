package collector

import "sync/atomic"

// room bounds the bytes of requests that are being worked on.
type room struct {
	limit int64
	used  atomic.Int64
}

// take reserves n bytes, or says that there is no room for them.
func (r *room) take(n int64) bool {
	if r.used.Add(n) > r.limit {
		r.used.Add(-n)
		return false
	}
	return true
}

func (r *room) give(n int64) { r.used.Add(-n) }
