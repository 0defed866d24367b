package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

const (
	acmeHost    = "mcp.localhost" // leads to loopback, in the tests alone
	renewWithin = 60 * time.Second
)

// TestTLS goes the whole way over https with certificates of Caddy's own
// authority, which the clients trust and nobody else does.
//
// Security DISC-13, CONS-11.
func TestTLS(t *testing.T) {
	for name, env := range map[string][]string{
		"tls internal": {"E2E_TLS=tls internal"},
		"local_certs":  {"E2E_GLOBAL=local_certs"},
	} {
		t.Run(name, func(t *testing.T) {
			s := harness.NewTLSServer(t, "testdata/tls", harness.TLSOptions{Host: "localhost", Env: env})
			_, err := http.Get(s.Endpoint) // with the roots of this machine
			var unknown *tls.CertificateVerificationError
			if !errors.As(err, &unknown) {
				t.Errorf("GET %s with the machine's own roots: %v, want a certificate that is not trusted", s.Endpoint, err)
			}
			goWholeWay(t, s)
			checkSecurePages(t, s)
		})
	}
}

// TestACME goes the whole way over a certificate that the server got by ACME,
// from another Caddy, and goes on while the server renews it and is reloaded.
func TestACME(t *testing.T) {
	ports := harness.FreePorts(t, 2)
	directory, root := harness.NewAuthority(t, "testdata/tls", acmeHost, ports[1])
	s := harness.NewTLSServer(t, "testdata/tls", harness.TLSOptions{
		Host: acmeHost, Root: root, Ports: ports, Env: []string{
			"E2E_GLOBAL=acme_ca " + directory + "\nacme_ca_root " + root,
			// An hour of lifetime is dated back by a minute: this renews 11 s
			// after the certificate was made.
			"E2E_TLS=tls {\nrenewal_window_ratio 0.98\nissuer acme {\ndir " + directory + "\ntrusted_roots " + root + "\ndisable_tlsalpn_challenge\n}\n}",
		},
	})
	first := certificateOf(t, s)
	b, c := goWholeWay(t, s)
	checkSecurePages(t, s)

	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(renewWithin)
	for certificateOf(t, s) == first {
		checkInbox(t, call(t, c, "list_messages").Text(), alice, bob)
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the certificate was not renewed within %v", renewWithin)
		}
	}
	s.Reload(s.Admin, "E2E_INSTRUCTIONS=changed")
	checkInbox(t, call(t, c, "list_messages").Text(), alice, bob)
	if err := c.Refresh(t.Context()); err != nil {
		t.Errorf("refresh after the reload: %v", err)
	}
	stop := open(t, b, s.Endpoint+"/account", browser.Visit{})
	if stop.Page.Status != http.StatusOK || !strings.Contains(stop.Page.Text, "Postbox") {
		t.Errorf("account after the reload = %d %s", stop.Page.Status, stop.Page.Text)
	}
}

// goWholeWay discovers, registers, logs in, connects, calls and refreshes, with
// a client of each era, and returns the browser and the modern client.
func goWholeWay(t *testing.T, s *harness.Server) (*browser.Browser, *mcpclient.Client) {
	t.Helper()
	b := newBrowser(t, s, alice)
	c := logIn(t, s, b, mcpclient.Modern)
	checkAddresses(t, c)
	link := call(t, c, "list_messages").ConnectURL()
	if !strings.HasPrefix(link, s.Endpoint+"/connect?") {
		t.Fatalf("connect link is %q", link)
	}
	connect(t, b, link)
	for _, c := range []*mcpclient.Client{c, logIn(t, s, b, mcpclient.Legacy)} {
		refresh(t, &visitor{person: alice, other: bob, client: c})
	}
	return b, c
}

// checkAddresses fails the test unless all that the client was told lies on the
// endpoint's own origin.
func checkAddresses(t *testing.T, c *mcpclient.Client) {
	t.Helper()
	if c.Server.Issuer != c.Endpoint {
		t.Errorf("issuer is %q, want %q", c.Server.Issuer, c.Endpoint)
	}
	resource, server, openID, err := mcpclient.Documents(c.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	own, _, _ := strings.Cut(c.Endpoint, "/mcp")
	seen := 0
	for _, address := range append(append(resource, server...), openID...) {
		var document map[string]any
		read(t, c, address, &document)
		for _, value := range allStrings(document) {
			if !strings.Contains(value, "://") {
				continue
			}
			if seen++; !strings.HasPrefix(value, own+"/") || !strings.HasPrefix(value, "https://") {
				t.Errorf("%s names %s, want it below %s", address, value, own)
			}
		}
	}
	if seen < 20 {
		t.Errorf("documents name only %d addresses", seen)
	}
}

// allStrings returns the strings of a JSON document.
func allStrings(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, element := range v {
			all = append(all, allStrings(element)...)
		}
	case map[string]any:
		for _, member := range v {
			all = append(all, allStrings(member)...)
		}
	}
	return all
}

// checkSecurePages looks at the cookies of a login as they are set, and at where
// plain http leads.
func checkSecurePages(t *testing.T, s *harness.Server) {
	t.Helper()
	seen := &cookieLog{next: s.Transport()}
	b := newBrowser(t, s, bob)
	b.Use(seen)
	c := logIn(t, s, b, mcpclient.Modern)
	connect(t, b, call(t, c, "list_messages").ConnectURL())
	if len(seen.cookies) < 4 {
		t.Errorf("only %d cookies were set", len(seen.cookies))
	}
	for _, cookie := range seen.cookies {
		if !strings.HasPrefix(cookie.Name, "__Secure-alter_mcp_") || !cookie.Secure || !cookie.HttpOnly ||
			cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/mcp" || cookie.Domain != "" {
			t.Errorf("cookie %s is not kept to https and this endpoint: %+v", cookie.Name, cookie)
		}
	}
	checkRedirectToTLS(t, s)
}

// cookieLog keeps the cookies that the server sets.
type cookieLog struct {
	next    http.RoundTripper
	cookies []*http.Cookie
}

func (l *cookieLog) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(req)
	if err == nil && req.URL.Scheme == "https" {
		l.cookies = append(l.cookies, resp.Cookies()...)
	}
	return resp, err
}

// checkRedirectToTLS asks by plain http, where nothing but Caddy's redirect is.
func checkRedirectToTLS(t *testing.T, s *harness.Server) {
	t.Helper()
	plain := http.Client{Transport: s.Transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := plain.Get(fmt.Sprintf("http://%s:%d/mcp/authorize", u.Hostname(), s.HTTPPort))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	to, err := resp.Location()
	if err != nil || to.Scheme != "https" || to.Hostname() != u.Hostname() || to.Path != "/mcp/authorize" || len(body) > 0 {
		t.Errorf("plain http answers %s %v (%v) with %q, want a redirect to https", resp.Status, to, err, body)
	}
}

// certificateOf returns the serial number of the certificate that is served.
func certificateOf(t *testing.T, s *harness.Server) string {
	t.Helper()
	transport := s.Transport()
	transport.DisableKeepAlives = true
	resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get(s.Endpoint + "/.well-known/oauth-protected-resource")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || len(resp.TLS.PeerCertificates) == 0 {
		t.Fatalf("GET the metadata = %s", resp.Status)
	}
	return resp.TLS.PeerCertificates[0].SerialNumber.String()
}
