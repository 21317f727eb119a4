package app

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/miq/pixel/"

// heights hold the import rule: a package may import only what is lower. A
// folder's height holds for what is below it unless that has its own.
var heights = map[string]int{
	"modules/event": 0, "config": 0, "migrations": 0, "web": 0, "sdk": 0,

	// Ports.
	"modules/health": 1, "modules/queue": 1, "modules/state": 1, "modules/analytics": 1, "modules/archive": 1, "modules/partner": 1,

	"modules/secret": 1, "modules/geo": 1, "modules/build": 1, "modules/exemplar": 1, "modules/sampling": 1, "modules/stopwatch": 1, "modules/direct": 1,

	// What has one decision or one service to give.
	"modules/sqlitedb": 2, "modules/consent": 2, "modules/identity": 2, "modules/enrich": 2, "modules/session": 2, "modules/schema": 2, "modules/httpserver": 2, "modules/ledger": 2, "modules/sandbox": 2, "modules/demo": 2, "modules/redistest": 2, "modules/freeaddr": 0, "modules/crossing": 0, "modules/contracttest": 2, "modules/clickhousetest": 2, "modules/s3test": 2, "modules/backup": 2, "modules/redisclient": 2, "modules/edge": 2,
	"modules/pressure": 2, "modules/spill": 2, "modules/slots": 2, "modules/atrisk": 2, "modules/fields": 2, "modules/watch": 2,
	"modules/lease":     2,
	"modules/ratelimit": 3, "modules/ratelimit/": 6,
	"modules/settings": 3, "modules/purge": 3,
	"modules/archive/lake": 4, "modules/archive/logbook": 4,
	"modules/erasure":  4,
	"modules/simulate": 4,
	"modules/routes":   4, "modules/attribution": 4, "modules/delivery": 4, "modules/lanestatus": 4, "modules/deadletters": 4,

	// What puts several of those to work.
	"modules/backfill": 5,

	// Backends, adapters and roles; none knows another.
	"modules/queue/": 6, "modules/state/": 6, "modules/analytics/": 6, "modules/archive/": 6, "modules/partner/": 6,
	"modules/collector": 6, "modules/worker": 6, "modules/dispatcher": 6, "modules/admin": 6, "modules/ops": 6,

	"modules/app": 7,
	"modules/cli": 8,
	"":            9, // main
	"bench":       9,
}

func height(pkg string) (int, bool) {
	path := strings.TrimPrefix(pkg, strings.TrimSuffix(module, "/"))
	path = strings.TrimPrefix(path, "/")
	if h, ok := heights[path]; ok {
		return h, true
	}
	for folder := path; strings.Contains(folder, "/"); {
		folder = folder[:strings.LastIndex(folder, "/")]
		if h, ok := heights[folder+"/"]; ok {
			return h, true
		}
		if h, ok := heights[folder]; ok {
			return h, true
		}
	}
	return 0, false
}

// ports may not pull in what belongs to a backend or to the wiring.
var forbiddenInPorts = []string{"modernc.org/", "github.com/redis/", "github.com/labstack/", "go.uber.org/fx", "database/sql"}

func TestImportsOnlyPointDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}:{{join .Imports " "}}`, module+"...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	packages := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(packages) < 20 {
		t.Fatalf("go list found only %d packages", len(packages))
	}
	for _, line := range packages {
		pkg, imports, _ := strings.Cut(line, ":")
		own, ok := height(pkg)
		if !ok {
			t.Errorf("%s has no height: add it to the table where it belongs", pkg)
			continue
		}
		for _, imp := range strings.Fields(imports) {
			if own <= 1 {
				for _, bad := range forbiddenInPorts {
					if strings.HasPrefix(imp, bad) && !strings.HasSuffix(pkg, "/migrations") {
						t.Errorf("%s imports %s: ports and the vocabulary know no driver, no echo and no fx", pkg, imp)
					}
				}
			}
			if !strings.HasPrefix(imp, module) {
				continue
			}
			if strings.HasSuffix(imp, "test") {
				t.Errorf("%s imports %s: test suites are for tests alone", pkg, imp)
			}
			if h, _ := height(imp); h >= own {
				t.Errorf("%s (height %d) imports %s (height %d): imports only point down", pkg, own, imp, h)
			}
		}
	}
}
