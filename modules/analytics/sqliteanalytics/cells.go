package sqliteanalytics

import "slices"

// cells are what the rows of a walk add to, by group and step. A part's groups are looked up
// once, and not for each row.
type cells[T any] struct {
	steps int
	names map[string]*strip[T]
	part  []*strip[T] // by the codes of the part at hand; nil: not looked up yet
}

func newCells[T any](steps int) *cells[T] {
	return &cells[T]{steps: max(1, steps), names: map[string]*strip[T]{}}
}

// begin turns to a part.
func (c *cells[T]) begin(t *taken) {
	n := max(1, len(t.texts))
	c.part = slices.Grow(c.part[:0], n)[:n]
	clear(c.part)
}

// of is the cell of a row in a step, until another is asked for.
func (c *cells[T]) of(t *taken, row, step int32) *T {
	code := 0
	if t.codes != nil {
		code = int(t.codes[row])
	}
	return c.cell(t, code, step)
}

// cell is that of a group of the part in a step, until another is asked for.
func (c *cells[T]) cell(t *taken, code int, step int32) *T {
	l := c.part[code]
	if l == nil {
		l = c.look(t, code)
	}
	if l.all != nil {
		return &l.all[step]
	}
	return l.at(step, c.steps)
}

func (c *cells[T]) look(t *taken, code int) *strip[T] {
	group := ""
	if t.codes != nil {
		group = t.texts[code]
	}
	l := c.names[group]
	if l == nil {
		l = &strip[T]{}
		c.names[group] = l
	}
	c.part[code] = l
	return l
}

// each calls f with every cell that was asked for, and perhaps others.
func (c *cells[T]) each(f func(figure, *T)) {
	for group, l := range c.names {
		for step := range l.all {
			f(figure{step, group}, &l.all[step])
		}
		for i := range l.some {
			f(figure{int(l.some[i].step), group}, &l.some[i].what)
		}
	}
}

// strip is a group's cells: all steps where it has many, and else those that it has. Groups may
// be as many as events, since visitors name them (an address is one), and few of those have
// more than a step.
type strip[T any] struct {
	all  []T
	some []spot[T]
}

type spot[T any] struct {
	step int32
	what T
}

// fewSteps are so few that a strip need not leave any out.
const fewSteps = 16

func (l *strip[T]) at(step int32, steps int) *T {
	// Rows come in the order of time, nearly.
	for i := len(l.some) - 1; i >= 0; i-- {
		if l.some[i].step == step {
			return &l.some[i].what
		}
	}
	if steps <= fewSteps || len(l.some) >= max(fewSteps, steps/8) {
		l.all = make([]T, steps)
		for _, s := range l.some {
			l.all[s.step] = s.what
		}
		l.some = nil
		return &l.all[step]
	}
	l.some = append(l.some, spot[T]{step: step})
	return &l.some[len(l.some)-1].what
}
