package web

import (
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

var update = flag.Bool("update", false, "write the golden files")

func read(t *testing.T, answer *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("reading the page: %v", err)
	}
	return string(body)
}

func TestPagesAreAsTheGoldens(t *testing.T) {
	p := newPages(t)
	for name, show := range states(p) {
		t.Run(name, func(t *testing.T) {
			// The stylesheet may change without each page doing so.
			got := strings.ReplaceAll(read(t, record(show)), p.hash, "HASH")
			golden := filepath.Join("testdata", name+".html")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("page differs (-want +got):\n%s", diff)
			}
		})
	}
}

// Security CONS-02, CONS-05, CONS-12, CONS-15, CONS-16, and what assistive
// technology needs.
func TestPagesAreSafeAndAccessible(t *testing.T) {
	for name, show := range states(newPages(t)) {
		t.Run(name, func(t *testing.T) {
			body := read(t, record(show))
			doc, err := html.Parse(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if strings.ContainsAny(body, "\u202e\u2066\u200b") {
				t.Error("page holds format characters of a name")
			}
			count, ids, refs := make(map[string]int), make(map[string]int), make(map[string]string)
			for n := range doc.Descendants() {
				if n.Type != html.ElementNode {
					continue
				}
				count[n.Data]++
				for _, a := range n.Attr {
					checkAttribute(t, n.Data, a)
					switch a.Key {
					case "id":
						ids[a.Val]++
					case "for", "aria-describedby":
						refs[n.Data+" "+a.Key] = a.Val
					}
				}
			}
			for _, tag := range []string{"script", "style", "base", "iframe", "object", "embed", "img"} {
				if count[tag] > 0 {
					t.Errorf("page holds <%s>", tag)
				}
			}
			for _, tag := range []string{"title", "main", "header", "h1"} {
				if count[tag] != 1 {
					t.Errorf("page holds %d <%s>, want one", count[tag], tag)
				}
			}
			for from, id := range refs {
				if ids[id] != 1 {
					t.Errorf("<%s=%q> leads to %d elements, want one", from, id, ids[id])
				}
			}
			if !strings.Contains(body, `<html lang="en">`) || !strings.Contains(body, `<meta name="viewport"`) {
				t.Error("page lacks a language or a viewport")
			}
		})
	}
}

// The one link that leads elsewhere opens a tab that cannot reach back, and the
// page goes on by itself.
func TestWaitLeadsToTheLogin(t *testing.T) {
	resp := record(states(newPages(t))["wait_for_a_client"])
	if got, want := resp.Header.Get("Refresh"), "0; url=/mcp/login?state=1&wait="; got != want {
		t.Errorf("Refresh: %q, want %q", got, want)
	}
	want := `href="` + html.EscapeString(loginURL) + `" target="_blank" rel="noopener noreferrer"`
	if body := read(t, resp); !strings.Contains(body, want) {
		t.Errorf("page lacks %s", want)
	}
}

func checkAttribute(t *testing.T, tag string, a html.Attribute) {
	t.Helper()
	if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "http-equiv" {
		t.Errorf("<%s> has attribute %s", tag, a.Key)
	}
	switch a.Key {
	case "src", "href", "action", "formaction":
		if !strings.HasPrefix(a.Val, "/mcp/") && (tag != "a" || a.Val != loginURL) {
			t.Errorf("<%s %s=%q> leads elsewhere", tag, a.Key, a.Val)
		}
	}
}

// Security CONS-03, CONS-04, CONS-06, CONS-13.
func TestPagesHaveSecurityHeaders(t *testing.T) {
	want := map[string]string{
		"Cache-Control":          "no-store",
		"Content-Type":           "text/html; charset=utf-8",
		"Referrer-Policy":        "same-origin",
		"X-Content-Type-Options": "nosniff",
		"X-Frame-Options":        "DENY",
	}
	for name, show := range states(newPages(t)) {
		header := record(show).Header
		for key, value := range want {
			if got := header.Get(key); got != value {
				t.Errorf("%s: %s = %q, want %q", name, key, got, value)
			}
		}
		policy := header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; style-src 'self'; form-action 'self'") ||
			!strings.HasSuffix(policy, "; base-uri 'none'; frame-ancestors 'none'") {
			t.Errorf("%s: policy = %q", name, policy)
		}
	}
}

func TestPagesHaveTheStatusTheyAreGiven(t *testing.T) {
	all := states(newPages(t))
	for name, want := range map[string]int{
		"consent_verified": http.StatusOK,
		"login_failed":     http.StatusUnprocessableEntity,
		"message_error":    http.StatusBadRequest,
		"message_success":  http.StatusOK,
	} {
		if got := record(all[name]).StatusCode; got != want {
			t.Errorf("%s: status %d, want %d", name, got, want)
		}
	}
}

func TestFailingTemplateIsAPlainError(t *testing.T) {
	p := newPages(t)
	answer := record(func(w http.ResponseWriter, _ *http.Request) {
		p.render(w, http.StatusOK, "login", "x", nil, "no login")
	})
	if answer.StatusCode != http.StatusInternalServerError {
		t.Errorf("status %d, want 500", answer.StatusCode)
	}
	if got := answer.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("Content-Type = %q, want plain text", got)
	}
	if body := read(t, answer); strings.Contains(body, "<") {
		t.Errorf("body = %q, want no part of a page", body)
	}
}

// The button that Enter presses in a field is the first of its form.
func TestEnterLogsIn(t *testing.T) {
	body := read(t, record(states(newPages(t))["login_for_a_client"]))
	_, buttons, _ := strings.Cut(body, "<button")
	if !strings.HasPrefix(buttons, ` class="primary">Log in`) {
		t.Errorf("first button = %.40q, want the one that logs in", buttons)
	}
}

func TestSwitchIsOfferedToWhoIsLoggedIn(t *testing.T) {
	all := states(newPages(t))
	for name, want := range map[string]bool{"consent_host_logged_in": true, "consent_verified": false} {
		if got := strings.Contains(read(t, record(all[name])), `value="switch"`); got != want {
			t.Errorf("%s: switch offered = %t, want %t", name, got, want)
		}
	}
}
