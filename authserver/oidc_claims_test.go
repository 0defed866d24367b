package authserver_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func TestOIDCProfile(t *testing.T) {
	type profile = authserver.Profile
	for name, tc := range map[string]struct {
		config   func(*authserver.OIDCConfig)
		claims   map[string]any // nil: without it
		userinfo map[string]any // nil: there is none
		want     profile        // without claims
	}{
		"all in the ID token": {
			want: profile{Email: "alice@example.com", EmailVerified: true, Name: "Alice", Groups: []string{"staff"}},
		},
		"verified as a text": {
			claims: map[string]any{"email_verified": "true"},
			want:   profile{Email: "alice@example.com", EmailVerified: true, Name: "Alice", Groups: []string{"staff"}},
		},
		"not verified": {
			claims: map[string]any{"email_verified": false},
			want:   profile{Email: "alice@example.com", Name: "Alice", Groups: []string{"staff"}},
		},
		"nothing said of verified": {
			claims: map[string]any{"email_verified": nil},
			want:   profile{Email: "alice@example.com", Name: "Alice", Groups: []string{"staff"}},
		},
		"verified by a number": {
			claims: map[string]any{"email_verified": 1},
			want:   profile{Email: "alice@example.com", Name: "Alice", Groups: []string{"staff"}},
		},
		"trusted": {
			config: func(c *authserver.OIDCConfig) { c.TrustEmail = true },
			claims: map[string]any{"email_verified": nil},
			want:   profile{Email: "alice@example.com", EmailVerified: true, Name: "Alice", Groups: []string{"staff"}},
		},
		"no address to trust": {
			config: func(c *authserver.OIDCConfig) { c.TrustEmail = true },
			claims: map[string]any{"email": "alice"},
			want:   profile{Name: "Alice", Groups: []string{"staff"}},
		},
		"an address with a name": {
			claims: map[string]any{"email": "Boss <boss@example.com>"},
			want:   profile{Name: "Alice", Groups: []string{"staff"}},
		},
		"groups in a text": {
			config: func(c *authserver.OIDCConfig) { c.GroupsClaim = "https://example.com/roles" },
			claims: map[string]any{"https://example.com/roles": "admin"},
			want:   profile{Email: "alice@example.com", EmailVerified: true, Name: "Alice", Groups: []string{"admin"}},
		},
		"groups of many kinds": {
			claims: map[string]any{"groups": []any{"a", 7, nil, map[string]any{"name": "b"}, "", "c"}},
			want:   profile{Email: "alice@example.com", EmailVerified: true, Name: "Alice", Groups: []string{"a", "c"}},
		},
		"no groups anywhere": {
			claims: map[string]any{"groups": nil},
			want:   profile{Email: "alice@example.com", EmailVerified: true, Name: "Alice"},
		},
		"other names": {
			claims: map[string]any{"name": "", "preferred_username": "al"},
			want:   profile{Email: "alice@example.com", EmailVerified: true, Name: "al", Groups: []string{"staff"}},
		},
		"userinfo adds": {
			claims:   map[string]any{"email": nil, "email_verified": nil, "groups": nil, "name": nil},
			userinfo: map[string]any{"sub": "42", "email": "al@example.com", "email_verified": true, "name": "Al", "groups": []string{"x"}},
			want:     profile{Email: "al@example.com", EmailVerified: true, Name: "Al", Groups: []string{"x"}},
		},
		"userinfo changes nothing": {
			claims:   map[string]any{"groups": nil},
			userinfo: map[string]any{"sub": "42", "email": "al@example.com", "email_verified": true, "name": "Al", "groups": []string{"x"}},
			want:     profile{Email: "alice@example.com", EmailVerified: true, Name: "Alice", Groups: []string{"x"}},
		},
		"userinfo verifies its own address only": {
			claims:   map[string]any{"groups": nil, "email_verified": nil},
			userinfo: map[string]any{"sub": "42", "email": "al@example.com", "email_verified": true},
			want:     profile{Email: "alice@example.com", Name: "Alice"},
		},
		"userinfo verifies the same address": {
			claims:   map[string]any{"groups": nil, "email_verified": nil},
			userinfo: map[string]any{"sub": "42", "email": "alice@example.com", "email_verified": "true"},
			want:     profile{Email: "alice@example.com", EmailVerified: true, Name: "Alice"},
		},
		"userinfo of somebody else": {
			claims:   map[string]any{"groups": nil},
			userinfo: map[string]any{"sub": "43", "groups": []string{"admin"}},
			want:     profile{Email: "alice@example.com", EmailVerified: true, Name: "Alice"},
		},
		"userinfo of nobody": {
			claims:   map[string]any{"groups": nil},
			userinfo: map[string]any{"groups": []string{"admin"}},
			want:     profile{Email: "alice@example.com", EmailVerified: true, Name: "Alice"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t, func(c *authserver.OIDCConfig) {
				if tc.config != nil {
					tc.config(c)
				}
			})
			e.idp.claims = func(c map[string]any) {
				for name, value := range tc.claims {
					if c[name] = value; value == nil {
						delete(c, name)
					}
				}
			}
			if tc.userinfo != nil {
				e.idp.userinfo = func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") != "Bearer at" {
						t.Errorf("userinfo is asked with %q", r.Header.Get("Authorization"))
					}
					writeJSON(w, http.StatusOK, tc.userinfo)
				}
			}
			user := e.person()
			user.Profile.Claims = nil
			if diff := cmp.Diff(tc.want, user.Profile); diff != "" {
				t.Errorf("profile (-want +got):\n%s", diff)
			}
			if user.Issuer != e.idp.URL || user.Subject != "42" {
				t.Errorf("person is %s at %s", user.Subject, user.Issuer)
			}
		})
	}
}

// TestOIDCUserinfoFails: what a provider does not tell is as good as not there,
// but one that is down must not let a person in without their groups.
func TestOIDCUserinfoFails(t *testing.T) {
	for name, tc := range map[string]struct {
		serve     http.HandlerFunc
		want, log string
	}{
		"403":         {answerWith(403, "inner"), "", "it answers 403"},
		"no JSON":     {answerWith(200, "<html>inner"), "", "is not used"},
		"a redirect":  {answerWith(302, ""), "", "it answers 302"},
		"503":         {answerWith(503, "inner"), down, "userinfo answers 503"},
		"it hangs up": {hangUp, down, "EOF"},
		"too much":    {answerWith(200, `{"sub":"42","x":"`+strings.Repeat("a", 2*mebibyte)+`"}`), down, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t)
			e.idp.set(func() { e.idp.claims = func(c map[string]any) { delete(c, "groups") } })
			e.idp.set(func() { e.idp.userinfo = tc.serve })
			if got := e.hear(); got != tc.want {
				t.Errorf("client hears %q, want %q", got, tc.want)
			}
			if !e.logged(tc.log) {
				t.Errorf("log lacks %q: %v", tc.log, e.log.All())
			}
		})
	}
}

// TestOIDCUserinfoIsNotAsked when the ID token says all.
func TestOIDCUserinfoIsNotAsked(t *testing.T) {
	e := newOIDCEnv(t)
	if got := e.hear(); got != "" {
		t.Fatalf("client hears %q, want a code", got)
	}
	if n := e.idp.count("/userinfo"); n != 0 {
		t.Errorf("userinfo was asked %d times", n)
	}
}

func TestOIDCSubjectClaim(t *testing.T) {
	e := newOIDCEnv(t, func(c *authserver.OIDCConfig) { c.SubjectClaim = "oid" })
	if got := e.hear(); got != fault || !e.logged("the claim oid of the ID token") {
		t.Errorf("without the claim the client hears %q, want %q", got, fault)
	}
	e.idp.set(func() { e.idp.claims = func(c map[string]any) { c["oid"] = "0001" } })
	if got := e.person().Subject; got != "0001" {
		t.Errorf("subject is %q, want the claim's", got)
	}
}

func TestOIDCClaims(t *testing.T) {
	e := newOIDCEnv(t)
	large := strings.Repeat("a", 20<<10)
	e.idp.claims = func(c map[string]any) {
		c["tid"], c["level"], c["large"], c["at_hash"], c["jti"] = "acme", 3, large, "x", "y"
	}
	kept := e.person().Profile.Claims
	var got map[string]any
	if err := json.Unmarshal(kept, &got); err != nil || len(kept) > 16<<10 {
		t.Errorf("claims have %d bytes (%v)", len(kept), err)
	}
	want := map[string]any{
		"iss": e.idp.URL, "sub": "42", "email": "alice@example.com", "email_verified": true, "name": "Alice",
		"groups": []any{"staff"}, "tid": "acme", "level": float64(3),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if !e.logged("too large to be kept") {
		t.Error("log does not tell that a claim was dropped")
	}
}
