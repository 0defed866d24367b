package authserver_test

import (
	"net/url"
	"strings"
	"testing"
)

// Security CODE-06, CODE-08: a verifier of a wrong form is refused even when its
// hash is the challenge, and spoils nothing.
func TestVerifiersOfAWrongForm(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	for name, v := range map[string]string{
		"empty":          "",
		"42 characters":  strings.Repeat("a", 42),
		"129 characters": strings.Repeat("a", 129),
		"a blank":        strings.Repeat("a", 42) + " ",
		"a plus":         strings.Repeat("a", 42) + "+",
		"padding":        strings.Repeat("a", 43) + "=",
		"beyond ASCII":   strings.Repeat("a", 43) + "ü",
		"NUL":            strings.Repeat("a", 43) + "\x00",
	} {
		t.Run(name, func(t *testing.T) {
			form := codeForm(id, e.newCode(id, "alice", "code_challenge", challengeOf(v)))
			form.Set("code_verifier", v)
			if status, answer, _ := e.token(form); status != 400 || answer["error"] != "invalid_grant" && answer["error"] != "invalid_request" {
				t.Errorf("token = %d %v, want 400 with invalid_grant or invalid_request", status, answer)
			}
		})
	}
}

// Security REF-10, REF-12: each kind of token is good for its own use alone.
func TestTokensOfAnotherKind(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	access, refresh := e.login(id, "alice")
	for name, form := range map[string]url.Values{
		"access token as refresh token": refreshForm(id, access),
		"access token as code":          codeForm(id, access),
		"refresh token as code":         codeForm(id, refresh),
	} {
		if status, answer, _ := e.token(form); status != 400 || answer["error"] != "invalid_grant" {
			t.Errorf("%s = %d %v, want invalid_grant", name, status, answer)
		}
	}
	if user, err := e.verify(refresh); err == nil {
		t.Errorf("refresh token as access token = %q, want an error", user)
	}
	if status, answer, _ := e.token(refreshForm(id, refresh)); status != 200 {
		t.Errorf("the refresh token after all = %d %v", status, answer)
	}
}
