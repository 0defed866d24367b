package mcphandler

import (
	"fmt"
	"slices"
	"strings"
)

// template is a text of the operator, taken apart once: literals and
// placeholders in turn. A value that fills a placeholder is never read for
// placeholders again.
//
// A placeholder begins with `{` and one of the words arg, user, client, env,
// file, http with a dot, and ends at the next `}`. Every other brace is
// literal, so that JSON, GraphQL and the like need no escaping. `\{` before one
// of those words is a literal `{`.
type template struct {
	source string // as written; env and file stay unresolved in it
	parts  []part
}

// part is a literal, or a placeholder if ref is set.
type part struct {
	text string
	ref  *placeholder
}

// placeholder is a hole in a template that each call fills.
type placeholder struct {
	source string // with its braces, as written
	from   origin
	name   string // of the argument, the field or the claim
}

// origin is where the value of a placeholder comes from.
type origin int

const (
	fromArgument origin = iota
	fromUser
	fromClaims
	fromClient
)

// vocabulary is what the templates of one tool may name.
type vocabulary struct {
	arguments map[string]argumentKind
	order     []string // names of arguments as declared, for messages
	expand    func(name string) (string, error)
}

// argumentKind is what a template has to know of an argument.
type argumentKind struct {
	typ      string // JSON Schema type; empty when the schema names none or several
	items    string // type of the items of an array, where known
	optional bool   // may be absent, and has no default
}

// isText reports whether every value of that kind is one word of text: where
// the type is not known, a call finds out.
func (k argumentKind) isText() bool { return k.typ != "array" && k.typ != "object" }

// compile takes text apart. {env.*} and {file.*} are resolved here, and are
// literals from then on.
func (v *vocabulary) compile(text string) (*template, error) {
	t := &template{source: text}
	var literal strings.Builder
	for rest := text; rest != ""; {
		before, word, after := nextPlaceholder(rest)
		literal.WriteString(before)
		if word == "" {
			break
		}
		end := strings.IndexByte(after, '}')
		if end < 0 {
			return nil, fmt.Errorf("placeholder %s is not closed by }", after)
		}
		source := after[:end+1]
		rest = after[end+1:]

		if word == "env" || word == "file" {
			value, err := v.resolve(source)
			if err != nil {
				return nil, err
			}
			literal.WriteString(value)
			continue
		}
		ref, err := v.placeholder(source, word)
		if err != nil {
			return nil, err
		}
		t.appendLiteral(&literal)
		t.parts = append(t.parts, part{ref: ref})
	}
	t.appendLiteral(&literal)
	return t, nil
}

func (t *template) appendLiteral(literal *strings.Builder) {
	if literal.Len() > 0 {
		t.parts = append(t.parts, part{text: literal.String()})
		literal.Reset()
	}
}

// nextPlaceholder returns the literal text up to the first placeholder of
// text, the word that the placeholder begins with, and text from its brace on.
// Without a placeholder, everything is before.
func nextPlaceholder(text string) (before, word, after string) {
	var literal strings.Builder
	for {
		brace := strings.IndexByte(text, '{')
		if brace < 0 {
			literal.WriteString(text)
			return literal.String(), "", ""
		}
		switch word := leadingWord(text[brace+1:]); {
		case word == "":
			literal.WriteString(text[:brace+1])
		case brace > 0 && text[brace-1] == '\\':
			literal.WriteString(text[:brace-1] + "{")
		default:
			literal.WriteString(text[:brace])
			return literal.String(), word, text[brace:]
		}
		text = text[brace+1:]
	}
}

// leadingWord returns the word of a placeholder that text begins with, or "".
func leadingWord(text string) string {
	for _, word := range [...]string{"arg", "user", "client", "env", "file", "http"} {
		if strings.HasPrefix(text, word) && strings.HasPrefix(text[len(word):], ".") {
			return word
		}
	}
	return ""
}

// resolve returns the value of {env.*} or {file.*}. An empty one is an error:
// it stands for a setting that was forgotten.
func (v *vocabulary) resolve(source string) (string, error) {
	if v.expand == nil {
		return "", fmt.Errorf("placeholder %s: environment and files cannot be read here", source)
	}
	value, err := v.expand(source[1 : len(source)-1])
	if err != nil {
		return "", fmt.Errorf("placeholder %s: %w", source, err)
	}
	if value == "" {
		return "", fmt.Errorf("placeholder %s is empty", source)
	}
	return value, nil
}

func (v *vocabulary) placeholder(source, word string) (*placeholder, error) {
	name := source[len(word)+2 : len(source)-1]
	switch word {
	case "arg":
		if _, ok := v.arguments[name]; !ok {
			return nil, fmt.Errorf("placeholder %s names no argument of the tool; %s", source, v.known())
		}
		return &placeholder{source, fromArgument, name}, nil
	case "user":
		if claim, ok := strings.CutPrefix(name, "claims."); ok && claim != "" {
			return &placeholder{source, fromClaims, claim}, nil
		}
		if name == "id" || name == "email" || name == "name" {
			return &placeholder{source, fromUser, name}, nil
		}
		return nil, fmt.Errorf("unknown placeholder %s; accepted are {user.id}, {user.email}, {user.name} and {user.claims.NAME}", source)
	case "client":
		if name == "id" || name == "name" {
			return &placeholder{source, fromClient, name}, nil
		}
		return nil, fmt.Errorf("unknown placeholder %s; accepted are {client.id} and {client.name}", source)
	default: // http
		return nil, fmt.Errorf("unknown placeholder %s; in a Caddyfile, Caddy rewrites shorthands such as {host}, {path}, {uri}, "+
			"{query.x}, {header.x} and {file.secret} to it before the tool sees them; "+
			"accepted are {arg.*}, {user.*}, {client.*}, {env.*}, and {file.*} with a path that holds a slash, such as {file./run/secrets/key}", source)
	}
}

func (v *vocabulary) known() string {
	if len(v.order) == 0 {
		return "it has none"
	}
	return "known are " + strings.Join(v.order, ", ")
}

// exact returns the placeholder that is all of t, or nil.
func (t *template) exact() *placeholder {
	if len(t.parts) == 1 {
		return t.parts[0].ref
	}
	return nil
}

// placeholders returns those that a call fills.
func (t *template) placeholders() []*placeholder {
	var refs []*placeholder
	for _, p := range t.parts {
		if p.ref != nil {
			refs = append(refs, p.ref)
		}
	}
	return refs
}

// literal returns the text of t when no call changes it.
func (t *template) literal() (string, bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case len(t.parts) == 1 && t.parts[0].ref == nil:
		return t.parts[0].text, true
	}
	return "", false
}

// usesArguments reports whether an argument fills one of t's placeholders.
func (t *template) usesArguments() bool {
	return slices.ContainsFunc(t.placeholders(), func(p *placeholder) bool { return p.from == fromArgument })
}
