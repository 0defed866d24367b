package webbrowser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// answerWithin bounds the wait for what the browser has sent already.
const answerWithin = 10 * time.Second

func TestMain(m *testing.M) {
	if err := harness.BuildCaddy(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// site is a running server, seen by a browser.
type site struct {
	*harness.Server
	TLS string // origin of its twin with https
}

// newSite starts a server and its provider; settings are lines for the endpoint.
func newSite(t *testing.T, settings ...string) *site {
	t.Helper()
	port := harness.FreePorts(t, 1)[0]
	return &site{
		Server: harness.NewServer(t, "testdata", "E2E_SETTINGS="+strings.Join(settings, "\n"), fmt.Sprintf("E2E_TLS_PORT=%d", port)),
		TLS:    fmt.Sprintf("https://localhost:%d", port),
	}
}

// app is an MCP client with a callback that a browser really reaches.
type app struct {
	*mcpclient.Client
	origin   string // of its callback
	callback chan *url.URL
}

func newApp(t *testing.T, s *site, name string) *app {
	t.Helper()
	a := &app{Client: mcpclient.New(s.Endpoint, mcpclient.Modern), callback: make(chan *url.URL, 1)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!DOCTYPE html><html lang="en"><title>Done</title><link rel="icon" href="data:,"><p>Go back to the app.`)
		if r.URL.Path != "/callback" {
			return
		}
		select {
		case a.callback <- &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawQuery: r.URL.RawQuery}:
		default:
			t.Errorf("browser came to the callback twice: %s", r.URL)
		}
	}))
	t.Cleanup(server.Close)
	a.origin = server.URL
	if err := a.Discover(t.Context()); err != nil {
		t.Fatalf("discovery: %v", err)
	}
	a.register(t, name, a.origin+"/callback")
	return a
}

func (a *app) register(t *testing.T, name, redirectURI string) {
	t.Helper()
	if err := a.Register(t.Context(), name, redirectURI); err != nil {
		t.Fatalf("registration: %v", err)
	}
}

// answer returns the address that the browser brought to the callback.
func (a *app) answer(t *testing.T) *url.URL {
	t.Helper()
	select {
	case u := <-a.callback:
		return u
	case <-time.After(answerWithin):
		t.Fatal("browser did not reach the app's callback")
		return nil
	}
}

// redeem changes the code that the browser brought for tokens.
func (a *app) redeem(t *testing.T) {
	t.Helper()
	if err := a.Redeem(t.Context(), a.answer(t)); err != nil {
		t.Fatalf("redeeming the code: %v", err)
	}
}

// connectLink calls the tool, which answers with a link.
func (a *app) connectLink(t *testing.T) string {
	t.Helper()
	result, err := a.Call(t.Context(), "list_messages", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.ConnectURL() == "" {
		t.Fatalf("list_messages gives %q, want a link to connect", result.Text())
	}
	return result.ConnectURL()
}

// inbox fails the test unless the tool gives the mailbox of that name.
func (a *app) inbox(t *testing.T, name string) {
	t.Helper()
	result, err := a.Call(t.Context(), "list_messages", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.IsError || !strings.Contains(result.Text(), name+"@postbox.example") {
		t.Errorf("list_messages gives %q, want the inbox of %s", result.Text(), name)
	}
}

// logIn brings a person in the tab through consent and login.
func logIn(t *testing.T, tab *Tab, a *app, name string) {
	t.Helper()
	tab.Go(a.AuthorizeURL())
	tab.Click("Allow and log in", Page)
	submitLogin(tab, name, name+"-demo")
	a.redeem(t)
}

func submitLogin(tab *Tab, name, password string) {
	tab.t.Helper()
	tab.Fill("User name", name)
	tab.Fill("Password", password)
	tab.Click("Log in", Page)
}

// want is what a page must be.
type want struct {
	status  int
	title   string
	text    string
	picture string   // name of the screenshot
	hosts   []string // origins that may be asked, besides the server's and the provider's
}

// check looks at the page in the tab: its status and words, that it fits into
// the window, that the browser complains about nothing and asked nobody else,
// and that nothing keeps people out.
func check(t *testing.T, s *site, tab *Tab, w want) *View {
	t.Helper()
	v := tab.Look()
	if v.Status() != w.status || !strings.Contains(v.Title, w.title) || !strings.Contains(v.Text, w.text) {
		t.Errorf("page is %d %q: %s\nwant %d %q with %q", v.Status(), v.Title, v.Text, w.status, w.title, w.text)
	}
	if v.Overflow > 0 {
		t.Errorf("page %q is wider than the window by %d px", v.Title, v.Overflow)
	}
	for _, m := range v.Console {
		if !saysStatus(m, v) {
			t.Errorf("page %q: the console says %s: %s (%s)", v.Title, m.Type, m.Text, m.URL)
		}
	}
	for _, address := range v.Requests {
		if origin := originOf(t, address); !slices.Contains(append(w.hosts, append(s.Sites, s.TLS)...), origin) {
			t.Errorf("page %q asks %s", v.Title, address)
		}
	}
	for _, b := range tab.Barriers() {
		t.Errorf("page %q: %s (%s): %s\n%s", v.Title, b.Help, b.Impact, b.ID, strings.Join(b.Nodes, "\n"))
	}
	if w.picture != "" {
		tab.Screenshot(picture(t, w.picture))
	}
	return v
}

// picture is the file of a screenshot.
func picture(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(Screenshots(t), strings.NewReplacer(" ", "-", ",", "", "%", "percent").Replace(name)+".png")
}

// saysStatus reports whether a message is the one that a page with an error's
// status gives.
func saysStatus(m Message, v *View) bool {
	return v.Status() >= 400 && m.URL == v.URL && strings.HasPrefix(m.Text, "Failed to load resource: the server responded with a status of")
}

func originOf(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatalf("browser asked for %q: %v", address, err)
	}
	return u.Scheme + "://" + u.Host
}
