package ops

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/miq/pixel/config"
)

const deploy = "../../docs/deploy/"

var variable = regexp.MustCompile(`\bPIXEL_[A-Z0-9_]+`)

// TestEverySettingInTheDeployFilesExists reads each PIXEL_… of docs/deploy: one
// that is misspelt stops the start.
func TestEverySettingInTheDeployFilesExists(t *testing.T) {
	known := map[string]bool{"PIXEL_TAG": true} // Compose's own, the image's tag
	for _, key := range config.Keys() {
		known[config.EnvName(key)] = true
	}
	found := 0
	err := filepath.WalkDir(deploy, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, name := range variable.FindAllString(string(body), -1) {
			found++
			if !known[strings.TrimSuffix(name, "_FILE")] {
				t.Errorf("%s: no setting has the variable %s", path, name)
			}
		}
		return nil
	})
	if err != nil || found < 20 {
		t.Fatalf("%d variables (%v)", found, err)
	}
}

func TestComposeNamesWhatIsThere(t *testing.T) {
	var doc struct {
		Services map[string]struct {
			Image    string   `yaml:"image"`
			ReadOnly bool     `yaml:"read_only"`
			User     string   `yaml:"user"`
			Volumes  []string `yaml:"volumes"`
			Ports    []string `yaml:"ports"`
			Secrets  []string `yaml:"secrets"`
		} `yaml:"services"`
		Secrets, Volumes map[string]any
	}
	decode(t, deploy+"compose/compose.yaml", &doc)
	ours := 0
	for name, s := range doc.Services {
		_, tag, _ := strings.Cut(s.Image, ":")
		if tag == "" || tag == "latest" {
			t.Errorf("%s: the image %q has no version", name, s.Image)
		}
		if strings.HasPrefix(s.Image, "pixel:") {
			ours++
			if !s.ReadOnly || s.User != "65532:65532" {
				t.Errorf("%s runs as %q, read-only %v", name, s.User, s.ReadOnly)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if !strings.HasPrefix(from, ".") {
				if _, ok := doc.Volumes[from]; !ok {
					t.Errorf("%s: there is no volume %s", name, from)
				}
			} else if _, err := os.Stat(deploy + "compose/" + from); err != nil && from != "./pagerduty-key" {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to the network", name, p)
			}
		}
		for _, x := range s.Secrets {
			if _, ok := doc.Secrets[x]; !ok {
				t.Errorf("%s: there is no secret %s", name, x)
			}
		}
	}
	if ours != 4 {
		t.Errorf("%d services are ours", ours)
	}
}

// TestEveryPodIsProbedAndConfined looks at the workloads as they are written; the
// renderer, where it is installed, at what comes of them.
func TestEveryPodIsProbedAndConfined(t *testing.T) {
	files, _ := filepath.Glob(deploy + "kubernetes/*/*.yaml")
	pods := 0
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for d := yaml.NewDecoder(f); ; {
			var doc struct {
				Kind string `yaml:"kind"`
				Spec struct {
					Template struct {
						Spec struct {
							Grace    int            `yaml:"terminationGracePeriodSeconds"`
							Security map[string]any `yaml:"securityContext"`
							Pods     []struct {
								Startup   map[string]any `yaml:"startupProbe"`
								Ready     map[string]any `yaml:"readinessProbe"`
								Live      map[string]any `yaml:"livenessProbe"`
								Resources map[string]any `yaml:"resources"`
								Security  map[string]any `yaml:"securityContext"`
							} `yaml:"containers"`
						} `yaml:"spec"`
					} `yaml:"template"`
				} `yaml:"spec"`
			}
			if d.Decode(&doc) != nil {
				break
			}
			if doc.Kind != "Deployment" && doc.Kind != "StatefulSet" {
				continue
			}
			s := doc.Spec.Template.Spec
			for _, c := range s.Pods {
				pods++
				if c.Startup == nil || c.Ready == nil || c.Live == nil || c.Resources == nil {
					t.Errorf("%s: a container without probes or bounds", path)
				}
				if s.Security["runAsNonRoot"] != true || c.Security["readOnlyRootFilesystem"] != true || c.Security["allowPrivilegeEscalation"] != false {
					t.Errorf("%s: a container is not confined", path)
				}
			}
			if s.Grace < 35 {
				t.Errorf("%s: %d s to stop", path, s.Grace)
			}
		}
		f.Close()
	}
	if pods != 5 {
		t.Errorf("%d pods", pods)
	}
}

func TestTheToolsTakeTheDeployFiles(t *testing.T) {
	unit := filepath.Join(t.TempDir(), "pixel.service")
	body, err := os.ReadFile(deploy + "systemd/pixel.service")
	if err != nil {
		t.Fatal(err)
	}
	// It is asked whether the program is there.
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(body), "ExecStart=/usr/local/bin/pixel", "ExecStart=/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"haproxy", "-c", "-f", "haproxy/haproxy.cfg"},
		{"systemd-analyze", "verify", unit},
		{"kubectl", "kustomize", "kubernetes/base"},
		{"kubectl", "kustomize", "kubernetes/split"},
	} {
		t.Run(args[0]+" "+filepath.Base(args[len(args)-1]), func(t *testing.T) {
			if _, err := exec.LookPath(args[0]); err != nil {
				t.Skipf("%s is not installed", args[0])
			}
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Dir = deploy
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
