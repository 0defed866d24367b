package mcphandler

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// build makes the request of one call. Nothing of the MCP request is in it
// beside the values of placeholders. Its body can be read again, for a second
// attempt with a new credential.
func (r *requestTemplate) build(ctx context.Context, values *templateValues) (*http.Request, error) {
	query, err := buildPairs(r.query, values)
	if err != nil {
		return nil, err
	}
	target, err := r.url.build(values, query)
	if err != nil {
		return nil, err
	}
	body, err := r.buildBody(values)
	if err != nil {
		return nil, err
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, "", reader) // the URL is parsed already
	if err != nil {
		return nil, &ToolError{Message: "the request could not be built", Cause: err}
	}
	req.URL, req.Host = target, target.Host
	fields := []string{userAgent, mediaJSON, r.contentType} // in one piece, for each call has them
	req.Header["User-Agent"], req.Header["Accept"] = fields[0:1:1], fields[1:2:2]
	if body != nil {
		req.Header["Content-Type"] = fields[2:3:3]
	}
	return req, r.setHeaders(req.Header, values)
}

// setHeaders adds the operator's fields. The first one of a name replaces a
// default.
func (r *requestTemplate) setHeaders(header http.Header, values *templateValues) error {
	if len(r.headers) == 0 {
		return nil
	}
	seen := make(map[string]bool, len(r.headers))
	for _, pair := range r.headers {
		value, present, err := headerValue(pair.value, values)
		if err != nil {
			return err
		}
		if !present {
			continue
		}
		if name := http.CanonicalHeaderKey(pair.name); !seen[name] {
			seen[name] = true
			header.Set(name, value)
			continue
		}
		header.Add(pair.name, value)
	}
	return nil
}

func headerValue(t *template, values *templateValues) (value string, present bool, err error) {
	for _, ref := range t.placeholders() {
		value, _, err := values.lookup(ref)
		if err != nil {
			return "", false, err
		}
		switch decoded := value.decoded.(type) {
		case []any, map[string]any:
			return "", false, ref.refuse("is a list or an object, and cannot be a header")
		case string:
			if strings.ContainsFunc(decoded, isControl) {
				return "", false, ref.refuse("holds a control character, and cannot be a header")
			}
		}
	}
	return t.text(values)
}

// buildBody returns nil for a request without one.
func (r *requestTemplate) buildBody(values *templateValues) ([]byte, error) {
	switch {
	case r.json != nil:
		var b bytes.Buffer
		present, err := r.json.build(&b, values)
		if err != nil || !present {
			return nil, err
		}
		return b.Bytes(), nil
	case r.form != nil:
		form, err := buildPairs(r.form, values)
		return []byte(form), err
	case r.body != nil:
		text, _, err := r.body.text(values)
		return []byte(text), err
	}
	return nil, nil
}

// buildPairs encodes a query or a form. A list repeats the name; a pair that
// is made of absent arguments is left out.
func buildPairs(pairs []pairTemplate, values *templateValues) (string, error) {
	var b strings.Builder
	add := func(name, value string) {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(name))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(value))
	}
	for _, pair := range pairs {
		list, isList, err := listValue(pair.value, values)
		if err != nil {
			return "", err
		}
		for _, item := range list {
			value, err := newTemplateValue(item)
			if err != nil {
				return "", fmt.Errorf("encoding %s: %w", pair.name, err)
			}
			add(pair.name, value.text())
		}
		if isList {
			continue
		}
		text, present, err := pair.value.text(values)
		if err != nil {
			return "", err
		}
		if present {
			add(pair.name, text)
		}
	}
	return b.String(), nil
}

// listValue returns the items of a value that is exactly one placeholder and
// a list.
func listValue(t *template, values *templateValues) ([]any, bool, error) {
	p := t.exact()
	if p == nil {
		return nil, false, nil
	}
	value, _, err := values.lookup(p)
	list, ok := value.decoded.([]any)
	return list, ok, err
}
