package ledger

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/queue"
)

// History keeps the queues' counts for longer than the queues do; analytics.Store does.
type History = analytics.LedgerHistory

const (
	// fileEvery is how often what changed lately is brought to the history, and
	// fileAllEvery the rest, which changes rarely.
	fileEvery    = time.Minute
	fileAllEvery = time.Hour
	// fileAtOnce bounds the hours that are compared with the history at once, and
	// fileRows what is written at once.
	fileAtOnce = 24
	fileRows   = 10_000
)

// filed is what of the books the history is known to have.
type filed struct {
	seed  maphash.Seed
	hours map[int32]uint64 // each hour's counts, by a digest
	at    time.Time
	allAt time.Time
}

func (f *filed) digest(counts []queue.Count) uint64 {
	var h maphash.Hash
	h.SetSeed(f.seed)
	for _, c := range counts {
		maphash.WriteComparable(&h, c)
	}
	return h.Sum64()
}

// File brings to the history what it does not say yet of the queues' books. Several
// may, at once and again: of each count what was read last stands.
func (k *Keeper) File(ctx context.Context) error {
	now := k.now()
	f := &k.filed
	if k.history == nil || now.Sub(f.at) < fileEvery {
		return nil
	}
	if f.hours == nil {
		f.seed, f.hours = maphash.MakeSeed(), map[int32]uint64{}
	}
	since, all := queue.Hour(now.Add(-Window)), now.Sub(f.allAt) >= fileAllEvery
	if all {
		since = queue.Hour(now.Add(-kept))
		for hour := range f.hours {
			if hour < since {
				delete(f.hours, hour)
			}
		}
	}
	counts, err := k.books.Counts(ctx, since, queue.Hour(now)+2)
	if err != nil {
		return err
	}
	by := byHour(counts)
	var changed []int32
	for hour, list := range by {
		if was, there := f.hours[hour]; !there || was != f.digest(list) {
			changed = append(changed, hour)
		}
	}
	slices.Sort(changed)
	for len(changed) > 0 {
		n := 1
		for n < len(changed) && changed[n]-changed[0] < fileAtOnce {
			n++
		}
		if err := k.fileHours(ctx, now, by, changed[:n]); err != nil {
			return err
		}
		changed = changed[n:]
	}
	if f.at = now; all {
		f.allAt = now
	}
	return nil
}

// fileHours writes what differs of some hours, which are in order and near one another.
func (k *Keeper) fileHours(ctx context.Context, read time.Time, by map[int32][]queue.Count, hours []int32) error {
	there, err := k.history.Counts(ctx, timeOf(hours[0]), timeOf(hours[len(hours)-1]+1))
	if err != nil {
		return fmt.Errorf("read the ledger's history: %w", err)
	}
	is := make(map[analytics.Counted]int64, len(there))
	for _, c := range there {
		n := c.N
		c.N = 0
		is[c] = n
	}
	var news []analytics.Counted
	for _, hour := range hours {
		for _, c := range by[hour] {
			of := analytics.Counted{Queue: c.Queue, PixelID: c.Account.Pixel, Hour: timeOf(hour), Stage: c.Stage}
			if n, known := is[of]; !known || n != c.N {
				of.N = c.N
				news = append(news, of)
			}
		}
	}
	for chunk := range slices.Chunk(news, fileRows) {
		if err := k.history.WriteCounts(ctx, read, chunk...); err != nil {
			return fmt.Errorf("write the ledger's history: %w", err)
		}
	}
	for _, hour := range hours {
		k.filed.hours[hour] = k.filed.digest(by[hour])
	}
	return nil
}

func timeOf(hour int32) time.Time { return queue.Account{Hour: hour}.Time() }

// historic are the history's counts of the hours that the queues have none of any more.
func (k *Keeper) historic(ctx context.Context, since, until int32, known []queue.Count) (out []queue.Count, err error) {
	if k.history == nil || since >= until {
		return nil, nil
	}
	have := byHour(known)
	if len(have) == int(until-since) {
		return nil, nil
	}
	counts, err := k.history.Counts(ctx, timeOf(since), timeOf(until))
	if err != nil {
		return nil, fmt.Errorf("read the ledger's history: %w", err)
	}
	for _, c := range counts {
		a := queue.AccountOf(c.PixelID, c.Hour)
		if _, there := have[a.Hour]; !there {
			out = append(out, queue.Count{Account: a, Queue: c.Queue, Stage: c.Stage, N: c.N})
		}
	}
	return out, nil
}

// Books are those of the hours that since to until touch. What the queues no longer
// know is as the history has it.
func (k *Keeper) Books(ctx context.Context, since, until time.Time) ([]Book, error) {
	from, to := queue.Hour(since), queue.Hour(until.Add(time.Hour-1))
	counts, err := k.books.Counts(ctx, from, to)
	if err != nil {
		return nil, err
	}
	old, err := k.historic(ctx, from, to, counts)
	if err != nil {
		return nil, err
	}
	return Books(append(old, counts...)), nil
}

// Read makes a report of some hours for people, with books and what does not
// balance among them. What is stored is not recounted for it: that is what the keeper does
// in the background, whatever people look at. What comes from the history is not compared again: it was while
// the queues knew it, and events may have been kept long enough since.
func (k *Keeper) Read(ctx context.Context, since, until time.Time) ([]Book, []Difference, error) {
	from, to := queue.Hour(since), queue.Hour(until.Add(time.Hour-1))
	r := Reading{}
	var err error
	if r.Before, err = k.books.Counts(ctx, from, to); err != nil {
		return nil, nil, err
	}
	old, err := k.historic(ctx, from, to, r.Before)
	if err != nil {
		return nil, nil, err
	}
	if r.Tallies, err = k.tallier.Stored(ctx, timeOf(from), timeOf(to)); err != nil {
		return nil, nil, err
	}
	if r.Tallies == nil {
		r.Tallies = []analytics.Tally{}
	}
	past := map[int32]bool{}
	for _, c := range old {
		past[c.Account.Hour] = true
	}
	r.skip = func(hour int32) bool { return past[hour] }
	if r.After, err = k.books.Counts(ctx, from, to); err != nil {
		return nil, nil, err
	}
	return Books(append(old, r.After...)), r.Check(), nil
}
