package webbrowser

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestControl shows the checks a page that has everything wrong: what they do
// not see there they would not see anywhere.
func TestControl(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; img-src *")
		_, _ = w.Write([]byte(`<!DOCTYPE html><html><meta name="viewport" content="width=device-width, initial-scale=1"><title></title>
<img src="http://elsewhere.example/logo.png"><input><div style="width: 2000px">x</div><script>1</script>
<table width="2000"><tr><td>wide</table>`))
	}))
	t.Cleanup(page.Close)
	tab := Start(t).Open(t, Phone())
	tab.Go(page.URL)
	v := tab.Look()
	if v.Overflow < 1000 {
		t.Errorf("overflow is %d px, want the width of the table", v.Overflow)
	}
	if !slices.Contains(v.Requests, "http://elsewhere.example/logo.png") {
		t.Errorf("requests are %q, want the one to another host", v.Requests)
	}
	said := func(text string) bool {
		return slices.ContainsFunc(v.Console, func(m Message) bool { return strings.Contains(m.Text, text) })
	}
	if !said("policy violated: script-src-elem inline") || !said("policy violated: style-src-attr inline") {
		t.Errorf("console says %+v, want the violations of the policy", v.Console)
	}
	var found []string
	for _, b := range tab.Barriers() {
		found = append(found, b.ID)
	}
	for _, id := range []string{"document-title", "html-has-lang", "image-alt", "label"} {
		if !slices.Contains(found, id) {
			t.Errorf("barriers are %q, want %s among them", found, id)
		}
	}
}
