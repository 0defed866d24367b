package mcphandler

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// userAgent is sent unless the operator sets another one.
const userAgent = "caddy-alter-mcp"

// requestTemplate is the request of a declared tool.
type requestTemplate struct {
	method  string
	url     *urlTemplate
	query   []pairTemplate
	headers []pairTemplate
	json    *jsonTemplate
	form    []pairTemplate
	body    *template

	contentType string // of the body; empty without one
}

// pairTemplate is a name with its value. The name is as it is sent, but for
// its encoding.
type pairTemplate struct {
	name  string
	value *template
}

// compileRequest checks cfg. The request of a tool with a provider carries a
// credential.
func (v *vocabulary) compileRequest(cfg *RequestConfig, hasProvider bool) (*requestTemplate, error) {
	r := &requestTemplate{method: cfg.Method}
	methods := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead}
	if !slices.Contains(methods, cfg.Method) {
		return nil, fmt.Errorf("method %q; accepted are %s", cfg.Method, strings.Join(methods, ", "))
	}
	var err error
	if r.url, err = v.compileURL(cfg.URL, hasProvider); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if r.query, err = v.compilePairs("query", cfg.Query); err != nil {
		return nil, err
	}
	if err = v.compileBody(r, cfg); err != nil {
		return nil, err
	}
	if r.headers, err = v.compilePairs("headers", cfg.Headers); err != nil {
		return nil, err
	}
	for i, header := range r.headers {
		if err := v.checkHeader(header, hasProvider, cfg); err != nil {
			return nil, fmt.Errorf("headers[%d] %s: %w", i, header.name, err)
		}
	}
	return r, nil
}

func (v *vocabulary) compilePairs(field string, pairs []Pair) ([]pairTemplate, error) {
	var compiled []pairTemplate
	for i, pair := range pairs {
		if pair.Name == "" {
			return nil, fmt.Errorf("%s[%d]: the name is empty", field, i)
		}
		if _, word, _ := nextPlaceholder(pair.Name); word != "" {
			return nil, fmt.Errorf("%s[%d]: found the name %q; placeholders are accepted in the value only", field, i, pair.Name)
		}
		value, err := v.compile(pair.Value)
		if err != nil {
			return nil, fmt.Errorf("%s[%d] %s: %w", field, i, pair.Name, err)
		}
		compiled = append(compiled, pairTemplate{pair.Name, value})
	}
	return compiled, nil
}

func (v *vocabulary) compileBody(r *requestTemplate, cfg *RequestConfig) error {
	var found []string
	if len(cfg.JSON) > 0 {
		found = append(found, "json")
	}
	if len(cfg.Form) > 0 {
		found = append(found, "form")
	}
	if cfg.Body != "" {
		found = append(found, "body")
	}
	switch {
	case len(found) > 1:
		return fmt.Errorf("%s exclude each other; set one of them", strings.Join(found, " and "))
	case len(found) == 1 && (r.method == http.MethodGet || r.method == http.MethodHead):
		return fmt.Errorf("method %s has no body, but %s is set; accepted with POST, PUT, PATCH and DELETE", r.method, found[0])
	case cfg.ContentType != "" && cfg.Body == "":
		return fmt.Errorf("content_type %q is set without body; json and form have their own, which a header can replace", cfg.ContentType)
	case !httpguts.ValidHeaderFieldValue(cfg.ContentType):
		return fmt.Errorf("content_type %q is not a valid header value", cfg.ContentType)
	case len(found) == 0:
		return nil
	}
	var err error
	switch found[0] {
	case "json":
		r.contentType = "application/json"
		if r.json, err = v.compileJSON(cfg.JSON); err != nil {
			return fmt.Errorf("json: %w", err)
		}
	case "form":
		r.contentType = "application/x-www-form-urlencoded"
		r.form, err = v.compilePairs("form", cfg.Form)
	default:
		if r.contentType = cfg.ContentType; r.contentType == "" {
			r.contentType = "text/plain; charset=utf-8"
		}
		if r.body, err = v.compile(cfg.Body); err != nil {
			return fmt.Errorf("body: %w", err)
		}
	}
	return err
}

// checkHeader refuses fields that the transport or a vault owns (RFC 9110
// section 7.6.1 for those of one hop), and values that no field can hold.
func (v *vocabulary) checkHeader(header pairTemplate, hasProvider bool, cfg *RequestConfig) error {
	if !httpguts.ValidHeaderFieldName(header.name) {
		return errors.New("the name is not valid; accepted are letters, digits and -")
	}
	name := http.CanonicalHeaderKey(header.name)
	if ownedByTransport(name) {
		return errors.New("this field is set by the transport and not accepted")
	}
	switch name {
	case "Cookie":
		return errors.New("cookies are not accepted")
	case "Content-Type":
		if cfg.Body != "" {
			return errors.New("this field is not accepted beside body; set content_type")
		}
	case "Authorization":
		if hasProvider {
			return errors.New("this field is set by the provider; accepted only in a tool without one")
		}
		if header.value.usesArguments() {
			return errors.New("this field must not be made of arguments")
		}
	}
	for _, p := range header.value.parts {
		if p.ref == nil && strings.ContainsFunc(p.text, isControl) {
			return errors.New("the value holds a control character") // not shown: it may come from {env.*}
		}
		if p.ref != nil && p.ref.from == fromArgument && !v.arguments[p.ref.name].isText() {
			return fmt.Errorf("placeholder %s is of type %s; accepted in a header are string, integer, number and boolean",
				p.ref.source, v.arguments[p.ref.name].typ)
		}
	}
	return nil
}

// ownedByTransport reports whether a header field, by its canonical name, is the
// transport's to set.
func ownedByTransport(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Host", "Content-Length", "Accept-Encoding", "Expect":
		return true
	}
	return false
}
