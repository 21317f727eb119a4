package main

import "fmt"

// cost is what an event costs, in microseconds, and what is done for it.
type cost struct {
	worker, redis                          float64
	found, missed, written, commands, i, o float64
	key                                    float64 // nanoseconds of Redis to read one key of a visitor
}

func (c cost) all() float64     { return c.worker + c.redis }
func (c cost) touched() float64 { return c.found + c.missed + c.written }

// medianCost is the median of each.
func medianCost(list []cost) (c cost) {
	of := func(field func(*cost) *float64) {
		all := make([]float64, len(list))
		for i := range list {
			all[i] = *field(&list[i])
		}
		*field(&c) = median(all)
	}
	of(func(c *cost) *float64 { return &c.worker })
	of(func(c *cost) *float64 { return &c.redis })
	of(func(c *cost) *float64 { return &c.found })
	of(func(c *cost) *float64 { return &c.missed })
	of(func(c *cost) *float64 { return &c.written })
	of(func(c *cost) *float64 { return &c.commands })
	of(func(c *cost) *float64 { return &c.i })
	of(func(c *cost) *float64 { return &c.o })
	of(func(c *cost) *float64 { return &c.key })
	return c
}

func printCost(who string, list []cost) {
	c := medianCost(list)
	fmt.Printf("%20s %14.1f %10.1f %10.1f %12.2f %12.2f %12.2f %12.2f %12.0f %12.0f %12.0f\n", who, c.all(), c.worker, c.redis, c.found, c.missed, c.written, c.commands, c.i, c.o, c.key)
}
