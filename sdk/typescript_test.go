package sdk_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestTypeScript bundles the unit tests with esbuild and runs them with Node.
func TestTypeScript(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIPPED: no node on PATH, so the TypeScript unit tests do not run")
	}
	tests, err := filepath.Glob("test/*.test.ts")
	if err != nil || len(tests) == 0 {
		t.Fatalf("no tests found: %v", err)
	}
	dir := t.TempDir()
	bundle := append([]string{
		"tool", "esbuild", "--bundle", "--platform=node", "--format=esm", "--log-level=warning",
		`--define:VERSION="test"`, "--outdir=" + dir, "--out-extension:.js=.mjs",
	}, tests...)
	if out, err := exec.Command("go", bundle...).CombinedOutput(); err != nil {
		t.Fatalf("bundle: %v\n%s", err, out)
	}
	built, err := filepath.Glob(filepath.Join(dir, "*.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(node, append([]string{"--test", "--test-reporter=spec"}, built...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestTypes checks the types with the compiler that package-lock.json names.
func TestTypes(t *testing.T) {
	tsc, err := exec.LookPath("node_modules/.bin/tsc")
	if err != nil {
		t.Skip("SKIPPED: no TypeScript here, so types are not checked: npm ci --prefix sdk")
	}
	if out, err := exec.Command(tsc, "--noEmit").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
