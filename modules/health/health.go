// Package health says what must work before a process is ready.
package health

import "context"

// Check is one thing that a role depends on. Check returns nil while it works,
// and otherwise an error that an operator can act on.
type Check struct {
	Name  string
	Check func(context.Context) error
}
