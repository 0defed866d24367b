package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// TestAlterTokenEnds lets the identity provider's token end, which nobody can
// renew: the client gets a 401 ahead of that and no tool fails, its refresh token
// is refused, and after a new login all is as it was.
func TestAlterTokenEnds(t *testing.T) {
	const life = 8 * time.Second
	for _, revision := range []string{mcpclient.Modern, mcpclient.Legacy} {
		t.Run(revision, func(t *testing.T) {
			v := harness.StartVault(t, "-token-life", life.String())
			t.Cleanup(v.CheckProtocol)
			s := harness.NewAlterServer(t, v, "testdata/alter/server.Caddyfile")
			b := newBrowser(t, s, alice)
			begun := time.Now()
			c := logIn(t, s, b, revision)
			connect(t, b, call(t, c, "list_messages").ConnectURL())
			status := callUntilRefused(t, c)
			if took := time.Since(begun); status.Status != http.StatusUnauthorized || !strings.Contains(status.Challenge, `error="invalid_token"`) || took >= life {
				t.Errorf("the call is refused with %v after %s, want 401 invalid_token before %s", status, took, life)
			}
			// Who refreshes in the last second gets a token for what is left of it.
			var refused *mcpclient.OAuthError
			err := c.Refresh(t.Context())
			for err == nil && time.Since(begun) < life {
				callUntilRefused(t, c)
				err = c.Refresh(t.Context())
			}
			if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || refused.Code != "invalid_grant" {
				t.Errorf("refresh: %v, want 400 invalid_grant", err)
			}
			checkGmail(t, call(t, logIn(t, s, b, revision), "list_messages"), alice, bob)
			if logins := len(v.Calls(signIn)); logins != 2 {
				t.Errorf("%d logins at the vault, want 2", logins)
			}
		})
	}
}

// callUntilRefused calls again and again; each call works until one is refused.
func callUntilRefused(t *testing.T, c *mcpclient.Client) *mcpclient.StatusError {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); ; {
		result, err := c.Call(t.Context(), "list_messages", nil, nil)
		var status *mcpclient.StatusError
		if errors.As(err, &status) {
			return status
		}
		if err != nil {
			t.Fatal(err)
		}
		checkGmail(t, result, alice, bob)
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("no call was refused")
		}
	}
}

// TestAlterTokenRevoked lets the vault refuse a person's token that has not ended:
// the client logs in again, and its refresh token does not keep a dead identity
// alive.
func TestAlterTokenRevoked(t *testing.T) {
	v, s := newAlter(t, "E2E_VAULT=long")
	b := newBrowser(t, s, alice)
	c := logIn(t, s, b, mcpclient.Modern)
	connect(t, b, call(t, c, "list_messages").ConnectURL())
	v.Post("fault", map[string]any{"path": "/sdk/token", "status": 401, "body": map[string]string{"error": "jwt_validation_error"}})
	_, err := c.Call(t.Context(), "list_messages", nil, nil)
	var status *mcpclient.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusUnauthorized {
		t.Fatalf("call with a refused token: %v, want 401", err)
	}
	var refused *mcpclient.OAuthError
	if err := c.Refresh(t.Context()); !errors.As(err, &refused) || refused.Code != "invalid_grant" {
		t.Errorf("refresh: %v, want invalid_grant", err)
	}
	checkGmail(t, call(t, logIn(t, s, b, mcpclient.Modern), "list_messages"), alice, bob)
}

// TestAlterWithOwnLogin logs in at the app's identity provider without Alter: its
// tokens are renewed before they end, and the person notices nothing.
func TestAlterWithOwnLogin(t *testing.T) {
	const life = 7 * time.Second // a server renews no more often than every 5 s
	v := harness.StartVault(t, "-token-life", life.String())
	t.Cleanup(v.CheckProtocol)
	s := harness.NewAlterServer(t, v, "testdata/alter/server.Caddyfile", "E2E_VAULT=oidc")
	b := newBrowser(t, s, alice)
	c := logIn(t, s, b, mcpclient.Modern)
	connect(t, b, call(t, c, "list_messages").ConnectURL())
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(2*life + time.Second); ; {
		checkGmail(t, call(t, c, "list_messages"), alice, bob)
		select {
		case <-tick.C:
			continue
		case <-end:
		}
		break
	}
	if err := c.Refresh(t.Context()); err != nil {
		t.Errorf("refresh: %v", err)
	}
	if logins := len(v.Calls(signIn)); logins != 0 {
		t.Errorf("%d logins by Alter, want none", logins)
	}
	tokens := make(map[string]bool)
	for _, asked := range v.Calls("/sdk/token") {
		var body struct {
			UserToken string `json:"user_token"`
		}
		if err := json.Unmarshal(asked.Body, &body); err != nil {
			t.Fatal(err)
		}
		tokens[body.UserToken] = true
	}
	if len(tokens) < 3 {
		t.Errorf("the vault got %d tokens of the person, want that of the login and two that were renewed", len(tokens))
	}
}
