package mcphandler

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestNewNamesWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"no source":           {func(c *Config) { c.Sources = nil }, "no source"},
		"nil source":          {func(c *Config) { c.Sources = []Source{nil} }, "a source is nil"},
		"no authenticator":    {func(c *Config) { c.Authenticator = nil }, "no authenticator"},
		"no sealer":           {func(c *Config) { c.Sealer = nil }, "no sealer"},
		"no sessions":         {func(c *Config) { c.Sessions = nil }, "no list of ended sessions"},
		"no endpoint":         {func(c *Config) { c.Endpoint = nil }, "no endpoint"},
		"no check of origins": {func(c *Config) { c.OriginAllowed = nil }, "no check of origins"},
		"negative limit":      {func(c *Config) { c.MaxBody = -1 }, "a limit is negative"},
		"negative lifetime":   {func(c *Config) { c.SessionLifetime = -time.Second }, "a limit is negative"},
		"quote in a scope":    {func(c *Config) { c.Scopes = []string{"a", `b"`} }, "scope 1"},
		"space in a scope":    {func(c *Config) { c.Scopes = []string{"a b"} }, "scope 0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			source, err := NewStaticSource(nil)
			if err != nil {
				t.Fatal(err)
			}
			cfg := Config{
				Sources: []Source{source}, Authenticator: tokensAreNames{}, Sealer: sealByMAC{},
				Sessions: new(endedInMemory), Endpoint: func(*http.Request) string { return testEndpoint },
				OriginAllowed: func(*http.Request, string) bool { return false },
			}
			if _, err := New(cfg); err != nil {
				t.Fatalf("the configuration that is changed: %v", err)
			}
			test.change(&cfg)
			if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}
