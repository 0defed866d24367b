package vaultclient

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Security PROV-09: a provider that cannot prove who it is sees no credential.
func TestTransportChecksCertificates(t *testing.T) {
	authority, key := certificate(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true}, nil, nil)
	now := time.Now()
	for name, tc := range map[string]struct {
		template *x509.Certificate
		parent   *x509.Certificate
		good     bool
	}{
		"good":         {&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, authority, true},
		"another host": {&x509.Certificate{DNSNames: []string{"api.example"}}, authority, false},
		"expired":      {&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}, authority, false},
		"not yet":      {&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}, authority, false},
		"self-signed":  {&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			parentKey := key
			if tc.parent == nil {
				parentKey = nil
			}
			leaf, leafKey := certificate(t, tc.template, tc.parent, parentKey)
			var seen []string
			api := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				seen = append(seen, r.Header.Get("Authorization"))
			}))
			api.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail
			api.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: leafKey}}}
			api.StartTLS()
			defer api.Close()

			base := newBase()
			defer base.CloseIdleConnections()
			if base.TLSClientConfig != nil {
				t.Fatalf("NewBase changes how certificates are checked: %+v", base.TLSClientConfig)
			}
			roots := x509.NewCertPool()
			roots.AddCert(authority)
			base.TLSClientConfig = &tls.Config{RootCAs: roots}
			tr := &Transport{
				Provider: &Provider{Name: "p", APIHosts: []string{strings.TrimPrefix(api.URL, "https://")}},
				Vault:    &countingVault{version: make(map[string]int64)}, Base: base,
			}
			resp, err := tr.RoundTrip(requestOf(t, "alice", "GET", api.URL, ""))
			if err == nil {
				resp.Body.Close()
			}
			if (err == nil) != tc.good || len(seen) > 0 != tc.good {
				t.Errorf("RoundTrip: %v, the API saw %q, want it to work: %v", err, seen, tc.good)
			}
		})
	}
}

// certificate makes a certificate that its parent signs, or itself.
func certificate(t *testing.T, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}
