package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/leak"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// secretRun is a server that logs all it can, and a tap on everything that goes
// to it and from it to its provider.
type secretRun struct {
	*testing.T
	s        *harness.Server
	idp      *harness.IDP
	secrets  *leak.Secrets
	control  *leak.Secrets // what is known to be logged
	tap      *leak.Tap
	provider *tapped
	logs     string // folder of the access logs
	storage  string // Caddy's
}

func newSecretRun(t *testing.T) *secretRun {
	t.Helper()
	secrets := new(leak.Secrets)
	r := &secretRun{T: t, secrets: secrets, control: new(leak.Secrets), logs: t.TempDir(), storage: t.TempDir()}
	r.tap = &leak.Tap{Secrets: secrets, Next: &http.Transport{DisableKeepAlives: true}}
	r.provider = newTapped(t, secrets)
	r.idp = harness.StartIDP(t, "")
	r.s = harness.NewServer(t, "testdata/secrets", "E2E_LOGS="+r.logs, "E2E_STORAGE="+r.storage, "E2E_FILTER="+exampleFilter(t),
		"E2E_TAP=http://"+r.provider.host, "E2E_TAP_HOST="+r.provider.host, "E2E_ISSUER="+r.idp.Issuer,
		"E2E_PROVIDER_SECRET=demo-secret", "E2E_IDP_SECRET=e2e-secret", "E2E_TOKEN_LIFETIME=1s")
	r.provider.leadTo(r.s.Sites[1])
	r.s.Sites = append(r.s.Sites, r.idp.Issuer)
	r.idp.Register(r.staff().Endpoint)
	secrets.Add("client_secret", "demo-secret")
	secrets.Add("client_secret", "e2e-secret")
	return r
}

// exampleFilter is the format of the access log in Caddyfile.example.
func exampleFilter(t *testing.T) string {
	t.Helper()
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join(root, "Caddyfile.example"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(example), "\tlog {\n")
	filter, _, end := strings.Cut(rest, "\n\t}\n")
	if !ok || !end || !strings.Contains(filter, "format filter {") {
		t.Fatal("Caddyfile.example has no access log with a filter")
	}
	return filter
}

// staff is the endpoint whose people log in at the identity provider.
func (r *secretRun) staff() *harness.Server {
	s := *r.s
	s.Endpoint = strings.TrimSuffix(s.Endpoint, "/mcp") + "/staff"
	return &s
}

func (r *secretRun) browser(person browser.Person) *browser.Browser {
	r.Helper()
	r.secrets.Add("password", person.Password)
	b := newBrowser(r.T, r.s, person)
	b.Use(r.tap)
	return b
}

// logIn is logIn through the tap, for a client that authenticates by a method.
func (r *secretRun) logIn(s *harness.Server, b *browser.Browser, revision, method string) *mcpclient.Client {
	r.Helper()
	c := mcpclient.New(s.Endpoint, revision)
	c.Use(r.tap)
	c.AuthMethod = method
	return logInBy(r.T, c, b)
}

// send sends a request through the tap; header are names and values.
func (r *secretRun) send(method, address, body string, header ...string) (int, string) {
	r.Helper()
	if strings.HasPrefix(address, "/") {
		address = r.s.Sites[0] + address
	}
	req, err := http.NewRequestWithContext(r.Context(), method, address, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := http.Client{
		Transport: r.tap, Timeout: attackTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// form sends a form to an endpoint, which must refuse it.
func (r *secretRun) form(path string, form url.Values, header ...string) {
	r.Helper()
	status, body := r.send("POST", path, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, header...)...)
	if status < 400 || status >= 500 {
		r.Errorf("POST %s = %d %s, want a refusal", path, status, body)
	}
}

// read returns a file, which the server writes.
func (r *secretRun) read(path ...string) string {
	r.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		r.Fatal(err)
	}
	return string(text)
}

// tapped is the provider with a tap before it, which can answer in its place.
type tapped struct {
	host string

	mu      sync.Mutex
	target  *url.URL
	instead http.HandlerFunc
	renewed int // requests for tokens by a refresh token
}

func newTapped(t *testing.T, secrets *leak.Secrets) *tapped {
	p := new(tapped)
	proxy := &httputil.ReverseProxy{
		Transport: &leak.Tap{Secrets: secrets, Next: &http.Transport{DisableKeepAlives: true}},
		Rewrite: func(r *httputil.ProxyRequest) {
			p.mu.Lock()
			defer p.mu.Unlock()
			r.SetURL(p.target)
		},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if instead := p.next(r); instead != nil {
			instead(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p.host = strings.TrimPrefix(s.URL, "http://")
	return p
}

func (p *tapped) next(r *http.Request) http.HandlerFunc {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.URL.Path == "/token" {
		p.renewed++
	}
	return p.instead
}

func (p *tapped) leadTo(origin string) {
	u, err := url.Parse(origin)
	if err != nil {
		panic(err) // the harness made it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = u
}

// answer has a handler answer in the provider's place; nil ends that.
func (p *tapped) answer(instead http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.instead = instead
}

// tokens is how often the provider was asked for tokens.
func (p *tapped) tokens() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.renewed
}

// until calls step until it reports true, for a minute at most.
func until(t *testing.T, what string, step func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !step() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s did not happen within a minute", what)
		}
	}
}
