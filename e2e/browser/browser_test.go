package browser_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
)

const policy = "default-src 'none'; form-action 'self' http://127.0.0.1:*; frame-ancestors 'none'"

// site serves one page at /, a form post at /post that redirects to the client,
// and the client's callback.
type site struct {
	URL, Client string
	posts       []url.Values
	origins     []string
	callbacks   int
}

func newSite(t *testing.T, page string, header http.Header) *site {
	t.Helper()
	s := new(site)
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.callbacks++
		fmt.Fprint(w, "client got "+r.URL.RawQuery)
	}))
	t.Cleanup(client.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		for name := range header {
			w.Header().Set(name, header.Get(name))
		}
		fmt.Fprint(w, page)
	})
	mux.HandleFunc("POST /post", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Errorf("reading the form: %v", err)
		}
		s.posts, s.origins = append(s.posts, r.PostForm), append(s.origins, r.Header.Get("Origin"))
		http.Redirect(w, r, client.URL+"/callback?code=1", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://example.com/", http.StatusFound)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.URL, s.Client = server.URL, client.URL
	return s
}

func open(t *testing.T, s *site, path string, v browser.Visit) (*browser.Stop, error) {
	t.Helper()
	b, err := browser.New(browser.Person{Name: "alice", Password: "secret"}, s.URL)
	if err != nil {
		t.Fatalf("browser.New: %v", err)
	}
	return b.Open(t.Context(), s.URL+path, v)
}

func TestForms(t *testing.T) {
	const decide = `<button name=decision value=deny>No</button><button name=decision value=allow>Yes</button>`
	tests := map[string]struct {
		form  string
		visit browser.Visit
		want  url.Values
	}{
		"the yes button is pressed": {
			form: `<input type=hidden name=token value=t>` + decide,
			want: url.Values{"token": {"t"}, "decision": {"allow"}},
		},
		"the no button on wish": {
			form: decide, visit: browser.Visit{Decision: "deny"},
			want: url.Values{"decision": {"deny"}},
		},
		"name and password": {
			form: `<label>User <input name=user></label><input type=password name=pass><button>Log in</button>`,
			want: url.Values{"user": {"alice"}, "pass": {"secret"}},
		},
		"one's own mailbox among radio buttons": {
			form: `<label><input type=radio name=box value=1 checked> bob@x</label><label><input type=radio name=box value=2> alice@x</label>` + decide,
			want: url.Values{"box": {"2"}, "decision": {"allow"}},
		},
		"one's own mailbox in a list": {
			form: `<select name=box><option>bob<option>alice</select>` + decide,
			want: url.Values{"box": {"alice"}, "decision": {"allow"}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, `<title>T</title><form method=post action=/post>`+tt.form+`</form>`, nil)
			stop, err := open(t, s, "/", tt.visit)
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			if diff := cmp.Diff([]url.Values{tt.want}, s.posts); diff != "" {
				t.Errorf("posted forms (-want +got):\n%s", diff)
			}
			if !stop.Client || stop.Page.Text != "client got code=1" {
				t.Errorf("Open ended at %v, %+v, want the client's page", stop.URL, stop.Page)
			}
		})
	}
}

func TestHoldStopsBeforeTheClient(t *testing.T) {
	s := newSite(t, `<form method=post action=/post><button name=decision value=allow></form>`, nil)
	stop, err := open(t, s, "/", browser.Visit{Hold: true})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if got, want := stop.URL.String(), s.Client+"/callback?code=1"; got != want || s.callbacks != 0 {
		t.Errorf("Open ended at %s after %d requests to the client, want %s and none", got, s.callbacks, want)
	}
}

func TestOriginOfForms(t *testing.T) {
	const page = `<form method=post action=/post><button name=decision value=allow></form>`
	s := newSite(t, page, nil)
	hidden := newSite(t, page, http.Header{"Referrer-Policy": {"no-referrer"}})
	for _, site := range []*site{s, hidden} {
		if _, err := open(t, site, "/", browser.Visit{}); err != nil {
			t.Fatalf("Open: %v", err)
		}
	}
	if diff := cmp.Diff([]string{s.URL, "null"}, append(s.origins, hidden.origins...)); diff != "" {
		t.Errorf("Origin headers (-want +got):\n%s", diff)
	}
}

func TestPagesLeftAlone(t *testing.T) {
	s := newSite(t, `<p>Hello</p><form method=post action=/post><button name=action value=logout>Log out</button></form>`, nil)
	stop, err := open(t, s, "/", browser.Visit{})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if len(s.posts) != 0 || stop.Page.Text != "Hello Log out" {
		t.Errorf("Open posted %v and ended with %q, want nothing pressed", s.posts, stop.Page.Text)
	}
}

func TestComplaints(t *testing.T) {
	const button = `<form method=post action=/post><button name=decision value=allow></form>`
	tests := map[string]struct {
		page   string
		header http.Header
		want   string
	}{
		"a script":         {page: `<script>1</script>`, want: "<script>"},
		"an event handler": {page: `<p onclick="x()">`, want: "onclick"},
		"a script address": {page: `<a href=" JavaScript:x()">`, want: "href"},
		"a foreign base":   {page: `<base href="http://127.0.0.1:1/">`, want: "<base>"},
		"no policy":        {page: `x`, header: http.Header{"Content-Security-Policy": {""}}, want: "default-src"},
		"a stylesheet that its policy stops": {
			page: `<link rel=stylesheet href=/away>`, want: "style-src",
		},
		"a stylesheet that is not there": {
			page: `<link rel=stylesheet href=/none>`, want: "404",
			header: http.Header{"Content-Security-Policy": {policy + "; style-src 'self'"}},
		},
		"framing": {page: `x`, header: http.Header{"Content-Security-Policy": {"default-src 'none'"}}, want: "framed"},
		"a redirect that the policy stops": {
			page: button, header: http.Header{"Content-Security-Policy": {"default-src 'none'; form-action 'self'; frame-ancestors 'none'"}},
			want: "form-action",
		},
		"no mailbox of one's own": {page: `<form><select name=box><option>bob</select></form>`, want: "none of the choices"},
		"a login that repeats":    {page: `<form action=/><input name=u><input type=password name=p><button></form>`, want: "again and again"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, tt.page, tt.header)
			_, err := open(t, s, "/", browser.Visit{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open: %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestStaysOnThisMachine(t *testing.T) {
	s := newSite(t, "", nil)
	if _, err := open(t, s, "/away", browser.Visit{}); !errors.Is(err, browser.ErrNotLoopback) {
		t.Errorf("Open: %v, want %v", err, browser.ErrNotLoopback)
	}
}
