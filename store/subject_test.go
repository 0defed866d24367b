package store

import (
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// TestSubjectsThatLookAlike: issuer and subject are compared byte by byte.
//
// Security ISO-06.
func TestSubjectsThatLookAlike(t *testing.T) {
	r := newTest(t).Realm("realm")
	const issuer = "https://idp.example"
	seen := make(map[string][2]string)
	for i, who := range [][2]string{
		{issuer, "alice"},
		{issuer + "/", "alice"},
		{"https://other.example", "alice"},
		{issuer, "Alice"},
		{issuer, "alice "},
		{issuer, " alice"},
		{issuer, "alice\x00"},
		{issuer, "\u00e9"},  // é, composed
		{issuer, "e\u0301"}, // é, decomposed
		{issuer, "\u0430lice"},
		{issuer, "a:b|c"},
		{issuer + "a:b", "|c"},
		{issuer + "a", ":b|c"},
		{issuer, "../alice"},
		{issuer, "%2e%2e/alice"},
		{issuer, "' OR 1=1 --"},
		{issuer, strings.Repeat("x", 1024)},
		{issuer, strings.Repeat("x", 1023)},
		{issuer, ""},
		{"", issuer},
	} {
		u, err := r.UpsertUser(t.Context(), "u"+string(rune('a'+i)), who[0], who[1], authserver.Profile{}, at())
		must(t, "UpsertUser", err)
		if other, ok := seen[u.ID]; ok {
			t.Errorf("%q and %q are one person", other, who)
		}
		seen[u.ID] = who
		again, err := r.UpsertUser(t.Context(), "another", who[0], who[1], authserver.Profile{}, at())
		if err != nil || again.ID != u.ID {
			t.Errorf("%q is %v at the second login, %v; want %s", who, again, err, u.ID)
		}
	}
}
