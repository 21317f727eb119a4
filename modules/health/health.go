// Package health says what must work before a process is ready.
package health

import "context"

// Check is one thing that a role depends on. Check returns nil while it works,
// and otherwise an error that an operator can act on.
type Check struct {
	Name  string
	Check func(context.Context) error
}

// Warning is an error of a check that leaves the process ready: something that an
// operator should mend, though it works.
type Warning string

func (w Warning) Error() string { return string(w) }
