package web

import (
	"strings"
	"testing"
)

func TestCleanName(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"as it is":           {"Claude Code", "Claude Code"},
		"other scripts":      {"Приложение 应用", "Приложение 应用"},
		"direction override": {"a\u202eb\u2066c\u200fd\u061ce", "abcde"},
		"no width":           {"Cl\u200bau\ufeffde", "Claude"},
		"lines":              {" a\r\n\tb\u2028c\x00", "a b c"},
		"broken bytes":       {"a\xffb", "ab"},
		"letters of no ink":  {"\u3164a\u115f\u2800b\uffa0\ufe0f", "a b"},
		"marks of a letter":  {"Vie\u0323\u0302t ש\u05bc\u05c1\u05b8", "Vie\u0323\u0302t ש\u05bc\u05c1\u05b8"},
		"heap of marks":      {"a" + strings.Repeat("\u0335\u0489", 20) + "b", "a\u0335\u0489\u0335b"},
		"marks on nothing":   {"\u0335a \u0335\u0489b", "a b"},
		"100 characters":     {strings.Repeat("ü", 100), strings.Repeat("ü", 100)},
		"101 characters":     {strings.Repeat("ü", 101), strings.Repeat("ü", 100) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := cleanName(c.in); got != c.want {
				t.Errorf("cleanName(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

// A name that shows nothing would let the page ask for nobody.
func TestClientName(t *testing.T) {
	for in, want := range map[string]string{
		"Claude Code": "Claude Code", "": "An app without a name", "\u202e\u200b": "An app without a name", "\u3164\u2800 ": "An app without a name",
	} {
		if got := clientName(in); got != want {
			t.Errorf("clientName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestASCIIHost(t *testing.T) {
	for in, want := range map[string]string{
		"claude.ai":            "claude.ai",
		"localhost:1234":       "localhost:1234",
		"cursor:":              "cursor:",
		"bücher.example":       "xn--bcher-kva.example",
		"clаude.ai":            "xn--clude-5ve.ai", // а is Cyrillic
		"clаude.ai:8443":       `"cl\u0430ude.ai:8443"`,
		"a.example evil\u202e": `"a.example evil\u202e"`,
	} {
		if got := asciiHost(in); got != want {
			t.Errorf("asciiHost(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestInitial(t *testing.T) {
	for in, want := range map[string]string{"claude": "C", "«übung»": "Ü", "7zip": "7", "": "?", "\u202e!": "?"} {
		if got := initial(in); got != want {
			t.Errorf("initial(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestConnectionValuesComeBack(t *testing.T) {
	for name, c := range map[string][2]string{
		"no label":         {"github", ""},
		"label":            {"github", "work"},
		"all that escapes": {"a&b=c%20 d", "x&y\x00\"'<ü+"},
	} {
		t.Run(name, func(t *testing.T) {
			provider, label, ok := ParseConnection(EncodeConnection(c[0], c[1]))
			if !ok || provider != c[0] || label != c[1] {
				t.Errorf("came back as %q, %q, %t", provider, label, ok)
			}
		})
	}
}

func TestParseConnectionRefuses(t *testing.T) {
	for name, value := range map[string]string{
		"empty": "", "no label": "github", "no provider": "&work", "three parts": "a&b&c",
		"bad escape in the provider": "%zz&a", "bad escape in the label": "a&%zz",
	} {
		if provider, label, ok := ParseConnection(value); ok {
			t.Errorf("%s: ParseConnection(%q) = %q, %q, want refused", name, value, provider, label)
		}
	}
}
