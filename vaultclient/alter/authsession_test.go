package alter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

const authPollPath = "/sdk/auth/poll"

func signInSession(t *testing.T) (*altertest.Vault, *Client, *AuthSession) {
	t.Helper()
	v, c := startVault(t, altertest.Config{})
	s, err := c.CreateAuthSession(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.URL == "" || s.ExpiresIn <= 0 || s.ExpiresAt.IsZero() || s.Token.IsZero() {
		t.Fatalf("session %+v", s)
	}
	if got := lastBody(t, v, "/sdk/auth/session"); got != "{}" {
		t.Errorf("body %s", got)
	}
	return v, c, s
}

func TestPollAuthSession(t *testing.T) {
	v, c, s := signInSession(t)
	r, err := c.PollAuthSession(t.Context(), s.Token, 0)
	if err != nil || !r.Pending || !r.UserToken.IsZero() {
		t.Fatalf("%+v, %v: want pending", r, err)
	}
	if want := `{"session_token":"` + s.Token.Reveal() + `"}`; lastBody(t, v, authPollPath) != want {
		t.Errorf("body %s, want %s", lastBody(t, v, authPollPath), want)
	}
	v.CompleteSignIn(s.Token.Reveal(), "alice", time.Hour)
	r, err = c.PollAuthSession(t.Context(), s.Token, 1500*time.Millisecond)
	if err != nil || r.Pending || strings.Count(r.UserToken.Reveal(), ".") != 2 || r.UserInfo["sub"] != "alice" {
		t.Errorf("%+v, %v", r, err)
	}
	if !strings.HasSuffix(lastBody(t, v, authPollPath), `,"wait_ms":1500}`) {
		t.Errorf("body %s", lastBody(t, v, authPollPath))
	}
	if shown := fmt.Sprintf("%v %+v %#v", r, r, r); strings.Contains(shown, r.UserToken.Reveal()) {
		t.Error("a result shows the user token")
	}
}

func TestAwaitAuthSessionWoken(t *testing.T) {
	v, c, s := signInSession(t)
	go func() {
		eventually(t, v, authPollPath, 1)
		v.CompleteSignIn(s.Token.Reveal(), "alice", time.Hour)
	}()
	started := time.Now()
	r, err := c.AwaitAuthSession(t.Context(), s.Token, AwaitOptions{})
	if err != nil || r.Pending {
		t.Fatalf("%+v, %v", r, err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("took %s: the long poll was not woken", took)
	}
	if n := v.Count(authPollPath); n != 1 {
		t.Errorf("%d polls, want 1", n)
	}
}

func TestAuthSessionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*altertest.Vault, string)
		kind Kind
	}{
		"denied":         {func(v *altertest.Vault, s string) { v.FailSignIn(s, "access_denied", "no") }, ErrSignInDenied},
		"login required": {func(v *altertest.Vault, s string) { v.FailSignIn(s, "login_required", "no") }, ErrSignInDenied},
		"expired":        {func(v *altertest.Vault, s string) { v.ExpireSignIn(s) }, ErrSignInExpired},
		"inactive":       {func(v *altertest.Vault, s string) { v.FailSignIn(s, "identity_provider_inactive", "no") }, ErrOperator},
		"ambiguous":      {func(v *altertest.Vault, s string) { v.FailSignIn(s, "identity_group_name_ambiguous", "no") }, ErrOperator},
		"unavailable":    {func(v *altertest.Vault, s string) { v.FailSignIn(s, "service_unavailable", "no") }, ErrUnavailable},
		"other":          {func(v *altertest.Vault, s string) { v.FailSignIn(s, "server_error", "no") }, ErrSignIn},
		"not found": {func(v *altertest.Vault, _ string) {
			v.AddFault(altertest.Fault{Path: authPollPath, Status: 404, Body: json.RawMessage(`{"error":"session_not_found"}`)})
		}, ErrSignInExpired},
		"no scope": {func(v *altertest.Vault, _ string) {
			v.AddFault(altertest.Fault{Path: authPollPath, Status: 403, Body: json.RawMessage(`{"error":"insufficient_scope"}`)})
		}, ErrInsufficientScope},
		"malformed": {func(v *altertest.Vault, s string) {
			v.CompleteSignIn(s, "alice", time.Hour)
			v.AddFault(altertest.Fault{Path: authPollPath, Drop: []string{"user_token"}})
		}, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			v, client, s := signInSession(t)
			c.end(v, s.Token.Reveal())
			_, err := client.AwaitAuthSession(t.Context(), s.Token, AwaitOptions{})
			wantKind(t, err, c.kind)
			if errors.Is(err, ErrSignInTimedOut) {
				t.Errorf("%v: waited to the end", err)
			}
			if n := v.Count(authPollPath); n != 1 {
				t.Errorf("%d polls, want 1", n)
			}
		})
	}
}

func TestAwaitAuthSessionSurvives(t *testing.T) {
	for name, f := range map[string]altertest.Fault{
		"server errors": {Status: 500, Body: json.RawMessage(`{}`), Times: 3},
		"bad gateway":   {Status: 502, Body: json.RawMessage(`"<html>"`), Times: 6},
		"cuts":          {Cut: altertest.CutDone, Times: 6},
		"rate limit":    {Status: 429, Times: 6},
		"conflict":      {Status: 409, Body: json.RawMessage(`{"error":"busy"}`), Times: 2},
	} {
		t.Run(name, func(t *testing.T) {
			v, c, s := signInSession(t)
			v.CompleteSignIn(s.Token.Reveal(), "alice", time.Hour)
			f.Path = authPollPath
			v.AddFault(f)
			if r, err := c.AwaitAuthSession(t.Context(), s.Token, AwaitOptions{}); err != nil || r.Pending {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestAwaitAuthSessionTimedOut(t *testing.T) {
	v, c, s := signInSession(t)
	_, err := c.AwaitAuthSession(t.Context(), s.Token, AwaitOptions{Timeout: 50 * time.Millisecond})
	wantKind(t, err, ErrSignInTimedOut)
	ctx, cancel := context.WithCancel(t.Context())
	polls := v.Count(authPollPath)
	go func() {
		eventually(t, v, authPollPath, polls+1)
		cancel()
	}()
	_, err = c.AwaitAuthSession(ctx, s.Token, AwaitOptions{})
	wantKind(t, err, ErrSignInTimedOut)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not tell that the context ended", err)
	}
}

// A session is not made twice.
func TestCreateAuthSessionOnce(t *testing.T) {
	for name, c := range map[string]struct {
		fault altertest.Fault
		kind  Kind
	}{
		"cut":       {altertest.Fault{Cut: altertest.CutDone}, ErrUnavailable},
		"away":      {altertest.Fault{Status: 503, Body: json.RawMessage(`{}`)}, ErrUnavailable},
		"200":       {altertest.Fault{Status: 200, Body: json.RawMessage(`{}`)}, ErrMalformed},
		"no set up": {altertest.Fault{Status: 409, Body: json.RawMessage(`{"error":"idp_signin_not_configured"}`)}, ErrOperator},
	} {
		t.Run(name, func(t *testing.T) {
			v, client := startVault(t, altertest.Config{})
			c.fault.Path, c.fault.Times = "/sdk/auth/session", -1
			v.AddFault(c.fault)
			_, err := client.CreateAuthSession(t.Context())
			wantKind(t, err, c.kind)
			if n := v.Count("/sdk/auth/session"); n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
		})
	}
}

func TestPollAuthSessionInvalid(t *testing.T) {
	c := newTestClient(t, Config{Vault: canned{http.StatusOK, nil}})
	for name, call := range map[string]struct {
		token string
		wait  time.Duration
	}{"no token": {"", 0}, "too long": {"s", MaxAuthWait + 1}, "negative": {"s", -1}} {
		t.Run(name, func(t *testing.T) {
			_, err := c.PollAuthSession(t.Context(), vaultclient.NewSecret(call.token), call.wait)
			wantKind(t, err, ErrInvalid)
		})
	}
}
