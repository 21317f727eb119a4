package consent

import (
	"slices"

	"github.com/miq/pixel/modules/event"
)

// InOrder puts a visitor's receipts into the order of their chain, whatever order a
// store gave them in: a withdrawal that was heard of late is older than the receipt
// before it. What follows nothing is left where its time puts it, for Check to find.
func InOrder(receipts []event.ConsentReceipt) []event.ConsentReceipt {
	left := slices.Clone(receipts)
	slices.SortStableFunc(left, func(a, b event.ConsentReceipt) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return a.Seq - b.Seq
	})
	after := make(map[string]int, len(left)) // by Prev
	for i := len(left) - 1; i >= 0; i-- {
		if left[i].Prev != "" {
			after[left[i].Prev] = i
		}
	}
	out := make([]event.ConsentReceipt, 0, len(left))
	used := make([]bool, len(left))
	follow := func(i int) {
		for ok := true; ok && !used[i]; i, ok = after[left[i].Hash] {
			used[i] = true
			out = append(out, left[i])
		}
	}
	for i := range left {
		if left[i].Prev == "" {
			follow(i)
		}
	}
	for i := range left {
		follow(i)
	}
	return out
}
