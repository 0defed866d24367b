package mcphandler

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"unicode/utf8"
)

// canonical returns the value of an argument as it is passed on: compact, an
// integer without fraction or exponent, every other number as it was written.
func (k argumentKind) canonical(value templateValue) (templateValue, error) {
	switch decoded := value.decoded.(type) {
	case string:
		return templateValue{decoded: decoded}, nil
	case json.Number:
		if k.typ == "integer" {
			decoded = canonicalInteger(decoded)
		}
		return templateValue{decoded, json.RawMessage(decoded)}, nil
	case []any:
		if k.items == "integer" {
			return canonicalIntegers(decoded)
		}
	}
	var compact bytes.Buffer
	err := json.Compact(&compact, value.raw)
	return templateValue{value.decoded, compact.Bytes()}, err
}

func canonicalIntegers(list []any) (templateValue, error) {
	canonical := make([]any, len(list))
	for i, item := range list {
		if number, ok := item.(json.Number); ok {
			item = canonicalInteger(number)
		}
		canonical[i] = item
	}
	raw, err := encodeJSON(canonical)
	return templateValue{canonical, raw}, err
}

// canonicalInteger writes 3.0 and 3e0, which are integers to JSON Schema, as
// 3. The number is within the limits of decodeJSON.
func canonicalInteger(n json.Number) json.Number {
	if !strings.ContainsAny(string(n), ".eE") {
		return n
	}
	r, ok := new(big.Rat).SetString(string(n))
	if !ok || !r.IsInt() {
		return n
	}
	return json.Number(r.Num().String())
}

// shorten cuts s to at most limit bytes at the start of a character, and says
// so.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return fmt.Sprintf("%s… (%d bytes more)", s[:limit], len(s)-limit)
}
