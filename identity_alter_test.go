package altermcp

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// newAlterLogin returns the login of an identity with a fake vault behind it.
func newAlterLogin(t *testing.T, issuer string) (*altertest.Vault, alterLogin) {
	t.Helper()
	v := altertest.Start(t, altertest.Config{People: []altertest.Person{{Name: "alice", Groups: []string{"staff"}}}})
	i := &AlterIdentity{APIKey: v.APIKey(), BaseURL: v.URL, Issuer: strings.ReplaceAll(issuer, "FAKE", v.Issuer())}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	if err := i.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	return v, alterLogin{i}
}

// begin opens a login and returns its handle, which is the session's token too.
func begin(t *testing.T, v *altertest.Vault, login alterLogin) string {
	t.Helper()
	page, handle, err := login.Begin(t.Context())
	if err != nil || !strings.HasPrefix(page, v.Issuer()+"/login") || handle == "" {
		t.Fatalf("Begin = %q, %v", page, err)
	}
	return handle
}

func TestAlterLogin(t *testing.T) {
	for name, issuer := range map[string]string{"any issuer": "", "pinned": "FAKE", "pinned with a slash": "FAKE/"} {
		t.Run(name, func(t *testing.T) {
			v, login := newAlterLogin(t, issuer)
			handle := begin(t, v, login)
			if who, err := login.Await(t.Context(), handle, time.Millisecond); who != nil || err != nil {
				t.Errorf("Await of who is not through = %v, %v, want nothing", who, err)
			}
			v.CompleteSignIn(handle, "alice", time.Hour)
			who, err := login.Await(t.Context(), handle, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if who.Issuer != v.Issuer() || who.Subject != "alice" || who.Claims["email"] != "alice@example.com" || who.More["name"] != "alice" {
				t.Errorf("person %+v", who)
			}
			tokens := who.Tokens
			if tokens.Issuer != v.Issuer() || tokens.Subject != "alice" || !tokens.ID.Equal(tokens.Access) || !tokens.Refresh.IsZero() ||
				time.Until(tokens.IDExpiry) < 59*time.Minute || !tokens.IDExpiry.Equal(tokens.AccessExpiry) {
				t.Errorf("tokens end at %v and %v", tokens.IDExpiry, tokens.AccessExpiry)
			}
			if n := v.Count("/sdk/auth/verify-token"); n != 1 {
				t.Errorf("the token was verified %d times by the vault, want once", n)
			}
		})
	}
}

// What the vault gives is looked at before anybody is let in by it.
func TestAlterLoginRefusesTokens(t *testing.T) {
	text := func(s string) json.RawMessage { raw, _ := json.Marshal(s); return raw }
	tests := map[string]struct {
		issuer string
		token  func(v *altertest.Vault) string // nil: that of alice
		verify *altertest.Fault
		want   string
	}{
		"another issuer":       {issuer: "https://other.example", want: "of the issuer"},
		"own accounts":         {token: func(v *altertest.Vault) string { return signedFor(v, "urn:alter-mcp:local", "alice") }, verify: says("alice"), want: "of the issuer"},
		"no issuer":            {token: func(v *altertest.Vault) string { return signedFor(v, "", "alice") }, verify: says("alice"), want: "of the issuer"},
		"another subject":      {verify: says("bob"), want: "another subject than the vault"},
		"no subject":           {verify: says(""), want: ""},
		"no JWT":               {token: func(*altertest.Vault) string { return "opaque" }, verify: says("alice"), want: "no JWT"},
		"refused by the vault": {token: func(v *altertest.Vault) string { return v.UserToken("alice", -time.Minute) }, want: ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v, login := newAlterLogin(t, tt.issuer)
			handle := begin(t, v, login)
			v.CompleteSignIn(handle, "alice", time.Hour)
			if tt.token != nil {
				v.AddFault(altertest.Fault{Path: "/sdk/auth/poll", Set: map[string]json.RawMessage{"user_token": text(tt.token(v))}})
			}
			if tt.verify != nil {
				v.AddFault(*tt.verify)
			}
			who, err := login.Await(t.Context(), handle, time.Second)
			if who != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Await = %+v, %v, want an error with %q", who, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "eyJ") {
				t.Errorf("the error holds a token: %v", err)
			}
		})
	}
}

func says(subject string) *altertest.Fault {
	body, _ := json.Marshal(map[string]string{"sub": subject})
	return &altertest.Fault{Path: "/sdk/auth/verify-token", Status: 200, Body: body}
}

func signedFor(v *altertest.Vault, issuer, subject string) string {
	return v.SignToken(map[string]any{"iss": issuer, "aud": v.Audience(), "sub": subject, "exp": time.Now().Add(time.Hour).Unix()})
}

// Each end of a login is told apart: what the person did, what took too long,
// what only the operator can mend, and what may work later.
func TestAlterLoginEnds(t *testing.T) {
	body := func(s string) json.RawMessage { return json.RawMessage(s) }
	tests := map[string]struct {
		fault altertest.Fault
		want  error // nil: none of the kinds, but an error
	}{
		"denied":           {altertest.Fault{Body: body(`{"status":"error","error_code":"access_denied","error_message":"m"}`)}, authserver.ErrHostedDenied},
		"expired":          {altertest.Fault{Body: body(`{"status":"expired"}`)}, authserver.ErrHostedExpired},
		"inactive":         {altertest.Fault{Body: body(`{"status":"error","error_code":"identity_provider_inactive","error_message":"m"}`)}, authserver.ErrHostedFault},
		"key revoked":      {altertest.Fault{Status: 401, Body: body(`{"error":"key_revoked","message":"m"}`)}, authserver.ErrHostedFault},
		"key lacks scopes": {altertest.Fault{Status: 403, Body: body(`{"error":"insufficient_scope","message":"m"}`)}, authserver.ErrHostedFault},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v, login := newAlterLogin(t, "")
			handle := begin(t, v, login)
			tt.fault.Path = "/sdk/auth/poll"
			v.AddFault(tt.fault)
			if who, err := login.Await(t.Context(), handle, time.Second); who != nil || !errors.Is(err, tt.want) {
				t.Errorf("Await = %v, %v, want %v", who, err, tt.want)
			}
		})
	}
}

func TestAlterLoginBeginsNot(t *testing.T) {
	v, login := newAlterLogin(t, "")
	v.AddFault(altertest.Fault{Path: "/sdk/auth/session", Status: 403, Body: json.RawMessage(`{"error":"insufficient_scope"}`)})
	if _, _, err := login.Begin(t.Context()); !errors.Is(err, authserver.ErrHostedFault) {
		t.Errorf("Begin with a key that lacks a scope: %v, want ErrHostedFault", err)
	}
}

func TestAlterIdentityKnows(t *testing.T) {
	for name, tt := range map[string]struct {
		pinned, issuer string
		want           bool
	}{
		"any":                     {"", "https://idp.example", true},
		"accounts of this server": {"", "urn:alter-mcp:local", false},
		"the pinned one":          {"https://idp.example/", "https://idp.example", true},
		"another":                 {"https://idp.example", "https://idp.example.evil", false},
	} {
		if got := (&AlterIdentity{Issuer: tt.pinned}).Knows(tt.issuer, "x"); got != tt.want {
			t.Errorf("%s: Knows = %v, want %v", name, got, tt.want)
		}
	}
}
