package toolblock

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Limits of an `input`, as mcphandler has them.
const (
	maxLength  = 65536
	maxItems   = 1000
	maxPattern = 200 // characters
)

// write writes the `input` of an argument.
func (a *argument) write(l *lines) {
	head := []string{"input", a.name, a.schema.kind}
	if text := plain(a.description); text != "" {
		head = append(head, quoted(text))
	}
	l.block(strings.Join(head, " "), func(l *lines) {
		if !a.required {
			l.add("optional")
		}
		s := &a.schema
		if s.items != nil {
			writeRange(l, "items", s.MinItems, s.MaxItems, maxItems)
			s = s.items
		}
		s.writeValue(l)
	})
}

// writeValue writes what restricts a value. What an input cannot say is left to
// the service.
func (s *schema) writeValue(l *lines) {
	if values := s.enum(); len(values) > 0 {
		l.add(append([]string{"enum"}, values...)...)
		return
	}
	switch s.kind {
	case "integer", "number":
		if s.Minimum != nil && s.Maximum != nil && *s.Minimum > *s.Maximum {
			return
		}
		for _, limit := range []struct {
			name  string
			value *float64
		}{{"min", s.Minimum}, {"max", s.Maximum}} {
			if limit.value != nil {
				l.add(limit.name, strconv.FormatFloat(*limit.value, 'f', -1, 64))
			}
		}
	case "string":
		writeRange(l, "length", s.MinLength, s.MaxLength, maxLength)
		if isPattern(s.Pattern) {
			l.add("pattern", "`"+s.Pattern+"`")
		}
		if slices.Contains([]string{"date", "date-time", "email", "uri", "uuid"}, s.Format) {
			l.add("format", s.Format)
		}
	}
}

// writeRange writes bounds as far as they are within those that hold anyway.
func writeRange(l *lines, what string, least, most *int, top int) {
	if most != nil && *most >= 1 && *most < top {
		top = *most
	} else {
		most = nil
	}
	if least != nil && *least > 0 && *least <= top {
		l.add("min_"+what, strconv.Itoa(*least))
	}
	if most != nil {
		l.add("max_"+what, strconv.Itoa(*most))
	}
}

// enum returns the values as words, nil if one of them cannot be.
func (s *schema) enum() []string {
	var values []string
	for _, raw := range s.Enum {
		if string(raw) == "null" {
			continue
		}
		var value any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if d.Decode(&value) != nil {
			return nil
		}
		text, isText := value.(string)
		switch {
		case isText != (s.kind == "string"), isText && (text != plain(text) || text == ""):
			return nil
		case !isText:
			text = string(raw)
		}
		if value := word(text); !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	return values
}

// isPattern reports whether a pattern can be written, and is one to us, too.
func isPattern(pattern string) bool {
	_, err := regexp.Compile(pattern)
	return pattern != "" && len(pattern) <= maxPattern && err == nil && !strings.ContainsFunc(pattern, isControl) &&
		!strings.ContainsRune(pattern, '`') && !letterAfterBrace(pattern)
}

// letterAfterBrace finds what a Caddyfile would take for a placeholder, which the
// repetitions of a pattern are not.
func letterAfterBrace(pattern string) bool {
	for i, r := range pattern {
		if r == '{' && strings.Trim(pattern[i+1:min(i+2, len(pattern))], "0123456789,") != "" {
			return true
		}
	}
	return false
}
