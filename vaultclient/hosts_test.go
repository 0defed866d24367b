package vaultclient

import (
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/idna"
)

// FuzzHostAllowed: whatever is let through is, by the rules that the connection
// is made by, one of the names in the list.
func FuzzHostAllowed(f *testing.F) {
	for _, seed := range []string{
		"https://api.p.example/x", "https://a.q.example.", "http://localhost:8001/", "https://API.P.EXAMPLE:443",
		"https://apİ.p.example/", "https://api.p.example@evil.example/", "https://api.p.example%2eevil.example/",
		"https:api.p.example", "//api.p.example", "https://[::1%25api.p.example]/", "https://api。p。example/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.Parse(raw)
		if err != nil || !hostAllowed([]string{"api.p.example", "*.q.example", "localhost:8001"}, u) {
			return
		}
		host, err := idna.Lookup.ToASCII(strings.TrimSuffix(u.Hostname(), "."))
		if err != nil {
			return // no connection is made
		}
		secure := u.Scheme == "https" && (u.Port() == "" || u.Port() == "443") &&
			(host == "api.p.example" || strings.HasSuffix(host, ".q.example"))
		if !secure && (host != "localhost" || u.Port() != "8001") {
			t.Errorf("hostAllowed(%q) for a connection to %s", raw, host)
		}
	})
}

// BenchmarkAllows measures what each request to a provider is checked with.
func BenchmarkAllows(b *testing.B) {
	p := &Provider{APIHosts: []string{"api.p.example", "*.q.example", "localhost:8001"}}
	u, err := url.Parse("http://localhost:8001/users/1")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !p.Allows(u) {
			b.Fatal("refused")
		}
	}
}
