package web

import (
	"bytes"
	"net/http"
	"time"
)

// StylesheetPath returns where the stylesheet is served. The path holds a hash
// of the contents, so that it may be cached for ever.
func (p *Pages) StylesheetPath() string {
	return p.site.Path + "/assets/" + p.hash + ".css"
}

// ServeAsset serves the stylesheet, and 404 for any other path.
func (p *Pages) ServeAsset(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != p.StylesheetPath() {
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Type", "text/css; charset=utf-8")
	h.Set("ETag", `"`+p.hash+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, "style.css", time.Time{}, bytes.NewReader(p.stylesheet))
}
