package altermcp

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// errorPlace is how Caddy ends the errors of a Caddyfile.
var errorPlace = regexp.MustCompile(`, at Caddyfile:(\d+)$`)

// FuzzCaddyfile reads any text as the directive. An error says where it is, and
// what is read has the form of the JSON configuration: it is provisioned or
// refused for what it says, and neither touches the disk.
func FuzzCaddyfile(f *testing.F) {
	addDirectives(f)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "{file.") {
			return // would read files of this machine, such as /dev/zero
		}
		tokens, err := caddyfile.Tokenize([]byte(text), "Caddyfile")
		if err != nil || len(tokens) == 0 {
			return // Caddy's own part
		}
		h := new(Handler)
		if err := h.UnmarshalCaddyfile(caddyfile.NewDispenser(tokens)); err != nil {
			checkPlace(t, text, err)
			return
		}
		dir := t.TempDir()
		t.Setenv("XDG_DATA_HOME", dir)
		t.Chdir(dir)
		if err := validateHandler(t, h, dir); err != nil && strings.Contains(err.Error(), "decoding module config") {
			t.Errorf("the Caddyfile says what JSON cannot: %v", err)
		}
		if files := filesBelow(t, dir); len(files) > 0 {
			t.Errorf("validating made %v", files)
		}
	})
}

// addDirectives adds the directives of all goldens as seeds, and some texts that
// end early.
func addDirectives(f *testing.F) {
	f.Helper()
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		f.Fatalf("no goldens (%v)", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := strings.Cut(string(data), adaptSeparator)
		_, directive, ok := strings.Cut(input, "alter_mcp")
		if !ok {
			f.Fatalf("%s has no directive", file)
		}
		f.Add("alter_mcp" + directive)
	}
	for _, text := range []string{
		"alter_mcp", "alter_mcp {", "alter_mcp {\n}", "alter_mcp / {\n}", "alter_mcp /mcp/../x", "alter_mcp {\nidentity local {\nuser",
		"alter_mcp {\n" + identityAlice + "}", "alter_mcp {\n" + identityAlice + "tool a {\ndescription d\nrespond \"{arg.\"\n}\n}",
		"alter_mcp {\n" + identityAlice + "tool a {\ndescription d\nget https://{arg.x}{env.HOME}/\nresult \"[\"\n}\n}",
		"alter_mcp {\nname <<END\n\tx\n\tEND\n}", "alter_mcp {\ntool a {\ninput a string[] x {\ndefault\npattern (\n}\n}\n}",
	} {
		f.Add(text)
	}
}

// checkPlace fails the test unless an error names the file and a line of text.
func checkPlace(t *testing.T, text string, err error) {
	t.Helper()
	place := errorPlace.FindStringSubmatch(err.Error())
	if place == nil {
		t.Fatalf("error without file and line: %v", err)
	}
	line, err := strconv.Atoi(place[1])
	if err != nil || line < 1 || line > strings.Count(text, "\n")+1 {
		t.Errorf("error on line %s of %d", place[1], strings.Count(text, "\n")+1)
	}
}

// validateHandler provisions a handler as `caddy validate` does, with a storage
// below dir.
func validateHandler(t *testing.T, h *Handler, dir string) error {
	t.Helper()
	handler := caddyconfig.JSONModuleObject(h, "handler", "alter_mcp", nil)
	place, err := json.Marshal(dir)
	if err != nil {
		t.Fatal(err)
	}
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON([]byte(`{"admin":{"disabled":true},"storage":{"module":"file_system","root":`+string(place)+`},
		"logging":{"logs":{"default":{"writer":{"output":"discard"}}}},
		"apps":{"http":{"servers":{"s":{"listen":[":1"],"routes":[{"handle":[`+string(handler)+`]}]}}}}}`), &c); err != nil {
		t.Fatalf("the Caddyfile makes JSON that is none: %v", err)
	}
	return caddy.Validate(&c)
}
