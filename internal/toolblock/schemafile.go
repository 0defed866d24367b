package toolblock

import (
	"encoding/json"
	"fmt"
)

// schema is the JSON Schema of all arguments.
func (t *tool) schema() (json.RawMessage, error) {
	properties, required := make(map[string]any), []string{}
	for _, a := range t.arguments {
		property := map[string]any{}
		if json.Unmarshal(a.schema.raw, &property) != nil || property == nil {
			property = map[string]any{} // of any type
		}
		if a.place != inBody && a.place != isBody && property["type"] == nil {
			property["type"] = "string"
		}
		for _, own := range []string{"name", "in", "required", "schema"} { // of Swagger 2's parameters
			if a.place != inBody && a.place != isBody {
				delete(property, own)
			}
		}
		if a.description != "" {
			property["description"] = plain(a.description)
		}
		properties[a.name] = modern(property)
		if a.required {
			required = append(required, a.name)
		}
	}
	doc := map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	for name, value := range t.defs {
		var defs any
		if json.Unmarshal(value, &defs) == nil {
			doc[name] = modern(defs)
		}
	}
	out, err := json.MarshalIndent(doc, "", "\t")
	if err != nil {
		return nil, fmt.Errorf("writing the schema: %w", err)
	}
	return append(out, '\n'), nil
}

// modern takes out what was right in OpenAPI 3.0 and is wrong in JSON Schema
// 2020-12: bounds that are exclusive by a boolean.
func modern(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for _, name := range []string{"exclusiveMinimum", "exclusiveMaximum"} {
			if _, old := v[name].(bool); old {
				delete(v, name)
			}
		}
		for name, inner := range v {
			v[name] = modern(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = modern(inner)
		}
	}
	return value
}
