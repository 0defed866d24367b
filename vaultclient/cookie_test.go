package vaultclient

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Security PROV-07, PROV-08: what a provider sets in an answer is not sent again,
// to whomever the next request belongs.
func TestTransportKeepsNoCookies(t *testing.T) {
	var cookies []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookies = append(cookies, r.Header.Values("Cookie")...)
		w.Header().Set("Set-Cookie", "session=of-alice; Path=/")
	}))
	defer api.Close()
	tr := &Transport{
		Provider: &Provider{Name: "p", APIHosts: []string{strings.TrimPrefix(api.URL, "http://")}},
		Vault:    &countingVault{version: make(map[string]int64)}, Base: NewBase(),
	}
	for _, user := range []string{"alice", "bob", "alice"} {
		resp, err := tr.RoundTrip(requestOf(t, user, "GET", api.URL, ""))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.Header.Get("Set-Cookie") == "" {
			t.Fatal("the provider set no cookie")
		}
	}
	if len(cookies) > 0 {
		t.Errorf("the API saw the cookies %q, want none", cookies)
	}
}
