package altertest

import (
	"html/template"
	"net/http"
)

// form is what a page asks: it posts hidden fields to the page's own address,
// one of the choices, and as decision whether the person allows it.
type form struct {
	Fields  [][2]string
	Field   string // name of the choices
	Choices []string
	Allow   string // what the button says
}

func pageTemplate() *template.Template {
	return template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title></head><body><h1>{{.Title}}</h1>
{{with .Form}}<form method="post" action="?">{{range .Fields}}<input type="hidden" name="{{index . 0}}" value="{{index . 1}}">{{end}}
{{$field := .Field}}{{range .Choices}}<p><label><input type="radio" name="{{$field}}" value="{{.}}" required> {{.}}</label></p>
{{end}}<button name="decision" value="allow">{{.Allow}}</button> <button name="decision" value="deny" formnovalidate>Cancel</button></form>
{{else}}<p>You may close this window.</p>{{end}}</body></html>
`))
}

// page answers with a page; f is nil when it asks nothing.
func page(w http.ResponseWriter, status int, title string, f *form) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	_ = pageTemplate().Execute(w, struct {
		Title string
		Form  *form
	}{title, f})
}
