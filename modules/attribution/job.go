package attribution

import (
	"context"
	"fmt"
	"time"

	"github.com/miq/pixel/modules/analytics"
	"github.com/miq/pixel/modules/event"
)

// Window is how far back the data-driven models look for paths, and whose conversions
// they give anew.
const Window = 30 * 24 * time.Hour

// Job gives what needs all paths at once: Markov and Shapley. It is bounded in memory,
// by analytics.MaxPaths and a page of conversions, and ends with its context; begun
// again, it gives the same.
type Job struct {
	Reader analytics.CreditReader
	Writer analytics.CreditWriter
}

// Result is what a run found for one pixel.
type Result struct {
	PixelID     string          `json:"pixel_id"`
	Conversions int             `json:"conversions"` // that were given
	Channels    []ChannelResult `json:"channels"`    // the greatest removal effect first
}

// ChannelResult is what the models say of one channel as a whole.
type ChannelResult struct {
	Channel string `json:"channel"`
	// RemovalEffect is which part of the conversions would be lost without it.
	RemovalEffect float64 `json:"removal_effect"`
	// Shapley is its value, in conversions.
	Shapley float64 `json:"shapley"`
}

// Run gives one pixel's conversions up to a time.
//
// A conversion is shared among the channels of its own path: by Markov in the ratio of
// their removal effects, by Shapley equally, which is what Shapley's value comes to when
// conversion by conversion is added up. Channels that occur several times share
// their part among their touchpoints.
func (j *Job) Run(ctx context.Context, pixelID string, now time.Time) (Result, error) {
	since := now.Add(-Window)
	paths, err := j.Reader.Paths(ctx, analytics.PathQuery{PixelID: pixelID, Since: since, Until: now, Limit: analytics.MaxPaths})
	if err != nil {
		return Result{}, fmt.Errorf("read the paths of %s: %w", pixelID, err)
	}
	effects, values := RemovalEffects(paths), ShapleyValues(paths)
	out := Result{PixelID: pixelID, Channels: []ChannelResult{}}
	for _, c := range sortedChannels(effects) {
		out.Channels = append(out.Channels, ChannelResult{c, effects[c], values[c]})
	}
	f := analytics.CreditFilter{PixelID: pixelID, Model: analytics.PathModel, Since: since, Until: now, Limit: 500}
	for {
		page, err := j.Reader.Credits(ctx, f)
		if err != nil {
			return out, fmt.Errorf("read the conversions of %s: %w", pixelID, err)
		}
		sets := make([]event.Credits, 0, 2*len(page.Credits))
		for i := range page.Credits {
			steps := make([]string, len(page.Credits[i].Shares))
			for k := range steps {
				steps[k] = page.Credits[i].Shares[k].Channel
			}
			sets = append(sets, driven(&page.Credits[i], Markov, weighDriven(steps, effects), now), driven(&page.Credits[i], Shapley, weighDriven(steps, equally(steps)), now))
		}
		if err := j.Writer.WriteCredits(ctx, sets...); err != nil {
			return out, fmt.Errorf("write the credits of %s: %w", pixelID, err)
		}
		out.Conversions += len(page.Credits)
		if f.Cursor = page.Next; f.Cursor == "" {
			return out, nil
		}
	}
}

// driven is a set of another model over the same touchpoints. Its version is the time
// of the run: the later one counts.
func driven(c *event.Credits, model string, weights []float64, now time.Time) event.Credits {
	out := *c
	out.Model, out.Version = model, now.UnixMicro()
	path := make([]Touch, len(c.Shares))
	for i := range c.Shares {
		path[i] = Touch{Touchpoint: c.Shares[i].Touchpoint}
	}
	out.Shares = Shares(path, Split(event.Whole, weights), c.Value, c.Refunded)
	return out
}
