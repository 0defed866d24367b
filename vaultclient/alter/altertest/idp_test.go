package altertest

import (
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// The identity provider's tokens are what an independent library takes them
// for.
func TestIdentityProvider(t *testing.T) {
	v := Start(t, Config{People: []Person{{Name: "alice", Groups: []string{"engineering"}}}})
	provider, err := oidc.NewProvider(t.Context(), v.Issuer())
	if err != nil {
		t.Fatalf("discovery: %v", err)
	}
	verifier := provider.VerifierContext(t.Context(), &oidc.Config{ClientID: v.Audience(), SupportedSigningAlgs: []string{"ES256"}})
	token, err := verifier.Verify(t.Context(), v.UserToken("alice", time.Hour))
	if err != nil {
		t.Fatalf("verifying a user token: %v", err)
	}
	var claims struct {
		Email  string
		Groups []string
	}
	if err := token.Claims(&claims); err != nil || token.Subject != "alice" || claims.Email != "alice@example.com" || len(claims.Groups) != 1 {
		t.Errorf("%s, %+v (%v)", token.Subject, claims, err)
	}
	if _, err := verifier.Verify(t.Context(), v.UserToken("alice", -time.Minute)); err == nil {
		t.Error("an expired token is accepted")
	}
}
