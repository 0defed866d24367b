// Package harness starts and ends the programs of the end-to-end tests: the
// server under test and the real clients, each with a home folder of its own, a
// deadline, and its output in a file that a failing test shows.
package harness

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// WorkVariable names the folder that install.sh fills.
const WorkVariable = "E2E_WORK"

// CaddyVariable names a binary to test instead of the one that is built.
const CaddyVariable = "E2E_CADDY"

// Repository returns the root of the checkout. Tests run somewhere below it.
func Repository() (string, error) {
	dir, err := filepath.Abs(".")
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "e2e", "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("finding the root of the checkout: no folder above holds e2e/go.mod")
		}
		dir = up
	}
}

// Work returns the folder of the installed clients and the built binaries.
func Work() (string, error) {
	if dir := os.Getenv(WorkVariable); dir != "" {
		return filepath.Abs(dir)
	}
	root, err := Repository()
	return filepath.Join(root, ".work", "e2e"), err
}

// Installed returns the path of a file below [Work], which must be there.
func Installed(t testing.TB, path ...string) string {
	t.Helper()
	work, err := Work()
	if err != nil {
		t.Fatalf("finding the folder of the clients: %v", err)
	}
	file := filepath.Join(append([]string{work}, path...)...)
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("not installed, run e2e/install.sh: %v", err)
	}
	return file
}

// Caddy returns the binary under test.
func Caddy(t testing.TB) string {
	t.Helper()
	if file := os.Getenv(CaddyVariable); file != "" {
		return file
	}
	return Installed(t, "caddy")
}

// Environment is a program's whole environment: its own home below dir, nothing
// that reports home or updates itself, no way out of this machine (the proxy is
// a port that nobody listens on), and nothing of the caller's but PATH.
// Later values replace earlier ones of the same name.
func Environment(dir string, more ...string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + dir,
		"XDG_CONFIG_HOME=" + filepath.Join(dir, "config"),
		"XDG_DATA_HOME=" + filepath.Join(dir, "data"),
		"XDG_CACHE_HOME=" + filepath.Join(dir, "cache"),
		"XDG_STATE_HOME=" + filepath.Join(dir, "state"),
		"LANG=C.UTF-8",
		"HTTPS_PROXY=http://127.0.0.1:9",
		"HTTP_PROXY=http://127.0.0.1:9",
		"NO_PROXY=localhost,127.0.0.1",
		"TERM=xterm-256color",
		"DO_NOT_TRACK=1",
		"DISABLE_TELEMETRY=1",
		"DISABLE_ERROR_REPORTING=1",
		"DISABLE_AUTOUPDATER=1",
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
		"OTEL_SDK_DISABLED=true",
		"NO_UPDATE_NOTIFIER=1",
		"PYTHONDONTWRITEBYTECODE=1",
	}
	for _, setting := range more {
		name, _, _ := strings.Cut(setting, "=")
		for i, old := range env {
			if strings.HasPrefix(old, name+"=") {
				env = append(env[:i], env[i+1:]...)
				break
			}
		}
		env = append(env, setting)
	}
	return env
}
