package mcphandler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Limits of a number in JSON that is computed with. Beyond them the arithmetic
// of arbitrary precision costs more than the text that asks for it.
const (
	maxNumberLength   = 1000
	maxNumberExponent = 1000
)

// maxPlaces is how many failing places an error names.
const maxPlaces = 10

// jsonSchema is a compiled JSON Schema. It is safe for concurrent use.
type jsonSchema struct {
	compiled *jsonschema.Schema
	compiler *jsonschema.Compiler
}

// schemaURL names the document that is compiled. Only relative references
// within it can be followed.
const schemaURL = "tool:///schema.json"

// compileSchema compiles a schema of draft 2020-12, or of the one that it
// names in $schema. Formats are asserted. References to other documents are
// errors; the meta schemas of json-schema.org are built in.
func compileSchema(doc json.RawMessage) (*jsonSchema, error) {
	decoded, err := decodeJSON(doc)
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(schemaURL, decoded); err != nil {
		return nil, err
	}
	s := &jsonSchema{compiler: compiler}
	s.compiled, err = compiler.Compile(schemaURL)
	return s, schemaError(err)
}

// property returns the schema of a property, which must exist.
func (s *jsonSchema) property(name string) (*jsonSchema, error) {
	pointer := strings.NewReplacer("~", "~0", "/", "~1", "%", "%25").Replace(name)
	compiled, err := s.compiler.Compile(schemaURL + "#/properties/" + pointer)
	return &jsonSchema{compiled, s.compiler}, schemaError(err)
}

// schemaError says what is wrong with a schema in words of this package where
// the library's are about documents.
func schemaError(err error) error {
	var invalid *jsonschema.SchemaValidationError
	var load *jsonschema.LoadURLError
	switch {
	case errors.As(err, &invalid):
		var reason *jsonschema.ValidationError
		if errors.As(invalid.Err, &reason) {
			return fmt.Errorf("not a valid JSON Schema: %s", strings.Join(failingPlaces(reason), "; "))
		}
	case errors.As(err, &load):
		return fmt.Errorf("reference to %s: only references within the schema itself are followed", load.URL)
	}
	return err
}

type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(string) (any, error) {
	return nil, errors.New("other documents are not loaded")
}

// check returns the places where v does not match, in words, or nil.
func (s *jsonSchema) check(v any) []string {
	err := s.compiled.Validate(v)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []string{err.Error()}
	}
	return failingPlaces(invalid)
}

func failingPlaces(err *jsonschema.ValidationError) []string {
	var places []string
	collectPlaces(err, &places)
	slices.Sort(places) // the library walks members in the order of a Go map
	places = slices.Compact(places)
	if more := len(places) - maxPlaces; more > 0 {
		places = append(places[:maxPlaces], fmt.Sprintf("and %d more", more))
	}
	return places
}

func collectPlaces(err *jsonschema.ValidationError, places *[]string) {
	for _, cause := range err.Causes {
		collectPlaces(cause, places)
	}
	if len(err.Causes) > 0 {
		return
	}
	at := placeName(err.InstanceLocation)
	switch k := err.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			*places = append(*places, placeName(append(slices.Clone(err.InstanceLocation), name))+": is missing")
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			*places = append(*places, placeName(append(slices.Clone(err.InstanceLocation), name))+": is not known")
		}
	default:
		if at != "" {
			at += ": "
		}
		*places = append(*places, at+reasonOf(err.ErrorKind))
	}
}

// reasonOf says why a value does not match, without repeating the value.
func reasonOf(reason jsonschema.ErrorKind) string {
	switch k := reason.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be of type %s, is %s", strings.Join(k.Want, " or "), k.Got)
	case *kind.Enum:
		if want, err := encodeJSON(k.Want); err == nil {
			return "must be one of " + shorten(string(want), 300)
		}
	case *kind.Minimum:
		return "must be at least " + limitText(k.Want)
	case *kind.Maximum:
		return "must be at most " + limitText(k.Want)
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters, has %d", k.Want, k.Got)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters, has %d", k.Want, k.Got)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d items, has %d", k.Want, k.Got)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d items, has %d", k.Want, k.Got)
	case *kind.Pattern:
		return "must match the pattern " + k.Want
	case *kind.Format:
		if k.Want == "regex" {
			return "must be a regular expression without look-around and back references"
		}
		return "must be of format " + k.Want
	}
	return jsonschema.OutputError{Kind: reason}.String()
}

// limitText writes a limit as people do, and not as a fraction.
func limitText(limit *big.Rat) string {
	if limit.IsInt() {
		return limit.Num().String()
	}
	f, _ := limit.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// placeName writes a place in a document as people do: filter.tags[2].
func placeName(tokens []string) string {
	var b strings.Builder
	for i, token := range tokens {
		token = shorten(token, 100)
		switch _, err := strconv.Atoi(token); {
		case err == nil && i > 0:
			b.WriteString("[" + token + "]")
		case i > 0:
			b.WriteString("." + token)
		default:
			b.WriteString(token)
		}
	}
	return b.String()
}

// decodeJSON decodes one JSON value, with numbers as json.Number within the
// limits of this package.
func decodeJSON(doc []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("invalid JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("more than one JSON value, found a second at byte %d", dec.InputOffset())
	}
	return v, checkNumbers(v)
}

// decodeValue is decodeJSON for what is known to be one JSON value without blanks
// around it. Most arguments are a string or a number, for which a decoder of
// their own takes longer than all else that is done with them.
func decodeValue(text json.RawMessage) (any, error) {
	switch c := text[0]; {
	case c == '"':
		return decodeString(text), nil
	case c == '-' || '0' <= c && c <= '9':
		return json.Number(text), checkNumber(string(text))
	}
	return decodeJSON(text)
}

// checkNumbers returns an error if a number in v is out of bounds.
func checkNumbers(v any) error {
	switch v := v.(type) {
	case json.Number:
		return checkNumber(string(v))
	case []any:
		for _, item := range v {
			if err := checkNumbers(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, member := range v {
			if err := checkNumbers(member); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkNumber(text string) error {
	if len(text) > maxNumberLength {
		return fmt.Errorf("a number has %d characters, at most %d are accepted", len(text), maxNumberLength)
	}
	if e := strings.IndexAny(text, "eE"); e >= 0 {
		exponent, err := strconv.Atoi(text[e+1:])
		if err != nil || exponent < -maxNumberExponent || exponent > maxNumberExponent {
			return fmt.Errorf("the exponent of a number is out of range, accepted is -%d to %d", maxNumberExponent, maxNumberExponent)
		}
	}
	return nil
}
