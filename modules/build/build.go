// Package build says which build of the product runs: for `pixel version`, and
// for the metrics, by which a replica that was left behind is seen.
package build

import (
	"runtime/debug"

	"github.com/miq/pixel/sdk"
)

// commit is set by the linker (-X), where the build cannot see the repository.
var commit string

// Version is the product's, which is the tag's too.
const Version = sdk.Version

// Commit is the revision that was built: twelve digits, "-dirty" where files were
// changed, "unknown" where the build did not know.
func Commit() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	rev, dirty := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			rev = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	return rev + dirty
}
