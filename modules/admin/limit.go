package admin

import (
	"context"
	"strconv"
	"time"

	"github.com/miq/pixel/modules/state"
)

// How often somebody may fail to sign in.
const (
	window        = 15 * time.Minute
	triesPerUser  = 5  // from one address, under one name
	triesPerPlace = 30 // from one address, under any name
)

// limiter counts tries to sign in, on all replicas together.
type limiter struct{ keys state.Keys }

func tryKeys(addr, login string) (perUser, perPlace string) {
	return "admin:try:" + digest(addr+"\n"+normalLogin(login)), "admin:try:" + digest(addr)
}

// admit counts a try before it is made, so that many at once gain nothing, and
// reports whether it may be made.
func (l limiter) admit(ctx context.Context, addr, login string) (bool, error) {
	perUser, perPlace := tryKeys(addr, login)
	a, err := l.count(ctx, perUser)
	if err != nil {
		return false, err
	}
	b, err := l.count(ctx, perPlace)
	return a <= triesPerUser && b <= triesPerPlace, err
}

// forget takes a success as proof that the tries before it were honest.
func (l limiter) forget(ctx context.Context, addr, login string) error {
	perUser, _ := tryKeys(addr, login)
	return l.keys.Delete(ctx, perUser)
}

func (l limiter) count(ctx context.Context, key string) (int, error) {
	for {
		values, err := l.keys.Get(ctx, key)
		if err != nil {
			return 0, err
		}
		n, _ := strconv.Atoi(string(values[0]))
		n++
		ok, err := l.keys.Swap(ctx, values[0], state.Entry{Key: key, Value: strconv.AppendInt(nil, int64(n), 10), TTL: window})
		if err != nil || ok {
			return n, err
		}
	}
}
