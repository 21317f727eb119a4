package config

import "time"

// Spill is the collector's own disk, for when the Redis at redis.url is away.
type Spill struct {
	MaxBytes int64         `koanf:"max_bytes"` // 0: nothing is spilled
	Timeout  time.Duration `koanf:"timeout"`   // of a push, before it goes to the disk
}

// Spills reports whether this process keeps events on its disk while Redis is
// away.
func (c Config) Spills() bool {
	if c.Embedded() || c.Spill.MaxBytes == 0 {
		return false
	}
	for _, r := range c.Roles() {
		if r == "collector" {
			return true
		}
	}
	return false
}

func (s Spill) check(bad *Invalid) {
	const least = 1 << 20
	if s.MaxBytes != 0 && s.MaxBytes < least {
		bad.add("spill.max_bytes", "must be at least %d, or 0 to spill nothing", least)
	}
	if s.Timeout <= 0 {
		bad.add("spill.timeout", "must be longer than nothing, such as 1s")
	}
}
