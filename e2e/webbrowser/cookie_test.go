package webbrowser

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestCookies looks at the cookies that the browser keeps after a login.
func TestCookies(t *testing.T) {
	s := newSite(t)
	t.Run("http on loopback", func(t *testing.T) {
		tab, a := Start(t).Open(t, Phone()), newApp(t, s, "App")
		logIn(t, tab, a, "alice")
		for _, c := range cookies(t, tab) {
			if c.Secure || strings.HasPrefix(c.Name, "__") {
				t.Errorf("cookie %+v is for https", c)
			}
		}
	})
	t.Run("https", func(t *testing.T) {
		tab := Start(t, "--ignore-certificate-errors").Open(t, Phone())
		a, address := authorizeTLS(t, s)
		tab.Go(address)
		check(t, s, tab, want{status: 200, title: "Allow access"})
		tab.Click("Allow and log in", Page)
		tab.Fill("User name", "alice")
		tab.Fill("Password", "alice-demo")
		tab.Click("Log in", Page)
		for _, c := range cookies(t, tab) {
			if !c.Secure || !strings.HasPrefix(c.Name, "__Secure-") {
				t.Errorf("cookie %+v could be set or sent without TLS", c)
			}
		}
		tab.Go(s.TLS + "/mcp/account")
		check(t, s, tab, want{status: 200, title: "Your account", text: "Alice Adams", hosts: []string{a.origin}})
	})
}

// cookies returns those of the server, after a look at what all of them must
// have.
func cookies(t *testing.T, tab *Tab) []Cookie {
	t.Helper()
	all := tab.Cookies()
	if len(all) < 2 {
		t.Errorf("cookies are %+v, want those of the browser and of the login", all)
	}
	for _, c := range all {
		if !c.HTTPOnly || c.SameSite != "Lax" && c.SameSite != "Strict" || c.Path != "/mcp" || c.Domain != "localhost" {
			t.Errorf("cookie %+v, want HttpOnly, SameSite, the endpoint's path and no domain", c)
		}
	}
	return all
}

// authorizeTLS registers a client at the endpoint with https and returns it with
// the address of an authorization.
func authorizeTLS(t *testing.T, s *site) (*app, string) {
	t.Helper()
	a := newApp(t, s, "App")
	registration := struct {
		URIs   []string `json:"redirect_uris"`
		Method string   `json:"token_endpoint_auth_method"`
	}{[]string{a.RedirectURI}, "none"}
	body, err := json.Marshal(registration)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := trusting(t, s).Post(s.TLS+"/mcp/register", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatalf("registering: %v", err)
	}
	defer resp.Body.Close()
	var client struct {
		ID string `json:"client_id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&client); err != nil || client.ID == "" {
		t.Fatalf("registering gives %s and %+v (%v)", resp.Status, client, err)
	}
	challenge := sha256.Sum256([]byte("a verifier that nobody needs"))
	return a, s.TLS + "/mcp/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {client.ID}, "redirect_uri": {a.RedirectURI}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode()
}

// trusting returns a client that trusts Caddy's own authority.
func trusting(t *testing.T, s *site) *http.Client {
	t.Helper()
	resp, err := http.Get(fmt.Sprintf("http://%s/pki/ca/local", s.Admin))
	if err != nil {
		t.Fatalf("asking for the authority: %v", err)
	}
	defer resp.Body.Close()
	var authority struct {
		Root string `json:"root_certificate"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&authority); err != nil {
		t.Fatalf("reading the authority: %v", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(authority.Root)) {
		t.Fatalf("authority has the certificate %q", authority.Root)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}
