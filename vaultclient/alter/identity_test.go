package alter

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

func TestVerifyUserToken(t *testing.T) {
	v, c := startVault(t, altertest.Config{})
	if sub, err := c.VerifyUserToken(t.Context(), userToken(v, "alice")); err != nil || sub != "alice" {
		t.Errorf("%q, %v", sub, err)
	}
	expired := vaultclient.NewSecret(v.UserToken("alice", -time.Hour))
	_, err := c.VerifyUserToken(t.Context(), expired)
	wantKind(t, err, ErrUserTokenRejected)
	_, err = c.VerifyUserToken(t.Context(), vaultclient.NewSecret(" "))
	wantKind(t, err, ErrInvalid)
}

// Whatever is no clear yes verifies nothing.
func TestVerifyUserTokenFailsClosed(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		kind   Kind
	}{
		"no provider":  {400, `{"error":"no_identity_provider"}`, ErrRefused},
		"created":      {201, `{"sub":"alice"}`, ErrMalformed},
		"redirect":     {302, ``, ErrMalformed},
		"away":         {503, `{"sub":"alice"}`, ErrUnavailable},
		"page":         {200, `<html>`, ErrMalformed},
		"no sub":       {200, `{}`, ErrMalformed},
		"blank sub":    {200, `{"sub":"  "}`, ErrMalformed},
		"key rejected": {401, `{"error":"invalid_key"}`, ErrInvalidKey},
	} {
		t.Run(name, func(t *testing.T) {
			client := newTestClient(t, Config{Vault: canned{c.status, []byte(c.body)}})
			sub, err := client.VerifyUserToken(t.Context(), vaultclient.NewSecret("t"))
			wantKind(t, err, c.kind)
			if sub != "" {
				t.Errorf("subject %q", sub)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	v, c := startVault(t, altertest.Config{People: []altertest.Person{{Name: "alice", Groups: []string{"admins"}}}})
	q := IdentityQuery{UserToken: userToken(v, "alice"), Profile: true}
	ctx := WithAuditContext(t.Context(), map[string]string{"run_id": "r1"})
	id, err := c.ResolveIdentity(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	want := &Identity{
		AppID: v.AppID(), AppUserID: id.AppUserID, Subject: "alice", IDP: id.IDP, UserStatus: "active", Groups: []string{"admins"},
		RunID: "r1", Email: "alice@example.com", Name: "alice",
	}
	if diff := cmp.Diff(want, id); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
	if body := `{"include_profile":true,"user_token":"` + q.UserToken.Reveal() + `"}`; lastBody(t, v, "/sdk/identity/resolve") != body {
		t.Errorf("body %s", lastBody(t, v, "/sdk/identity/resolve"))
	}
	a, err := c.AssertIdentity(t.Context(), q, AssertionOptions{Audience: "https://aud.example", TTL: time.Minute})
	if err != nil || a.Identity.Subject != "alice" || strings.Count(a.Token.Reveal(), ".") != 2 || a.ExpiresAt.IsZero() {
		t.Errorf("%+v, %v", a, err)
	}
	if body := lastBody(t, v, "/sdk/identity/assert"); !strings.HasSuffix(body, `,"audience":"https://aud.example","ttl_seconds":60}`) {
		t.Errorf("body %s", body)
	}
}

func TestIdentityAgain(t *testing.T) {
	v, c := startVault(t, altertest.Config{})
	v.AddFault(altertest.Fault{Path: "/sdk/identity/*", Cut: altertest.CutDone, Times: 2})
	v.AddFault(altertest.Fault{Path: "/sdk/identity/*", Status: 429, Body: json.RawMessage(`{"error":"rate_limit_exceeded"}`)})
	if _, err := c.ResolveIdentity(t.Context(), IdentityQuery{}); err != nil {
		t.Error(err)
	}
}

func TestAssertIdentityInvalid(t *testing.T) {
	c := newTestClient(t, Config{Vault: canned{http.StatusOK, nil}})
	for name, o := range map[string]AssertionOptions{
		"no audience":       {},
		"relative audience": {Audience: "/x"},
		"long audience":     {Audience: "https://aud.example/" + strings.Repeat("x", maxAudience)},
		"short life":        {Audience: "https://aud.example", TTL: time.Second},
		"long life":         {Audience: "https://aud.example", TTL: time.Hour},
		"part of a second":  {Audience: "https://aud.example", TTL: MinAssertionTTL + 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.AssertIdentity(t.Context(), IdentityQuery{}, o)
			wantKind(t, err, ErrInvalid)
		})
	}
}
