package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func file(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheShippedFileNamesEverySettingWithItsDefault(t *testing.T) {
	got, err := Load(Sources{File: "../config.yaml", Named: true})
	if err != nil {
		t.Fatal(err)
	}
	want, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("config.yaml differs from the defaults:\n%+v\n%+v", got, want)
	}
	body, err := os.ReadFile("../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tree yaml.Node
	if err := yaml.Unmarshal(body, &tree); err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	leaves(tree.Content[0], "", named)
	for _, key := range Keys() {
		if !named[key] {
			t.Errorf("config.yaml omits %s", key)
		}
	}
}

func leaves(n *yaml.Node, path string, out map[string]bool) {
	if n.Kind != yaml.MappingNode {
		out[strings.TrimSuffix(path, ".")] = true
		return
	}
	for i := 0; i < len(n.Content); i += 2 {
		leaves(n.Content[i+1], path+n.Content[i].Value+".", out)
	}
}

func TestFlagsOverrideTheEnvironmentWhichOverridesTheFile(t *testing.T) {
	c, err := Load(Sources{
		File:    file(t, "role: collector\ndata_dir: /from/file\nlog:\n  level: warn\n"),
		Environ: []string{"PIXEL_DATA_DIR=/from/env", "PIXEL_LOG_LEVEL=error", "PIXEL_COLLECTOR_PRIORITIES_HIGH=purchase, lead", "HOME=/root"},
		Flags:   map[string]string{"log.level": "debug"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Role != "collector" || c.DataDir != "/from/env" || c.Log.Level != "debug" {
		t.Errorf("role %s, data_dir %s, log.level %s", c.Role, c.DataDir, c.Log.Level)
	}
	if want := []string{"purchase", "lead"}; !reflect.DeepEqual(c.Collector.Priorities.High, want) {
		t.Errorf("high = %v, want %v", c.Collector.Priorities.High, want)
	}
	if c.Archive.URL != "file:///from/env/archive" {
		t.Errorf("archive.url = %s", c.Archive.URL)
	}
}

func TestEveryProblemIsReportedAtOnceWithItsKey(t *testing.T) {
	_, err := Load(Sources{
		File: file(t, `
collector: {addres: ":80", max_body: many}
queue: {lease: soon}
log: {level: loud}
role: collector,boss
partners: {ttd: {endpoint: insight.adsrvr.org}}
redis: {url: "http://here"}
`),
		Environ: []string{"PIXEL_ADMIN_TOKENS=x", "PIXEL_OTEL_SAMPLE=2"},
		Flags:   map[string]string{"archive.url": "ftp://x", "queue.max_deliveries": "1000"},
	})
	var bad Invalid
	if !errors.As(err, &bad) {
		t.Fatalf("err = %v, want Invalid", err)
	}
	for _, want := range []string{
		"collector.addres: there is no such setting; did you mean collector.addr?",
		`collector.max_body: must be a whole number, not "many"`,
		`queue.lease: must be a duration such as 30s, 5m or 1h30m, not "soon"`,
		`log.level: must be one of debug, info, warn, error, not "loud"`,
		`role: must be all, or some of collector, worker, dispatcher, admin with commas between, not "boss"`,
		`partners.ttd.endpoint: must be an http(s) address, not "insight.adsrvr.org"`,
		"redis.url: must begin with redis://, rediss:// or unix://",
		"secret_key: is needed once redis.url is set",
		"PIXEL_ADMIN_TOKENS: no setting has this environment variable",
		"otel.sample: must be between 0 and 1",
		"archive.url: must begin with file://",
		"queue.max_deliveries: must be at most 255",
	} {
		if !strings.Contains(bad.Error(), want) {
			t.Errorf("no line says %q in:\n%s", want, bad.Error())
		}
	}
}

func TestWhatIsListenedOnAreAddressesEachAnother(t *testing.T) {
	for name, c := range map[string]struct {
		flags map[string]string
		want  string
	}{
		"no port":        {map[string]string{"admin.addr": "localhost"}, `admin.addr: must be host:port or :port, the port at most 65535, not "localhost"`},
		"no such port":   {map[string]string{"ops.addr": ":99999"}, `ops.addr: must be host:port or :port, the port at most 65535, not ":99999"`},
		"twice":          {map[string]string{"admin.addr": ":8080"}, `admin.addr: must be another address than collector.addr, which is ":8080" too`},
		"any free port":  {map[string]string{"admin.addr": ":0", "ops.addr": ":0"}, ""},
		"elsewhere":      {map[string]string{"admin.addr": ":8080", "role": "worker,admin"}, ""},
		"a name of ours": {map[string]string{"collector.addr": "localhost:http"}, ""},
	} {
		_, err := Load(Sources{Flags: c.flags})
		if got := fmt.Sprint(err); err != nil && got != c.want || err == nil && c.want != "" {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestAMissingFileMattersOnlyWhenItWasNamed(t *testing.T) {
	if _, err := Load(Sources{File: "nowhere.yaml"}); err != nil {
		t.Errorf("an unnamed file: %v", err)
	}
	if _, err := Load(Sources{File: "nowhere.yaml", Named: true}); err == nil {
		t.Error("a named file that is missing was no problem")
	}
}

func TestBrokenYAMLIsReported(t *testing.T) {
	if _, err := Load(Sources{File: file(t, "role: [")}); err == nil {
		t.Error("broken YAML was taken")
	}
}

func TestWhatKubernetesAddsForAServiceIsNotOurs(t *testing.T) {
	if _, err := Load(Sources{Environ: []string{"PIXEL_SERVICE_HOST=10.0.0.1", "PIXEL_PORT_8080_TCP=tcp://10.0.0.1:8080", "PIXEL_PORT=tcp://10.0.0.1:8080"}}); err != nil {
		t.Error(err)
	}
}

func TestAFifthPartnerNeedsNoSettingOfItsOwn(t *testing.T) {
	c, err := Load(Sources{Flags: map[string]string{"partners.acme.endpoint": "https://acme.example/v1"}})
	if err != nil || c.Partners["acme"].Endpoint != "https://acme.example/v1" {
		t.Errorf("%v, %+v", err, c.Partners)
	}
}

func TestPrintMasksSecretsAndCanBeReadAgain(t *testing.T) {
	c, err := Load(Sources{Flags: map[string]string{
		"secret_key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "admin.token": "topsecret", "redis.url": "redis://app:hunter2@redis:6379/0",
	}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"hunter2", "topsecret", "MDEyMzQ1"} {
		if strings.Contains(out.String(), s) {
			t.Errorf("%q is not masked in:\n%s", s, out.String())
		}
	}
	plain, _ := Load(Sources{})
	out.Reset()
	if err := plain.Print(&out); err != nil {
		t.Fatal(err)
	}
	again, err := Load(Sources{File: file(t, out.String()), Named: true})
	if err != nil || !reflect.DeepEqual(plain, again) {
		t.Errorf("what is printed does not read back: %v\n%s", err, out.String())
	}
}

func TestRolesAreInTheOrderTheyStart(t *testing.T) {
	for role, want := range map[string]string{"all": "collector worker dispatcher admin", "worker, collector": "collector worker", "admin": "admin"} {
		if got := strings.Join((Config{Role: role}).Roles(), " "); got != want {
			t.Errorf("%s: %s, want %s", role, got, want)
		}
	}
}

func TestShortDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Hour: "1h", 90 * time.Minute: "1h30m", 25 * time.Second: "25s", 168 * time.Hour: "168h", 10 * time.Minute: "10m"} {
		if got := shortDuration(d); got != want {
			t.Errorf("%v = %s, want %s", d, got, want)
		}
	}
}

func TestASecretMayStandInAFile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("from the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(Sources{Environ: []string{"PIXEL_ADMIN_TOKEN_FILE=" + secret}})
	if err != nil || c.Admin.Token != "from the file" {
		t.Errorf("admin.token = %q (%v)", c.Admin.Token, err)
	}
	_, err = Load(Sources{Environ: []string{"PIXEL_ADMIN_TOKEN_FILE=" + secret, "PIXEL_ADMIN_TOKEN=here", "PIXEL_SECRET_KEY_FILE=/nowhere", "PIXEL_NO_SUCH_FILE=x"}})
	for _, want := range []string{
		"admin.token: is set twice in the environment, by PIXEL_ADMIN_TOKEN and by PIXEL_ADMIN_TOKEN_FILE",
		"secret_key: PIXEL_SECRET_KEY_FILE: open /nowhere",
		"PIXEL_NO_SUCH_FILE: no setting has this environment variable",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q: %v", want, err)
		}
	}
}

func TestSingleSignOnIsSetAltogetherOrNotAtAll(t *testing.T) {
	good := `
admin:
  public_url: https://console.example.com
  oidc:
    issuer: https://login.example.com/realms/main
    client_id: pixel
    roles: ["cn=admins,dc=example=admin", media=marketer]
`
	c, err := Load(Sources{File: file(t, good), Named: true})
	if err != nil {
		t.Fatal(err)
	}
	if value, role, ok := c.Admin.OIDC.RoleOf(c.Admin.OIDC.Roles[0]); !ok || value != "cn=admins,dc=example" || role != "admin" {
		t.Errorf("read as %q %q %v", value, role, ok)
	}
	for _, c := range []struct{ was, is, key string }{
		{"issuer: https://login.example.com/realms/main", "issuer: ''", "admin.oidc.issuer"},
		{"https://login.example.com", "http://login.example.com", "admin.oidc.issuer"},
		{"public_url: https://console.example.com", "token: x", "admin.public_url"},
		{"client_id: pixel", "label: ''", "admin.oidc.client_id"},
		{"client_id: pixel", "client_id: pixel\n    label: ''", "admin.oidc.label"},
		{"client_id: pixel", "client_id: pixel\n    scopes: [email]", "admin.oidc.scopes"},
		{"client_id: pixel", "client_id: pixel\n    login_claim: ''", "admin.oidc.login_claim"},
		{"client_id: pixel", "client_id: pixel\n    role_claim: ''", "admin.oidc.role_claim"},
		{"media=marketer", "media=owner", "admin.oidc.roles"},
		{"media=marketer", "media", "admin.oidc.roles"},
	} {
		_, err := Load(Sources{File: file(t, strings.Replace(good, c.was, c.is, 1)), Named: true})
		if err == nil || !strings.Contains(err.Error(), c.key+": ") {
			t.Errorf("%q in place of %q: %v", c.is, c.was, err)
		}
	}
	if _, err := Load(Sources{File: file(t, strings.Replace(good, "https://login.example.com", "http://127.0.0.1:9000", 1)), Named: true}); err != nil {
		t.Errorf("a provider on the same machine: %v", err)
	}
}
