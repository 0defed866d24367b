package altertest

import (
	"html/template"
	"net/http"
)

// form is a button that posts hidden fields to the page's own address.
type form struct {
	Button string
	Fields [][2]string
}

func pageTemplate() *template.Template {
	return template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title></head><body><h1>{{.Title}}</h1>
{{range .Forms}}<form method="post" action="?">{{range .Fields}}<input type="hidden" name="{{index . 0}}" value="{{index . 1}}">{{end}}<button type="submit">{{.Button}}</button></form>
{{else}}<p>You may close this window.</p>{{end}}</body></html>
`))
}

func page(w http.ResponseWriter, status int, title string, forms []form) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = pageTemplate().Execute(w, struct {
		Title string
		Forms []form
	}{title, forms})
}
