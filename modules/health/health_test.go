package health_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/miq/pixel/modules/health"
)

func TestWhatCanBeSparedWarnsHoweverItFails(t *testing.T) {
	for name, check := range map[string]func(context.Context) error{
		"connection refused":    func(context.Context) error { return errors.New("connection refused") },
		"panic: a bug of a day": func(context.Context) error { panic("a bug of a day") },
	} {
		for _, spared := range []bool{false, true} {
			err := health.Check{Check: check, Spared: spared}.Run(t.Context())
			if err == nil || err.Error() != name {
				t.Errorf("got %v, want %s", err, name)
			}
			if errors.As(err, new(health.Warning)) != spared {
				t.Errorf("spared %v: %T", spared, err)
			}
		}
	}
}

func TestADoorIsOpenWhileWhatIsBehindTheQueuesIsAway(t *testing.T) {
	away := func(context.Context) error { return errors.New("away") }
	all := []health.Check{{Name: "queue", Check: away}, {Name: "archive", Check: away, Behind: true}}
	for i, c := range health.Door(all) {
		if warns := errors.As(c.Run(t.Context()), new(health.Warning)); warns != c.Behind {
			t.Errorf("at the door %s: a warning alone is %v", c.Name, warns)
		}
		if errors.As(all[i].Run(t.Context()), new(health.Warning)) {
			t.Errorf("elsewhere %s is a warning alone", c.Name)
		}
	}
}

func TestACheckThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		defer close(end)
		hangs := health.Check{Check: func(context.Context) error { <-end; return nil }}
		for _, spared := range []bool{false, true} {
			hangs.Spared = spared
			err := hangs.Run(t.Context())
			if err == nil || err.Error() != "no answer within 2s" || errors.As(err, new(health.Warning)) != spared {
				t.Errorf("spared %v: got %T %v", spared, err, err)
			}
		}
	})
}
