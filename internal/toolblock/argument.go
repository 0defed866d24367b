package toolblock

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Places of arguments in a request.
const (
	inPath   = "path"
	inQuery  = "query"
	inHeader = "header"
	inForm   = "form"
	inBody   = "body" // a member of a JSON body
	isBody   = "json" // the JSON body itself
)

// argument is one of the tool's.
type argument struct {
	name        string
	place       string
	wire        []string // its name there, with those of the objects around it
	required    bool
	description string
	schema      schema
}

// addParameter adds what OpenAPI calls a parameter.
func (t *tool) addParameter(raw json.RawMessage) error {
	var p struct {
		Name, In, Description string
		Required, Deprecated  bool
		Schema                json.RawMessage
		Content               map[string]struct{ Schema json.RawMessage }
	}
	if err := json.Unmarshal(raw, &p); err != nil || p.Name == "" {
		return errors.New("it is no object with a name")
	}
	described := p.Schema
	for _, c := range p.Content {
		described = c.Schema
	}
	if described == nil {
		described = raw // Swagger 2 has the schema in the parameter
	}
	a := &argument{wire: []string{p.Name}, required: p.Required, description: p.Description}
	switch p.In {
	case "path":
		a.place, a.required = inPath, true
	case "query":
		a.place = inQuery
	case "formData":
		a.place = inForm
	case "header":
		if a.place = inHeader; isOwnHeader(p.Name) {
			return nil
		}
	case "body":
		return t.addJSON(p.Schema, nil)
	case "cookie":
		return t.leaveOut(a, "a cookie")
	default:
		return fmt.Errorf("%s: it is in %q: want path, query, header, formData or body", plain(p.Name), plain(p.In))
	}
	if p.Deprecated && !a.required {
		return t.leaveOut(a, "deprecated")
	}
	return t.addArgument(a, described, nil)
}

// isOwnHeader reports whether a header is not the tool's to set: by OpenAPI's own
// rule, or because the credential or the transport are in it.
func isOwnHeader(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Accept", "Content-Type", "Authorization", "Cookie", "Host", "Content-Length", "Connection", "Accept-Encoding", "User-Agent",
		"Transfer-Encoding", "Te", "Trailer", "Upgrade", "Expect", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate":
		return true
	}
	return false
}

// addArgument adds one whose value has a schema of doc, its document.
func (t *tool) addArgument(a *argument, raw, doc json.RawMessage) error {
	a.schema = readSchema(raw, doc)
	if a.description == "" {
		a.description = a.schema.Description
	}
	if why := t.unfit(a); why != "" {
		return t.leaveOut(a, why)
	}
	t.add(a)
	return nil
}

// unfit says why an argument has no place in the tool, "" if it has.
func (t *tool) unfit(a *argument) string {
	last := a.wire[len(a.wire)-1]
	list := strings.HasSuffix(a.schema.kind, "[]")
	switch {
	case a.place == inBody && !isMember(last):
		return "a name that a block cannot have"
	case strings.ContainsAny(last, "{}`\\") || strings.ContainsFunc(last, isControl):
		return "a name that a line cannot have"
	case list && (a.place == inPath || a.place == inHeader):
		return "a list in a " + a.place
	case a.schema.kind == "" && a.place != inBody && a.place != isBody:
		return "an object in a " + a.place
	case a.schema.kind == "" && t.options.SchemaFile == "":
		return a.schema.what()
	}
	return ""
}

// leaveOut notes an argument that is not there, if it may be absent.
func (t *tool) leaveOut(a *argument, why string) error {
	name := plain(strings.Join(a.wire, "."))
	if a.required {
		err := fmt.Errorf("it needs %s: %s", name, why)
		if t.options.SchemaFile == "" {
			err = fmt.Errorf("%w; a schema file may say what an input cannot", err)
		}
		return err
	}
	t.left = append(t.left, name+" ("+why+")")
	return nil
}

// isMember reports whether a name may begin a line of a block.
func isMember(name string) bool {
	return name != "" && name != "import" && strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789_-.@:$") == "" &&
		!strings.HasPrefix(name, "<<")
}
