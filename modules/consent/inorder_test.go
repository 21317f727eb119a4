package consent

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/miq/pixel/modules/event"
)

func TestReceiptsComeInTheOrderOfTheirChain(t *testing.T) {
	m := new(memory)
	// The withdrawal of minute 2 is heard of after the consent of minute 3.
	list := chain(t, m, by("e1", change(event.Full, 1)), by("e3", change(event.Partial, 3)), by("e2", change(event.None, 2)), by("e4", change(event.Full, 4)))
	shuffled := slices.Clone(list)
	slices.Reverse(shuffled)
	slices.SortStableFunc(shuffled, func(a, b event.ConsentReceipt) int { return a.At.Compare(b.At) })
	got := InOrder(shuffled)
	assert.Equal(t, list, got)
	problems, chains := bookOf(m).Check(got, newest(t, m))
	assert.Empty(t, problems)
	assert.Equal(t, 1, chains)
	assert.Len(t, InOrder(append(shuffled[:1], shuffled[2:]...)), len(list)-1, "none is lost where the chain is broken")
}
