package web

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestStylesheetPathIsStable(t *testing.T) {
	first, second := newPages(t).StylesheetPath(), newPages(t).StylesheetPath()
	if first != second {
		t.Errorf("paths %q and %q, want the same", first, second)
	}
	if !regexp.MustCompile(`^/mcp/assets/[0-9a-f]{32}\.css$`).MatchString(first) {
		t.Errorf("path = %q, want a hash below /mcp/assets", first)
	}
}

func TestServeAsset(t *testing.T) {
	p := newPages(t)
	for name, c := range map[string]struct {
		method, path string
		status       int
		header       map[string]string
	}{
		"stylesheet": {http.MethodGet, p.StylesheetPath(), http.StatusOK, map[string]string{
			"Content-Type": "text/css; charset=utf-8", "X-Content-Type-Options": "nosniff",
			"Cache-Control": "public, max-age=31536000, immutable",
		}},
		"head":       {http.MethodHead, p.StylesheetPath(), http.StatusOK, map[string]string{"Content-Type": "text/css; charset=utf-8"}},
		"post":       {http.MethodPost, p.StylesheetPath(), http.StatusMethodNotAllowed, map[string]string{"Allow": "GET, HEAD"}},
		"other hash": {http.MethodGet, "/mcp/assets/0.css", http.StatusNotFound, nil},
		"template":   {http.MethodGet, "/mcp/assets/templates/base.html", http.StatusNotFound, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			p.ServeAsset(w, httptest.NewRequest(c.method, c.path, nil))
			if w.Code != c.status {
				t.Errorf("status %d, want %d", w.Code, c.status)
			}
			for key, want := range c.header {
				if got := w.Header().Get(key); got != want {
					t.Errorf("%s = %q, want %q", key, got, want)
				}
			}
			if c.status == http.StatusNotFound && strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
				t.Error("404 may be cached for ever")
			}
		})
	}
}

// Security CONS-05.
func TestStylesheetLoadsNothing(t *testing.T) {
	for _, word := range []string{"url(", "@import", "@font-face", "//"} {
		if strings.Contains(string(newPages(t).stylesheet), word) {
			t.Errorf("stylesheet holds %q", word)
		}
	}
}
