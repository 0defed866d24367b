package mcphandler

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// named returns tools of these names.
func named(names ...string) []Tool {
	var tools []Tool
	for _, name := range names {
		tools = append(tools, &fakeTool{Description: Description{Name: name, InputSchema: json.RawMessage(anyObject)}})
	}
	return tools
}

func static(t *testing.T, names ...string) Source {
	t.Helper()
	source, err := NewStaticSource(named(names...))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// listAll follows the cursors of tools/list, and returns the names on each page.
func listAll(t *testing.T, f *fixture) [][]string {
	t.Helper()
	var pages [][]string
	cursor := ""
	for range 100 {
		w := f.serve("POST", map[string]string{"Authorization": "Bearer alice"},
			`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"`+cursor+`"}}`)
		var response struct {
			Result struct {
				Tools      []struct{ Name string }
				NextCursor string
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &response); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, tool := range response.Result.Tools {
			names = append(names, tool.Name)
		}
		pages = append(pages, names)
		if cursor = response.Result.NextCursor; cursor == "" {
			return pages
		}
	}
	t.Fatal("the list has no end")
	return nil
}

func TestPages(t *testing.T) {
	tests := map[string]struct {
		size int
		want [][]string
	}{
		"one page":          {9, [][]string{{"d", "b", "a", "c"}}},
		"exactly one page":  {4, [][]string{{"d", "b", "a", "c"}}},
		"two":               {3, [][]string{{"d", "b", "a"}, {"c"}}},
		"exactly two pages": {2, [][]string{{"d", "b"}, {"a", "c"}}},
		"four":              {1, [][]string{{"d"}, {"b"}, {"a"}, {"c"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(cfg *Config) {
				cfg.PageSize = test.size
				// The second source has a tool of the first one's name: it never shows.
				cfg.Sources = []Source{static(t, "d", "b"), static(t, "a", "b", "c")}
			})
			if diff := cmp.Diff(test.want, listAll(t, f)); diff != "" {
				t.Errorf("pages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCursorOfAnotherNode(t *testing.T) {
	first := newFixture(t, func(cfg *Config) { cfg.PageSize = 1; cfg.Sources = []Source{static(t, "a", "b")} })
	w := first.serve("POST", modernFields("alice", "tools/list", ""),
		`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{`+modernMeta+`}}`)
	cursor := between(w.Body.String(), `"nextCursor":"`, `"`)
	tests := map[string]struct {
		tools []string
		code  int
	}{
		"same tools":      {[]string{"a", "b"}, 0},
		"tool is the end": {[]string{"b", "a"}, 0},
		"tool is gone":    {[]string{"b"}, codeInvalidParams},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			second := newFixture(t, func(cfg *Config) { cfg.Sources = []Source{static(t, test.tools...)} })
			w := second.serve("POST", map[string]string{"Authorization": "Bearer alice"},
				fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":%q}}`, cursor))
			if got := errorCode(t, w.Body.Bytes()); got != test.code {
				t.Errorf("code %d, want %d; body %s", got, test.code, w.Body)
			}
		})
	}
}

func TestNewStaticSource(t *testing.T) {
	schema := func(input string) []Tool {
		return []Tool{&fakeTool{Description: Description{Name: "a", InputSchema: json.RawMessage(input)}}}
	}
	tests := map[string]struct {
		tools []Tool
		want  string // in the error; empty for none
	}{
		"none":                 {nil, ""},
		"two":                  {named("a", "B.c-d_9"), ""},
		"the same twice":       {named("a", "b", "a"), "another tool has this name"},
		"nil":                  {[]Tool{nil}, "is nil"},
		"no name":              {named(""), "the name is not"},
		"longest name":         {named(strings.Repeat("x", 128)), ""},
		"longer name":          {named(strings.Repeat("x", 129)), "the name is not"},
		"name with a space":    {named("a b"), "the name is not"},
		"name with an umlaut":  {named("ä"), "the name is not"},
		"no input schema":      {schema(""), "the input schema is not"},
		"schema of a list":     {schema(`{"type":"array"}`), "the input schema is not"},
		"schema true":          {schema(`true`), "the input schema is not"},
		"broken schema":        {schema(`{"type":"object"`), "the input schema is not"},
		"mirrored number":      {schema(`{"type":"object","properties":{"a":{"type":"number","x-mcp-header":"A"}}}`), "not string, integer or boolean"},
		"mirrored, no name":    {schema(`{"type":"object","properties":{"a":{"type":"string","x-mcp-header":""}}}`), "not the name of a header field"},
		"mirrored, line break": {schema(`{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"a\r\n"}}}`), "not the name of a header field"},
		"mirrored twice": {
			schema(`{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}`),
			"stands there twice",
		},
		"mirrored items": {
			schema(`{"type":"object","properties":{"a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}}`),
			"only properties of properties",
		},
		"mirrored choice": {
			schema(`{"type":"object","anyOf":[{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}]}`),
			"only properties of properties",
		},
		"mirrored whole": {schema(`{"type":"object","x-mcp-header":"A"}`), "at the root"},
		"property of that name": {
			schema(`{"type":"object","properties":{"x-mcp-header":{"type":"string","enum":["x-mcp-header"]}}}`), "",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := NewStaticSource(test.tools)
			if got := fmt.Sprint(err); (err != nil) != (test.want != "") || !strings.Contains(got, test.want) && err != nil {
				t.Errorf("error %q, want %q in it", got, test.want)
			}
		})
	}
}

// onceTool counts how often it is asked to describe itself.
type onceTool struct {
	fakeTool
	asked int
}

func (o *onceTool) Describe() Description {
	o.asked++
	return o.Description
}

func TestStaticToolDescribesItselfOnce(t *testing.T) {
	tool := &onceTool{fakeTool: fakeTool{Description: Description{Name: "a", InputSchema: json.RawMessage(anyObject)}}}
	source, err := NewStaticSource([]Tool{tool})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(cfg *Config) { cfg.Sources = []Source{source} })
	listAll(t, f)
	listAll(t, f)
	if tool.asked != 1 {
		t.Errorf("asked %d times, want once", tool.asked)
	}
}

// dynamicSource hands out tools that nobody has described before, as a source of
// another author does.
type dynamicSource struct{ *StaticSource }

func TestListFormsOfADynamicTool(t *testing.T) {
	tool := named("a")[0].(*fakeTool)
	tool.Title, tool.OutputSchema = "T", json.RawMessage(`{"type":"object"}`)
	bad := named("not a name")[0]
	source := dynamicSource{&StaticSource{tools: []Tool{bad, tool}}}
	f := newFixture(t, func(cfg *Config) { cfg.Sources = []Source{source} })
	for version, want := range map[string]string{
		"2025-03-26": `[{"name":"a","inputSchema":{"type":"object"}}]`,
		"2025-06-18": `[{"name":"a","title":"T","inputSchema":{"type":"object"},"outputSchema":{"type":"object"}}]`,
	} {
		w := f.serve("POST", map[string]string{"Authorization": "Bearer alice", "Mcp-Protocol-Version": version},
			`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
		if got := w.Body.String(); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s in it", version, got, want)
		}
	}
}
