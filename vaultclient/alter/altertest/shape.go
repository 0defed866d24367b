package altertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// A check says what is wrong with a JSON value, "" if nothing is.
type check func(value json.RawMessage) string

// field is a member of an object.
type field struct {
	name     string
	is       check
	optional bool
}

func must(name string, is check) field { return field{name: name, is: is} }
func may(name string, is check) field  { return field{name: name, is: is, optional: true} }

// object accepts an object of these members and no others.
func object(members ...field) check { return objectOf(false, members) }

// ordered is object for a body whose members must come in this order.
func ordered(members ...field) check { return objectOf(true, members) }

func objectOf(inOrder bool, allowed []field) check {
	return func(value json.RawMessage) string {
		keys, values, err := members(value)
		if err != nil {
			return err.Error()
		}
		last := -1
		for _, key := range keys {
			at := slices.IndexFunc(allowed, func(f field) bool { return f.name == key })
			if at < 0 {
				return fmt.Sprintf("unknown key %q", key)
			}
			if inOrder && at < last {
				return fmt.Sprintf("key %q is out of order", key)
			}
			last = at
			if wrong := allowed[at].is(values[key]); wrong != "" {
				return key + ": " + wrong
			}
		}
		for _, f := range allowed {
			if _, there := values[f.name]; !there && !f.optional {
				return fmt.Sprintf("key %q is missing", f.name)
			}
		}
		return ""
	}
}

// oneOf wants exactly one of the keys in the object that is checks.
func oneOf(is check, keys ...string) check {
	return func(value json.RawMessage) string {
		if wrong := is(value); wrong != "" {
			return wrong
		}
		_, values, _ := members(value)
		n := 0
		for _, key := range keys {
			if values[key] != nil {
				n++
			}
		}
		if n != 1 {
			return fmt.Sprintf("%d of %q, want one", n, keys)
		}
		return ""
	}
}

// text accepts strings of these many bytes.
func text(shortest, longest int) check {
	return func(value json.RawMessage) string {
		var s string
		if value[0] != '"' || json.Unmarshal(value, &s) != nil {
			return "no string"
		}
		if len(s) < shortest || len(s) > longest {
			return fmt.Sprintf("%d bytes, want %d to %d", len(s), shortest, longest)
		}
		return ""
	}
}

// id accepts lower-case UUIDs.
func id(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) != nil || !uuidText.MatchString(s) {
		return "no UUID in lower case"
	}
	return ""
}

// word accepts the strings given.
func word(allowed ...string) check {
	return func(value json.RawMessage) string {
		var s string
		if json.Unmarshal(value, &s) != nil || !slices.Contains(allowed, s) {
			return fmt.Sprintf("none of %q", allowed)
		}
		return ""
	}
}

// number accepts whole numbers within the bounds.
func number(lowest, highest int) check {
	return func(value json.RawMessage) string {
		var n int
		if bytes.ContainsAny(value, ".eE") || json.Unmarshal(value, &n) != nil || value[0] == 'n' {
			return "no whole number"
		}
		if n < lowest || n > highest {
			return fmt.Sprintf("%d is not within %d and %d", n, lowest, highest)
		}
		return ""
	}
}

func boolean(value json.RawMessage) string {
	if s := string(value); s != "true" && s != "false" {
		return "no boolean"
	}
	return ""
}

// exactly accepts this JSON text alone.
func exactly(want string) check {
	return func(value json.RawMessage) string {
		if string(value) != want {
			return "want " + want
		}
		return ""
	}
}

func anything(json.RawMessage) string { return "" }

func orNull(is check) check {
	return func(value json.RawMessage) string {
		if string(value) == "null" {
			return ""
		}
		return is(value)
	}
}

// each accepts lists of so many values.
func each(longest int, is check) check {
	return func(value json.RawMessage) string {
		var list []json.RawMessage
		if value[0] != '[' || json.Unmarshal(value, &list) != nil {
			return "no list"
		}
		if len(list) > longest {
			return fmt.Sprintf("%d values, want at most %d", len(list), longest)
		}
		for i, item := range list {
			if wrong := is(item); wrong != "" {
				return fmt.Sprintf("[%d]: %s", i, wrong)
			}
		}
		return ""
	}
}

// mapOf accepts objects with any keys.
func mapOf(is check) check {
	return func(value json.RawMessage) string {
		_, values, err := members(value)
		if err != nil {
			return err.Error()
		}
		for key, item := range values {
			if wrong := is(item); wrong != "" {
				return key + ": " + wrong
			}
		}
		return ""
	}
}

var (
	str     = text(1, math.MaxInt)
	anyText = text(0, math.MaxInt)
)
