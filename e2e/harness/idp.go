package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"
)

const (
	idpLife    = 10 * time.Minute
	idpControl = 10 * time.Second // for one request to the control port
	maxSeen    = 1 << 20          // bytes
)

// IDP is an OpenID Connect provider that others wrote, in a process of its own.
type IDP struct {
	t      testing.TB
	Issuer string
	// Control is the URL of its control port.
	Control string
}

// Fault is what an [IDP] does wrong, see idp/provider.mjs. The zero value is
// nothing.
type Fault struct {
	Where string `json:"where,omitempty"`
	What  string `json:"what,omitempty"`
}

// Seen is what an [IDP] was asked.
type Seen struct {
	Authorize []map[string]string `json:"authorize"` // parameters of the authorization requests
	Token     int                 `json:"token"`     // number of token requests
	Keys      int                 `json:"keys"`      // number of requests for its keys
	Secrets   []map[string]string `json:"secrets"`   // what token requests and answers held, by name
}

// StartIDP starts a provider that ends with the test. Suffix is what its issuer
// has after the origin.
func StartIDP(t testing.TB, suffix string) *IDP {
	t.Helper()
	env := Environment(t.TempDir(), "ISSUER_SUFFIX="+suffix)
	script := StartScript(t, idpLife, env, Installed(t, "bin", "node"), Installed(t, "idp", "provider.mjs"))
	var ready struct{ Issuer, Control string }
	script.Expect("ready", &ready)
	return &IDP{t: t, Issuer: ready.Issuer, Control: ready.Control}
}

// Register makes the server's endpoint the provider's client.
func (p *IDP) Register(endpoint string) {
	p.t.Helper()
	p.RegisterCallback(endpoint + "/login/callback")
}

// RegisterCallback makes the owner of a redirect URI the provider's client.
func (p *IDP) RegisterCallback(uri string) {
	p.t.Helper()
	p.do(http.MethodPost, "/client", map[string]string{"redirect_uri": uri}, nil)
}

// Fail makes the provider misbehave until the next call.
func (p *IDP) Fail(f Fault) {
	p.t.Helper()
	p.do(http.MethodPost, "/fault", f, nil)
}

// Rotate gives the provider other keys and withdraws the old ones.
func (p *IDP) Rotate() {
	p.t.Helper()
	p.do(http.MethodPost, "/rotate", nil, nil)
}

// AccessToken returns what a program has that a person let in at the provider: an
// access token, a JWT, for an API.
func (p *IDP) AccessToken(person, audience string) string {
	p.t.Helper()
	var answer struct{ Token string }
	p.do(http.MethodPost, "/token", map[string]string{"person": person, "audience": audience}, &answer)
	return answer.Token
}

// Seen returns what the provider was asked so far.
func (p *IDP) Seen() Seen {
	p.t.Helper()
	var seen Seen
	p.do(http.MethodGet, "/seen", nil, &seen)
	return seen
}

func (p *IDP) do(method, path string, body, answer any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), idpControl)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		p.t.Fatalf("encoding a request to the provider: %v", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.Control+path, bytes.NewReader(text))
	if err != nil {
		p.t.Fatalf("%s %s of the provider: %v", method, path, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatalf("%s %s of the provider: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxSeen))
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s of the provider: %s %v", method, path, resp.Status, err)
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal(text, answer); err != nil {
		p.t.Fatalf("reading what the provider has seen: %v", err)
	}
}
