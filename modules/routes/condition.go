package routes

import "github.com/miq/pixel/modules/event"

// CheckCondition says what is wrong with a condition, by its place.
func (x *Expressions) CheckCondition(expression string) error {
	_, err := x.get(expression, condition)
	return err
}

// Holds asks a condition of an event as a route does: where the event lacks what is asked
// about, it does not hold.
func (x *Expressions) Holds(expression string, e *event.Event) (bool, error) {
	holds, _, err := x.holds(expression, about(e))
	return holds, err
}
