package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	vaultLife    = 10 * time.Minute
	vaultControl = 10 * time.Second // for one request to its controls
	vaultStop    = 5 * time.Second
	maxControl   = 8 << 20 // bytes
)

// Vault is the fake of the Alter Vault of vaultclient/alter/altertest, in a
// process of its own: the vault, the identity provider of its people alice and
// bob, its pages, and the provider's API.
type Vault struct {
	t testing.TB

	// Line is all that it says of itself, as JSON.
	Line    string
	BaseURL string `json:"base_url"`
	APIKey  string `json:"api_key"`
	Issuer  string `json:"issuer"`
}

// StartVault builds and starts a fake vault, which ends with the test. Arguments
// are those of the command.
func StartVault(t testing.TB, args ...string) *Vault {
	t.Helper()
	root, err := Repository()
	if err != nil {
		t.Fatal(err)
	}
	work, err := Work()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(work, "altervault")
	if err := GoBuild(root, binary, "./vaultclient/alter/altertest/altervault"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), vaultLife)
	cmd := command(ctx, t.TempDir(), Environment(t.TempDir()), binary, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the fake vault: %v", err)
	}
	t.Cleanup(func() {
		defer cancel()
		_ = syscall.Kill(cmd.Process.Pid, syscall.SIGTERM)
		killer := time.AfterFunc(vaultStop, cancel)
		defer killer.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the fake vault ended with %v", err)
		}
	})
	scanner := bufio.NewScanner(out)
	if !scanner.Scan() {
		t.Fatalf("the fake vault said nothing: %v", scanner.Err())
	}
	v := &Vault{t: t, Line: scanner.Text()}
	if err := json.Unmarshal(scanner.Bytes(), v); err != nil || v.BaseURL == "" {
		t.Fatalf("the fake vault says %q (%v)", v.Line, err)
	}
	return v
}

// Host is host and port of the vault and of the provider's API.
func (v *Vault) Host() string { return strings.TrimPrefix(v.BaseURL, "http://") }

// Get reads one of the lists of the fake's controls, see altertest.
func (v *Vault) Get(name string, into any) {
	v.t.Helper()
	v.do(http.MethodGet, name, nil, into)
}

// Post makes the fake do what one of its controls does.
func (v *Vault) Post(name string, in any) {
	v.t.Helper()
	v.do(http.MethodPost, name, in, nil)
}

// CheckProtocol fails the test for whatever the fake takes for a violation.
func (v *Vault) CheckProtocol() {
	v.t.Helper()
	var violations []struct{ Step, Method, Path, Code, Reason string }
	v.Get("violations", &violations)
	for _, x := range violations {
		v.t.Errorf("step %q: the fake takes %s %s for a violation: %s: %s", x.Step, x.Method, x.Path, x.Code, x.Reason)
	}
}

// VaultCall is a call of the vault's API.
type VaultCall struct {
	Path   string
	Header []struct{ Name, Value string }
	Body   json.RawMessage
	Status int
}

// Calls returns the calls of a path of the vault's API so far.
func (v *Vault) Calls(path string) []VaultCall {
	v.t.Helper()
	var all, found []VaultCall
	v.Get("log", &all)
	for _, c := range all {
		if c.Path == path {
			found = append(found, c)
		}
	}
	return found
}

func (v *Vault) do(method, name string, in, into any) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.t.Context()), vaultControl)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		v.t.Fatalf("encoding a control of the fake vault: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, v.BaseURL+"/_fake/"+name, bytes.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		v.t.Fatalf("the fake vault's %s: %v", name, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxControl))
	if err != nil || resp.StatusCode != http.StatusOK {
		v.t.Fatalf("the fake vault's %s: %s %s (%v)", name, resp.Status, answer, err)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(answer, into); err != nil {
		v.t.Fatalf("reading the fake vault's %s: %v", name, err)
	}
}

// NewAlterServer starts a server that uses a vault, with an empty storage, from
// a Caddyfile that finds it in the environment: ALTER_API_KEY, ALTER_BASE_URL,
// and E2E_API, the provider's host. Ports and more are those of [NewServer].
func NewAlterServer(t testing.TB, v *Vault, config string, more ...string) *Server {
	t.Helper()
	config, err := filepath.Abs(config)
	if err != nil {
		t.Fatalf("finding the configuration: %v", err)
	}
	ports := FreePorts(t, 2)
	own := fmt.Sprintf("http://localhost:%d", ports[0])
	home := t.TempDir()
	env := Environment(home, append(more,
		fmt.Sprintf("E2E_PORT=%d", ports[0]), fmt.Sprintf("E2E_ADMIN_PORT=%d", ports[1]),
		"ALTER_API_KEY="+v.APIKey, "ALTER_BASE_URL="+v.BaseURL, "E2E_API="+v.Host())...)
	return &Server{
		Endpoint: own + "/mcp", Admin: fmt.Sprintf("localhost:%d", ports[1]), Sites: []string{own, v.BaseURL},
		Daemon: startDaemon(t, home, env, config, own+"/mcp"+metadata),
	}
}
