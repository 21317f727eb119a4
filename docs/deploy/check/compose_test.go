// Package check validates what docs/deploy has for Docker Compose and Kubernetes, by the
// code that their own tools are made of: what `docker compose config` loads and checks a
// file with, what `kubectl kustomize` renders with, and Kubernetes' own types, into which
// everything rendered must decode without an unknown field. It is a module of its own so
// that none of that is a dependency of the product. Run it with `go test .` here.
package check

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// load is `docker compose config` with all profiles.
func load(t *testing.T, path string, environment ...string) (*types.Project, error) {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{path}, cli.WithProfiles([]string{"*"}), cli.WithEnv(environment), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	return o.LoadProject(context.Background())
}

func TestComposeTakesItsFile(t *testing.T) {
	p, err := load(t, "../compose/compose.yaml", "PIXEL_TAG=1.2.3", "COMMIT=abc")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.MarshalYAML(); err != nil {
		t.Error(err)
	}
	names := p.ServiceNames()
	for _, want := range []string{"collector-1", "collector-2", "worker", "redis", "s3", "migrate", "clickhouse", "haproxy", "prometheus", "alertmanager", "grafana", "jaeger"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no service %s among %v", want, names)
		}
	}
	if after, ok := p.Services["worker"].DependsOn["migrate"]; !ok || after.Condition != types.ServiceConditionCompletedSuccessfully || after.Required {
		t.Errorf("the worker does not wait for the migration where there is one: %+v", after)
	}
	for _, s := range p.Services {
		if strings.HasPrefix(s.Image, "pixel:") && s.Image != "pixel:1.2.3" {
			t.Errorf("%s is of the image %s: PIXEL_TAG was not taken", s.Name, s.Image)
		}
		if s.Build != nil {
			if _, err := os.Stat(filepath.Join(s.Build.Context, "Dockerfile")); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil && filepath.Base(v.Source) != "pagerduty-key" { // it is the operator's
				t.Errorf("%s: %v", s.Name, err)
			}
		}
	}
}

// The check must be one that can fail.
func TestComposeRefusesWhatIsWrong(t *testing.T) {
	good, err := os.ReadFile("../compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][2]string{
		"an unknown key":                 {"restart: unless-stopped", "restarts: unless-stopped"},
		"a dependency that is not there": {"redis: {condition: service_healthy}", "rediss: {condition: service_healthy}"},
		"a volume that is not there":     {"volumes: [\"redis:/data\"]", "volumes: [\"redos:/data\"]"},
		"a secret that is not there":     {"secrets: [secret_key, admin_token]", "secrets: [secret_key, other_token]"},
	} {
		bad := strings.Replace(string(good), c[0], c[1], 1)
		if bad == string(good) {
			t.Errorf("%s: the file has no %q any more", name, c[0])
			continue
		}
		path := filepath.Join(t.TempDir(), "compose.yaml")
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := load(t, path); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
