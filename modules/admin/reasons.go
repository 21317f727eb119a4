package admin

import (
	"regexp"
	"strings"
)

// explained are causes of dead letters that need more words than their reason has.
var explained = []struct {
	reason *regexp.Regexp
	text   string
}{
	{regexp.MustCompile(`^delivered \d+ times without an end`), "A poison item: each time it was taken up, the process that held it died or stalled before it was done. It was tried alone in the end, so that nothing else suffers. Look at its payload for what is unusual and at the log of that time; replay it once the cause is gone."},
	{regexp.MustCompile(`^it cannot be processed|(?i)poison|panic`), "A poison item: a step of ours fails on it and on it alone, so it was set aside and everything around it went on. It is a fault of ours rather than the sender's; an update that mends it makes it replayable."},
	{regexp.MustCompile(`^origin_not_allowed`), "The page's site is not among the pixel's domains. Add it on the pixel's page if it is the advertiser's; it cannot be replayed, since nothing of the event was kept."},
	{regexp.MustCompile(`^schema`), "The event's properties are not as its schema demands. Edit it here and replay it, or change on the pixel's page what becomes of such events."},
	{regexp.MustCompile(`^invalid_order`), "What the event says of its order cannot be understood, and a guess would count wrong money. Edit it here and replay it."},
	{regexp.MustCompile(`^http_40[13]|(?i)credential|unauthor`), "The partner does not know who we are any more. Mend the credentials on the partner's page, send a test event, then replay."},
	{regexp.MustCompile(`(?i)too old|older than`), "The partner takes events of a certain age only, so a replay ends the same way."},
	{regexp.MustCompile(`(?i)unknown fate|nobody knows|ambiguous`), "The request left and no answer was written down: the partner may have counted it. Replay it only where a second count does less harm than none."},
}

// explain says more of a dead letter's reason, where there is more to say.
func explain(reason string) string {
	for _, x := range explained {
		if x.reason.MatchString(strings.TrimSpace(reason)) {
			return x.text
		}
	}
	return ""
}
