package redisclient

import (
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// notNow are answers of a Redis that takes no commands, or no writes, for now.
var notNow = []string{"OOM ", "READONLY ", "LOADING ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "MISCONF ", "NOREPLICAS ", "MOVED ", "ASK ", "BUSY "}

// Unavailable reports an error that says that Redis cannot be reached, or does nothing for us
// for now: neither what was asked nor who asked it is to blame, and it may pass. One that knows
// another password or fewer rights, or has clients enough, is put right by somebody.
func Unavailable(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) {
		return false
	}
	var reply redis.Error
	var network net.Error
	if !errors.As(err, &reply) || errors.As(err, &network) || redis.IsAuthError(err) || redis.IsPermissionError(err) || redis.IsMaxClientsError(err) {
		return true
	}
	// An error of a command in a script bears its name in front.
	return slices.ContainsFunc(notNow, func(prefix string) bool { return strings.HasPrefix(reply.Error(), prefix) })
}
