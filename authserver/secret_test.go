package authserver_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func TestSecretShowsNothing(t *testing.T) {
	const hidden = "what nobody may see"
	s := authserver.NewSecret(hidden)
	tokens := authserver.IdentityTokens{ID: s, Access: s, Refresh: s}
	b, err := json.Marshal(tokens)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		string(b), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", tokens, tokens, tokens, tokens, tokens, s), s.LogValue().String(),
	} {
		if strings.Contains(text, hidden) || strings.Contains(text, fmt.Sprintf("%x", hidden)) {
			t.Errorf("shown as %s", text)
		}
	}
	if s.Reveal() != hidden || s.IsZero() || !s.Equal(authserver.NewSecret(hidden)) || s.Equal(authserver.NewSecret("other")) {
		t.Error("the secret is not what was put in")
	}
}
