package mcphandler

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"
)

// urlTemplate is an absolute URL whose path segments may hold placeholders.
// Scheme, host, query and the number of segments are fixed.
type urlTemplate struct {
	scheme, host string
	segments     [][]part // literals are percent-encoded as the operator wrote them
	prefix       string   // of the path up to the first placeholder
	query        string   // what the operator wrote after ?

	fixed *url.URL // all of it, where there is no placeholder
}

// compileURL takes a URL apart. With secure, plain http is accepted for
// loopback hosts only: the request will carry a credential.
func (v *vocabulary) compileURL(text string, secure bool) (*urlTemplate, error) {
	t, err := v.compile(text)
	if err != nil {
		return nil, err
	}
	if len(t.parts) == 0 || t.parts[0].ref != nil {
		return nil, fmt.Errorf("found %q; accepted is an absolute URL, with {arg.*} and {user.*} in its path only", text)
	}
	authority, first, err := splitAuthority(t.parts[0].text, len(t.parts) > 1)
	if err != nil {
		return nil, fmt.Errorf("found %q: %w", text, err)
	}
	u := &urlTemplate{}
	if err := u.setAuthority(authority, secure); err != nil {
		return nil, fmt.Errorf("found %q: %w", text, err)
	}
	parts := append([]part{{text: first}}, t.parts[1:]...)
	if err := v.checkPathRefs(parts); err != nil {
		return nil, err
	}
	if err := u.setPath(parts); err != nil {
		return nil, fmt.Errorf("found %q: %w", text, err)
	}
	if len(t.parts) == 1 {
		u.fixed, err = u.build(nil, "")
	}
	return u, err
}

// splitAuthority cuts literal after scheme and host. more says that a
// placeholder follows: the host must have ended before it.
func splitAuthority(literal string, more bool) (authority, rest string, err error) {
	scheme, after, ok := strings.Cut(literal, "://")
	if !ok || scheme != "https" && scheme != "http" {
		return "", "", errors.New("accepted is an absolute URL that begins with https:// or http://")
	}
	end := strings.IndexAny(after, "/?#")
	if end < 0 {
		if more {
			return "", "", errors.New("the host must be fixed: {arg.*}, {user.*} and {client.*} are accepted in path segments only")
		}
		end = len(after)
	}
	end += len(scheme) + len("://")
	return literal[:end], literal[end:], nil
}

func (u *urlTemplate) setAuthority(text string, secure bool) error {
	parsed, err := url.Parse(text)
	switch {
	case err != nil: // not shown: it may hold a value of {env.*}
		return errors.New("the host does not parse; accepted is a name or an address, with a port or without")
	case parsed.User != nil:
		return errors.New("the URL holds a user name; credentials belong in a provider or a header")
	case parsed.Hostname() == "":
		return errors.New("the URL has no host")
	case secure && parsed.Scheme != "https" && !isLoopbackName(parsed.Hostname()):
		return errors.New("the request carries the grant of a provider; accepted is https, or http to a loopback host")
	}
	u.scheme, u.host = parsed.Scheme, parsed.Host
	return nil
}

// secure reports whether what a request carries is seen by nobody on its way.
func (u *urlTemplate) secure() bool {
	host := url.URL{Host: u.host}
	return u.scheme == "https" || isLoopbackName(host.Hostname())
}

// isLoopbackName reports whether host is localhost or a loopback address.
func isLoopbackName(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// checkPathRefs refuses placeholders whose values are never one segment.
func (v *vocabulary) checkPathRefs(parts []part) error {
	for _, p := range parts {
		if p.ref == nil || p.ref.from != fromArgument {
			continue
		}
		if kind := v.arguments[p.ref.name]; !kind.isText() {
			return fmt.Errorf("placeholder %s is of type %s; accepted in a path are string, integer, number and boolean", p.ref.source, kind.typ)
		}
	}
	return nil
}

// setPath divides path and query into segments.
func (u *urlTemplate) setPath(parts []part) error {
	var segment []part
	var path strings.Builder // with x for each placeholder
	for i, p := range parts {
		if p.ref != nil {
			segment = append(segment, p)
			path.WriteByte('x')
			continue
		}
		literal, query, hasQuery := strings.Cut(p.text, "?")
		if hasQuery && i+1 < len(parts) {
			return errors.New("placeholders are accepted in the path only; use query for parameters")
		}
		u.query = query
		path.WriteString(literal)
		pieces := strings.Split(literal, "/")
		for _, piece := range pieces[:len(pieces)-1] {
			u.segments = append(u.segments, appendText(segment, piece))
			segment = nil
		}
		segment = appendText(segment, pieces[len(pieces)-1])
	}
	u.segments = append(u.segments, segment)
	if path.Len() == 0 { // https://example.com is https://example.com/
		u.segments = [][]part{nil, nil}
		path.WriteByte('/')
	}
	u.segments = u.segments[1:] // nothing stands before the first slash
	u.prefix = fixedPrefix(u.segments)
	return checkLiteralURL(path.String(), u.query)
}

func appendText(parts []part, text string) []part {
	if text == "" {
		return parts
	}
	return append(parts, part{text: text})
}

func fixedPrefix(segments [][]part) string {
	var b strings.Builder
	for _, segment := range segments {
		b.WriteByte('/')
		for _, p := range segment {
			if p.ref != nil {
				return b.String()
			}
			b.WriteString(p.text)
		}
	}
	return b.String()
}

// checkLiteralURL checks what the operator wrote after the host. Its path must
// be what will be sent, byte by byte.
func checkLiteralURL(path, query string) error {
	switch {
	case strings.ContainsRune(path, '#') || strings.ContainsRune(query, '#'):
		return errors.New("the URL holds a fragment, which is never sent")
	case strings.ContainsAny(path, "{}"):
		return errors.New("braces are accepted around placeholders only; an argument is written {arg.NAME}")
	}
	parsed, err := url.Parse(path)
	if err != nil || parsed.EscapedPath() != path {
		return errors.New("the path holds characters that must be percent-encoded")
	}
	for segment := range strings.SplitSeq(parsed.Path, "/") {
		if segment == "." || segment == ".." {
			return errors.New("the path holds a . or .. segment")
		}
	}
	if _, err := url.ParseQuery(query); err != nil || strings.ContainsFunc(query, notInQuery) {
		return errors.New("the query holds characters that must be percent-encoded")
	}
	return nil
}

func notInQuery(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"<>\^{|}`+"`", r) }

// build returns the URL with its placeholders filled, and query, which is
// encoded, behind the fixed one. Scheme, host, prefix and the number of
// segments are compared with the configured ones once more.
func (u *urlTemplate) build(values *templateValues, query string) (*url.URL, error) {
	if u.fixed != nil && query == "" {
		own := *u.fixed
		return &own, nil
	}
	var path strings.Builder
	for _, segment := range u.segments {
		path.WriteByte('/')
		if err := buildSegment(&path, segment, values); err != nil {
			return nil, err
		}
	}
	if u.query != "" && query != "" {
		query = "&" + query
	}
	if query = u.query + query; query != "" {
		query = "?" + query
	}
	built, err := url.Parse(u.scheme + "://" + u.host + path.String() + query)
	if err != nil {
		return nil, &ToolError{Message: "the request could not be built"}
	}
	escaped := built.EscapedPath()
	if built.Scheme != u.scheme || built.Host != u.host || built.User != nil || built.Fragment != "" ||
		escaped != path.String() || !strings.HasPrefix(escaped, u.prefix) || strings.Count(escaped, "/") != len(u.segments) {
		return nil, &ToolError{Message: "the request could not be built", Cause: errors.New("built URL leaves the configured one")}
	}
	return built, nil
}

func buildSegment(b *strings.Builder, segment []part, values *templateValues) error {
	start := b.Len()
	var last *placeholder
	for _, p := range segment {
		if p.ref == nil {
			b.WriteString(p.text)
			continue
		}
		last = p.ref
		text, err := segmentValue(p.ref, values)
		if err != nil {
			return err
		}
		writeEscaped(b, text)
	}
	if last == nil {
		return nil
	}
	if whole, err := url.PathUnescape(b.String()[start:]); err != nil || isDotSegment(whole) {
		return last.refuse("would make the path segment . or ..")
	}
	return nil
}

// segmentValue returns what p stands for, if that can be a path segment.
func segmentValue(p *placeholder, values *templateValues) (string, error) {
	value, present, err := values.lookup(p)
	if err != nil {
		return "", err
	}
	switch value.decoded.(type) {
	case []any, map[string]any:
		return "", p.refuse("is a list or an object, and cannot be a path segment")
	}
	text := value.text()
	switch {
	case !present:
		return "", p.refuse("is missing: it is part of the URL")
	case text == "":
		return "", p.refuse("is empty: it is part of the URL")
	case !utf8.ValidString(text):
		return "", p.refuse("is not valid UTF-8")
	case strings.ContainsFunc(text, isControl):
		return "", p.refuse("holds a control character")
	case climbs(text):
		return "", p.refuse("holds a . or .. path segment")
	}
	return text, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// climbs reports whether a server that decodes a segment before it divides the
// path, once or up to twice too often, would find a dot segment in text.
func climbs(text string) bool {
	for range 3 {
		for segment := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '/' || r == '\\' }) {
			if isDotSegment(segment) {
				return true
			}
		}
		decoded, err := url.PathUnescape(text)
		if err != nil || decoded == text {
			return false
		}
		text = decoded
	}
	return false
}

func isDotSegment(segment string) bool { return segment == "." || segment == ".." }

// writeEscaped percent-encodes all but the unreserved characters of RFC 3986
// section 2.3. url.PathEscape leaves characters such as : and = that some
// services give a meaning within a segment.
func writeEscaped(b *strings.Builder, text string) {
	const hex = "0123456789ABCDEF"
	for _, c := range []byte(text) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
}
